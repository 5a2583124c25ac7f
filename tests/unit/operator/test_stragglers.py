"""A rank that all others wait for, as a condition that names its pod."""

from dataclasses import replace

from support.jobs import a_job
from support.stage_runs import NOON, a_run
from support.worlds import a_worker, a_world

from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain import conditions, stragglers
from pretrain_operator.brain.observed import Observed

SPEC = a_job().with_spec(workers={"min": 2, "max": 2, "processesPerWorker": 2}).spec
NOTHING = PretrainJobStatus()
WORKERS = (a_worker(0), replace(a_worker(1), node="a17"))


def stated(rank: int, before: PretrainJobStatus = NOTHING) -> PretrainJobStatus:
    run = a_run(figures={"step": 40.0, "slowRank": float(rank), "slowTimes": 2.0})
    return stragglers.stated(before, SPEC, run, Observed(NOON, workers=WORKERS, world=a_world(0, 1)))


def test_names_rank_pod_and_node() -> None:
    found = conditions.condition(stated(3), conditions.STRAGGLING)
    assert (found.status, found.reason) == ("True", "SlowRank")
    assert f"Rank 3 on {WORKERS[1].pod} (node a17)" in found.message
    assert "delete the pod" in found.message


def test_is_taken_back_once_all_are_even() -> None:
    found = conditions.condition(stated(-1, stated(3)), conditions.STRAGGLING)
    assert (found.status, found.reason) == ("False", "Even")


def test_is_not_mentioned_before_there_was_one() -> None:
    assert stated(-1).conditions == []


def test_says_no_pod_where_the_roster_is_another_one() -> None:
    assert "Rank 9 needs" in conditions.condition(stated(9), conditions.STRAGGLING).message
