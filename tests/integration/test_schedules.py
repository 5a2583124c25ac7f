"""Ten thousand random schedules: pods and operators die, caches lag, clocks jump, specs are edited, jobs are deleted.

A failure names its seed; `support.schedules.run(SEED)` plays it again.
"""

import pytest
from support.schedules import run

_EACH = 625


@pytest.mark.slow
@pytest.mark.parametrize("part", range(16))
def test_every_job_ends_well(part: int) -> None:
    gangs = disruptions = changes = 0
    for seed in range(part * _EACH, (part + 1) * _EACH):
        ended = run(seed)
        gangs = max(gangs, ended.cluster.most_gangs)
        disruptions += ended.cluster.status.recovery.disruptions
        if world := ended.cluster.world:
            changes += max(
                0, world.generation - world.attempt
            )  # at least so many rosters followed another of their start
    assert gangs == 1
    assert disruptions > 60  # the seeds are fixed
    assert changes > 40
