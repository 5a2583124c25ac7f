"""Training in a storm: shards and checkpoints on an S3 server behind a proxy that makes faults, kills at random moments, and
another number of ranks after each."""

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from support import token_runs
from support.cluster.s3 import S3Server
from support.eventually import eventually
from support.s3_proxy import S3Proxy, Weather, s3_proxy
from support.zygote import Forked

from pretrain_api.storage import Storage
from pretrain_trainer.auditing.audit import Audit, audit

RANKS = (1, 2, 3)
BATCH = 12
STEPS_BETWEEN = 30
"""About so many steps are made between two kills."""
ROUGH = {"errors": 0.01, "late": 0.01, "late_seconds": 2.0, "cuts": 0.005}
"""What the proxy does: errors, answers that come late, connections that end in the middle."""


@dataclass(frozen=True)
class Kill:
    """One life of the training and its end."""

    ranks: int
    at_step: int
    """The step it had told of when it was killed."""
    resumed_at: int
    """The step of the newest commit when it began."""
    one_rank_before: bool
    """Whether one rank was killed before, and started again in place, and then everything at once."""


@dataclass(frozen=True)
class Storm:
    """What happened, and what the audit says of it."""

    kills: tuple[Kill, ...]
    last_ranks: int
    requests: int
    faults: int
    steps: int
    audit: Audit
    losses: dict[int, float]

    def as_json(self) -> dict[str, Any]:
        return {
            "kills": [asdict(kill) for kill in self.kills],
            "lastRanks": self.last_ranks,
            "requests": self.requests,
            "faults": self.faults,
            "steps": self.steps,
            "audit": self.audit.as_json(),
        }


def the_job(root: Path, steps: int, **storage: str) -> dict[str, Any]:
    """Two sources whose records are many and lie in several shards."""
    local = Storage(str(root))
    for number, name in enumerate(("even", "odd")):
        token_runs.write_source(local, name, number, train=900 + 77 * number, samples_per_record=5, shards=4)
    job = token_runs.a_job(root, steps=steps, globalBatchSize=BATCH, microBatchSize=2)
    return {**job, "spec": {**job["spec"], "storage": {"uri": str(root), **storage}}}


def storm(
    folder: Path, server: S3Server, kills: int, seed: int, told: Callable[[Kill], None] = lambda kill: None
) -> Storm:
    """Run it to the end. `folder` gets job, log and events; the run itself lies in the server's bucket `storm`."""
    rng, steps = random.Random(seed), STEPS_BETWEEN * (kills + 1)
    server.make_bucket("storm")
    root = server.buckets / "storm" / "run"
    with s3_proxy(server.url, Weather(seed, **ROUGH).script()) as proxy:
        job = the_job(root, steps, uri="s3://storm/run", endpointUrl=proxy.url)
        keys = {name: value for name, value in server.environment.items() if name != "AWS_ENDPOINT_URL"}
        found = []
        for moment in sorted(rng.sample(range(3, steps - STEPS_BETWEEN), kills)):
            kill = _life(folder, root, job, keys, rng, moment)
            if kill is None:
                break
            found.append(kill)
            told(kill)
        ranks = rng.choice(RANKS)
        last = token_runs.start(folder, job, ranks, **keys)
        try:
            code = last.wait(timeout=600)
        finally:
            if last.poll() is None:
                token_runs.kill_everything(last)
        if code != 0:
            raise RuntimeError((folder / "train.log").read_text()[-4000:])
        return Storm(
            tuple(found),
            ranks,
            len(proxy.asked),
            _faults(proxy),
            steps,
            audit(Storage(str(root))),
            token_runs.losses(root),
        )


def _life(
    folder: Path, root: Path, job: dict[str, Any], keys: dict[str, str], rng: random.Random, moment: int
) -> Kill | None:
    """Training begins, comes to a step (an earlier life may have come further) and is killed. None when it was done before
    the kill: its steps take milliseconds once it is under way, and it tells of them now and then."""
    ranks, one_rank_before = rng.choice(RANKS), rng.random() < 0.3
    resumed = max(token_runs.losses(root), default=0)
    (folder / "events.jsonl").unlink(missing_ok=True)
    process = token_runs.start(folder, job, ranks, **keys)

    def step() -> int:
        if process.poll():
            raise RuntimeError(f"it ended by itself: {(folder / 'train.log').read_text()[-4000:]}")
        return token_runs.steps_done(folder)

    def until_told_of(wanted: int) -> int:
        return eventually(step, lambda done: done >= wanted or process.poll() == 0, within_seconds=300)

    try:
        at = until_told_of(max(moment, resumed + 1))
        if one_rank_before and process.poll() is None:
            one_rank_before = _kill_one(process, rng)
            at = until_told_of(at + 1)
        if process.poll() is not None:
            return None
    finally:
        if process.poll() is None:
            token_runs.kill_everything(process)
    return Kill(ranks, at, resumed, one_rank_before)


def _kill_one(process: Forked, rng: random.Random) -> bool:
    """Whether there was a rank to kill still; the agent starts all again in place."""
    found = token_runs.ranks_of(process)
    if found:
        rng.choice(found).kill()
    return bool(found)


def _faults(proxy: S3Proxy) -> int:
    return sum(bool(answer.code or answer.cut or answer.late_seconds) for _, answer in proxy.made)
