"""The README's way to a cluster, exactly as printed: from nothing to a model in a bucket, and back to nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cluster.cluster import kept, require
from support.cluster.missing import MissingPart, visibly
from support.exports import generated
from support.readme import BLOCKS, run

UP, DOWN = (next(block for block in BLOCKS if block.startswith(f"make cluster-{way}")) for way in ("up", "down"))

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True)
class Outcome:
    """What the first block left."""

    printed: str
    run: Path
    """The job's storage, as the S3 server keeps it."""


@pytest.fixture(scope="module")
def outcome() -> Iterator[Outcome]:
    with visibly():
        require()
        if kept():
            raise MissingPart("a cluster that `make cluster-up` started runs, and the README's commands would end it")
    try:
        printed = run(UP)
        (cluster,) = kept()
        yield Outcome(printed, cluster.s3.buckets / "pretrain" / "quickstart")
    finally:
        run(DOWN)
        assert not kept()


def test_the_job_is_shown_as_succeeded(outcome: Outcome) -> None:
    head, row = outcome.printed.splitlines()[-2:]
    assert head.split() == ["NAME", "STATE", "STEP", "LOSS", "THROUGHPUT", "WORKERS", "CHECKPOINT", "ETA", "AGE"]
    assert row.split()[:3] == ["quickstart", "Succeeded", "200/200"]


def test_its_model_loads_and_generates(outcome: Outcome) -> None:
    assert generated(outcome.run / "export" / "huggingface", "def ").startswith("def ")


def test_its_report_is_there(outcome: Outcome) -> None:
    assert "</html>" in (outcome.run / "report" / "index.html").read_text()
