"""Ranks that are killed under a living agent: training goes on in place, from memory, as if nothing had happened."""

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.eventually import eventually
from support.token_runs import (
    UPSTREAM,
    Forked,
    a_job,
    commits,
    kill_everything,
    losses,
    outcome,
    ranks_of,
    record,
    recoveries,
    start,
    steps_done,
)

from pretrain_api.storage import Storage
from pretrain_trainer.agent.restarts import MOST_IN_VAIN
from pretrain_trainer.auditing.audit import audit

SEED = int(os.environ.get("PRETRAIN_TEST_SEED", random.SystemRandom().randrange(1 << 30)))
"""Of the moments of the kills; set PRETRAIN_TEST_SEED to replay."""
STEPS = 120
KILLS = 3

pytestmark = pytest.mark.slow


def one_killed(root: Path, agent: Forked, rng: random.Random) -> None:
    """Kill a rank a few steps from here and wait until all make steps again."""
    before, step = len(recoveries(root)), steps_done(root)
    eventually(lambda: steps_done(root), lambda done: done >= step + rng.randrange(1, 6), within_seconds=120)
    rng.choice(ranks_of(agent)).kill()
    eventually(lambda: recoveries(root), lambda found: len(found) == before + 1, within_seconds=120)


@pytest.mark.parametrize("shard", [1, 2])
def test_killed_ranks_cost_no_step_that_the_memory_holds(tmp_path: Path, shard: int) -> None:
    """The memory is copied at most every step of such a small model: checkpoints are hours away."""
    rng = random.Random(SEED + shard)
    quiet, rough = tmp_path / "quiet", tmp_path / "rough"
    for root in (quiet, rough):
        root.mkdir()
        job = a_job(root, steps=STEPS, parallelism={"shard": shard})
        job["spec"]["checkpoint"]["everySeconds"] = 10_000
        agent = start(root, job, ranks=2)
        try:
            for _ in range(KILLS if root is rough else 0):
                one_killed(root, agent, rng)
            assert agent.wait(timeout=300) == 0, (root / "train.log").read_text()[-4000:]
        finally:
            if agent.poll() is None:
                kill_everything(agent)
    found = recoveries(rough)
    assert [each.number for each in found] == list(range(1, KILLS + 1))
    assert {(each.kind, each.cause) for each in found} == {("Restart", "exit -9 (SIGKILL)")}
    assert (rough / "train.log").read_text().count("from memory") == KILLS
    # A busy machine makes a copy slow, and then the next one waits; but never for a good part of the run.
    assert max(each.lost_steps for each in found) <= 20, f"PRETRAIN_TEST_SEED={SEED}"

    same = ("parametersSha256", "finalLoss")
    assert [record(rough)["details"][k] for k in same] == [record(quiet)["details"][k] for k in same]
    assert losses(rough) == losses(quiet)
    assert [record(root)["attempts"] for root in (quiet, rough)] == [1, KILLS + 1]
    checked = audit(Storage(str(rough)))
    assert [str(difference) for difference in checked.differences] == [], f"PRETRAIN_TEST_SEED={SEED}"
    assert (checked.steps, checked.samples_read) == (STEPS, STEPS * 6)


def test_killed_between_and_during_checkpoints_none_of_them_is_lost(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    job = a_job(tmp_path, steps=STEPS)
    job["spec"]["checkpoint"] |= {"everySeconds": 1, "keepLast": 2}
    agent = start(tmp_path, job, ranks=2)
    try:
        for _ in range(KILLS):
            one_killed(tmp_path, agent, rng)
        assert agent.wait(timeout=300) == 0, (tmp_path / "train.log").read_text()[-4000:]
    finally:
        if agent.poll() is None:
            kill_everything(agent)
    assert len(commits(tmp_path)) >= 2
    steps = [commit["step"] for commit in commits(tmp_path)]
    assert steps == sorted(set(steps))
    checked = audit(Storage(str(tmp_path)))
    assert [str(difference) for difference in checked.differences] == [], f"PRETRAIN_TEST_SEED={SEED}"
    assert sorted(losses(tmp_path)) == list(range(1, STEPS + 1))


def test_kills_in_quick_succession_do_not_put_off_the_checkpoint(tmp_path: Path) -> None:
    """No start lives as long as the interval."""
    job = a_job(tmp_path, steps=100_000)
    job["spec"]["checkpoint"]["everySeconds"] = 4
    agent, rng = start(tmp_path, job, ranks=2), random.Random(SEED)
    try:
        for _ in range(40):
            one_killed(tmp_path, agent, rng)
            if commits(tmp_path):
                break
        assert commits(tmp_path), f"PRETRAIN_TEST_SEED={SEED}"
    finally:
        kill_everything(agent)


def test_ranks_that_die_again_and_again_are_left_to_the_operator(tmp_path: Path) -> None:
    agent, killed = start(tmp_path, a_job(tmp_path, steps=10_000), ranks=2), 0

    def kill_newcomers() -> int | None:
        nonlocal killed
        if agent.poll() is None and (found := ranks_of(agent)):
            with contextlib.suppress(psutil.NoSuchProcess):
                found[-1].kill()
                killed += 1
        return agent.poll()

    assert eventually(kill_newcomers, lambda code: code is not None, within_seconds=120) == 137
    assert killed >= MOST_IN_VAIN
    assert outcome(tmp_path)["kind"] == "Signal"
    assert recoveries(tmp_path) == []


def test_the_ranks_train_under_torchrun_too(tmp_path: Path) -> None:
    details: list[dict[str, Any]] = []
    for name in ("agent", "torchrun"):
        root = tmp_path / name
        root.mkdir()
        job = a_job(root, steps=5)
        if name == "agent":
            assert start(root, job).wait(timeout=120) == 0
        else:
            (root / "job.json").write_text(json.dumps(job))
            command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "-m", "pretrain_trainer"]
            command += ["--stage", "Train", "--job", str(root / "job.json")]
            command += [f"--upstream={stage}={fingerprint}" for stage, fingerprint in UPSTREAM.items()]
            done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
            assert done.returncode == 0, done.stderr[-4000:]
        details.append(record(root)["details"])
    assert details[0]["parametersSha256"] == details[1]["parametersSha256"]
