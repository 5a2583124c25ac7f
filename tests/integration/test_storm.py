"""Faults of the store, kills and other numbers of ranks together; `benchmarks/data/storm.py` does it twenty times over."""

import os
import random
from pathlib import Path

import pytest
from support.cluster.s3 import S3Server
from support.storm import BATCH, storm

SEED = int(os.environ.get("PRETRAIN_TEST_SEED", random.SystemRandom().randrange(1 << 30)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_training_in_a_storm_reads_every_sample_once(tmp_path: Path, s3_server: S3Server) -> None:
    found = storm(tmp_path, s3_server, kills=2, seed=SEED)
    assert found.kills, f"PRETRAIN_TEST_SEED={SEED}"
    assert [str(difference) for difference in found.audit.differences] == [], f"PRETRAIN_TEST_SEED={SEED}"
    assert (found.audit.steps, found.audit.samples_read) == (found.steps, found.steps * BATCH)
    assert sorted(found.losses) == list(range(1, found.steps + 1))
