"""Training under an agent: killed, stopped, damaged and resized runs end as if nothing had happened."""

import functools
import json
import operator
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from support.eventually import eventually
from support.token_runs import a_job, commits, kill_everything, losses, outcome, ranks_of, record, start, steps_done

from pretrain_api import layout
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.audit import audit

SEED = int(os.environ.get("PRETRAIN_TEST_SEED", random.SystemRandom().randrange(1 << 30)))
"""Of the moments of the kills; set PRETRAIN_TEST_SEED to replay."""

pytestmark = pytest.mark.slow


def finish(root: Path, job: dict[str, Any], ranks: int = 1) -> dict[str, Any]:
    """Run to the end; the details of the record."""
    process = start(root, job, ranks)
    assert process.wait(timeout=300) == 0, (root / "train.log").read_text()[-4000:]
    details: dict[str, Any] = record(root)["details"]
    return details


def attempts_begun(root: Path) -> int:
    """Of the stage that is not complete, as its programs count them."""
    kept = [json.loads(path.read_text()) for path in (root / layout.ATTEMPTS).glob("*/*.json")]
    return max((int(each["attempts"]) for each in kept), default=0)


@pytest.mark.parametrize(("ranks", "precision"), [(1, "bf16"), (2, "fp32")])
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path: Path, ranks: int, precision: str) -> None:
    """In both precisions whatever the machine has: without instructions for bf16 they are emulated."""
    rng = random.Random(SEED + ranks)
    quiet, rough = tmp_path / "quiet", tmp_path / "rough"
    for root in (quiet, rough):
        root.mkdir()
    steps = 150
    undisturbed = finish(quiet, a_job(quiet, steps=steps, precision=precision), ranks)

    job = a_job(rough, steps=steps, precision=precision)
    for kills, kill_after in enumerate(sorted(rng.sample(range(10, steps - 10), 3))):
        process = start(rough, job, ranks)
        # An earlier attempt may have come further than this kill; an attempt that never began is not counted.
        eventually(functools.partial(attempts_begun, rough), functools.partial(operator.eq, kills + 1), 120)
        eventually(
            functools.partial(steps_done, rough),
            functools.partial(operator.le, kill_after),
            within_seconds=120,
        )
        kill_everything(process)
    details = finish(rough, job, ranks)
    assert details["parametersSha256"] == undisturbed["parametersSha256"], f"PRETRAIN_TEST_SEED={SEED}"
    assert details["finalLoss"] == undisturbed["finalLoss"]
    assert losses(rough) == losses(quiet)
    assert [record(root)["attempts"] for root in (quiet, rough)] == [1, 4]
    for root in (quiet, rough):
        found = audit(Storage(str(root)))
        assert [str(difference) for difference in found.differences] == []
        assert (found.steps, found.samples_read) == (steps, steps * 6)


def test_sigterm_to_the_ranks_stops_them_with_everything_saved(tmp_path: Path) -> None:
    job = a_job(tmp_path, steps=2000)
    job["spec"]["checkpoint"]["everySeconds"] = 100000
    process = start(tmp_path, job, ranks=2)
    eventually(lambda: steps_done(tmp_path), lambda done: done >= 5, within_seconds=120)
    ranks_of(process)[1].send_signal(signal.SIGTERM)  # one rank hears it, all stop at the same step
    process.wait(timeout=120)
    assert outcome(tmp_path)["outcome"] == "stopped"
    newest = json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])
    assert newest["figures"]["secondsLeft"] > 0
    (commit,) = commits(tmp_path)
    assert commit["step"] >= 5
    assert not commit["final"]
    (kept,) = (json.loads(path.read_text()) for path in (tmp_path / layout.ATTEMPTS / "train").iterdir())
    assert kept["attempts"] == 1
    assert kept["seconds"] > 0


