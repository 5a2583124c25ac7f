"""Ten thousand random schedules: pods and operators die, caches lag, clocks jump, specs are edited, jobs are deleted.

A failure names its seed; `support.schedules.run(SEED)` plays it again. A machine that is several times slower than two usual cores
runs those of them that fit into its time; PRETRAIN_ALL_SCHEDULES=1 makes it run all.
"""

import os
import time

import pytest
from support.schedules import run

_EACH, _FEWEST = 625, 150
_SECONDS = float("inf") if os.environ.get("PRETRAIN_ALL_SCHEDULES") else 28.0
"""CPU time for a part. Usual cores need 22 s for all of it."""


@pytest.mark.slow
@pytest.mark.parametrize("part", range(16))
def test_every_job_ends_well(part: int) -> None:
    gangs = disruptions = changes = ran = 0
    begun = time.process_time()
    while ran < _EACH and (ran < _FEWEST or time.process_time() - begun < _SECONDS):
        ended = run(part * _EACH + ran)
        ran += 1
        gangs = max(gangs, ended.cluster.most_gangs)
        disruptions += ended.cluster.status.recovery.disruptions
        if world := ended.cluster.world:
            changes += max(
                0, world.generation - world.attempt
            )  # at least so many rosters followed another of their start
    print(f"{ran} of {_EACH} schedules")
    assert gangs == 1
    assert disruptions > 0.08 * ran  # the seeds are fixed
    assert changes > 0.06 * ran
