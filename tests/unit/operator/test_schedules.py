"""Random schedules of a cluster that misbehaves, the first of many (tests/integration/test_schedules.py)."""

from support.schedules import run


def test_every_job_ends_well() -> None:
    for seed in range(40):
        run(seed)