def test_a_damaged_checkpoint_is_passed_over_and_a_half_written_one_removed(tmp_path: Path) -> None:
    job = a_job(tmp_path, steps=12)
    undisturbed = finish(tmp_path, job)
    (tmp_path / "stages").rename(tmp_path / "done-before")
    newest = commits(tmp_path)[-1]
    # A second commit at step 12 of another start, damaged by one flipped bit.
    source, copy = tmp_path / newest["data"], tmp_path / layout.CHECKPOINT_DATA / "00000012-2-damaged"
    copy.mkdir()
    for file in source.iterdir():
        content = bytearray(file.read_bytes())
        if file.suffix == ".tensors":
            content[len(content) // 2] ^= 1
        (copy / file.name).write_bytes(content)
    sequence = newest["sequence"] + 1
    later = {**newest, "sequence": sequence, "data": f"{layout.CHECKPOINT_DATA}/{copy.name}", "nonce": "damaged"}
    (tmp_path / layout.commit(sequence)).write_text(json.dumps(later))
    half = tmp_path / layout.CHECKPOINT_DATA / "00000011-1-half"
    half.mkdir()
    (half / "rank-00000.tensors").write_bytes(b"begun")

    details = finish(tmp_path, job)
    assert details["parametersSha256"] == undisturbed["parametersSha256"]
    assert "checksum" in (tmp_path / "train.log").read_text()
    assert not half.exists()


def test_when_every_checkpoint_is_damaged_it_fails_and_says_so(tmp_path: Path) -> None:
    job = a_job(tmp_path, steps=3)
    finish(tmp_path, job)
    (tmp_path / "stages").rename(tmp_path / "done-before")
    for file in (tmp_path / layout.CHECKPOINT_DATA).glob("*/*.tensors"):
        file.write_bytes(file.read_bytes()[:-1])
    assert start(tmp_path, job).wait(timeout=120) != 0
    assert outcome(tmp_path)["outcome"] == "failed"
    assert "none of them can be read" in outcome(tmp_path)["message"]


def test_it_resumes_at_another_world_size_and_sharding(tmp_path: Path) -> None:
    """1 rank, then 2 replicas; a run with 2 shards has the same losses to rounding."""
    plain, resized, sharded = (tmp_path / name for name in ("plain", "resized", "sharded"))
    for root in (plain, resized, sharded):
        root.mkdir()
    finish(plain, a_job(plain, steps=60))

    process = start(resized, a_job(resized, steps=60))
    eventually(lambda: bool(commits(resized)) or process.poll() is not None, within_seconds=120)
    kill_everything(process)
    finish(resized, a_job(resized, steps=60), ranks=2)

    finish(sharded, a_job(sharded, steps=60, parallelism={"shard": 2}), ranks=2)
    reference = losses(plain)
    for root in (resized, sharded):
        assert losses(root) == pytest.approx(reference, rel=1e-2)
    for root in (plain, resized, sharded):
        assert audit(Storage(str(root))).found == 0


def test_other_weights_hold_from_the_sample_on_that_it_goes_on_from(tmp_path: Path) -> None:
    job = a_job(tmp_path, steps=2000)
    even, odd = job["spec"]["data"]["sources"]
    process = start(tmp_path, job, ranks=2)
    eventually(lambda: bool(commits(tmp_path)) or process.poll() is not None, within_seconds=120)
    kill_everything(process)
    went_on_at = commits(tmp_path)[-1]["samples"]
    even.update(initialWeight=even["weight"], weight=9)
    odd.update(initialWeight=odd["weight"], weight=1)
    process = start(tmp_path, job)
    eventually(lambda: commits(tmp_path)[-1]["generation"] == 2 or process.poll() is not None, within_seconds=120)
    kill_everything(process)
    newest = commits(tmp_path)[-1]
    assert [(s["start"], s["weights"]) for s in newest["segments"]] == [(0, [1, 2]), (went_on_at, [9, 1])]
    *_, last = (tmp_path / newest["history"]).read_text().splitlines()
    taken = json.loads(last)["read"]["taken"]
    assert abs(taken["even"][1] - (went_on_at / 3 + 0.9 * (newest["samples"] - went_on_at))) < 2
    found = audit(Storage(str(tmp_path)))
    assert ([str(difference) for difference in found.differences], found.weights) == ([], 2)
    assert "with other weights" in (tmp_path / "train.log").read_text()


def test_it_learns_far_below_the_entropy_of_single_tokens(tmp_path: Path) -> None:
    """A counting document has 4.1 nats per token on its own; knowing the counts, almost none."""
    details = finish(tmp_path, a_job(tmp_path, steps=250))
    assert details["finalLoss"] < 1.5
    assert details["skippedSteps"] == 0
