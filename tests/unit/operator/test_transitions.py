"""What happened between two statuses, for `kubectl get events`."""

from support.jobs import a_job
from support.stage_runs import NOON

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain import conditions, failures, stages, transitions

PLAIN = stages.listed(PretrainJobStatus(), a_job().spec)


def told(before: PretrainJobStatus, after: PretrainJobStatus) -> list[tuple[str, str]]:
    return [(happening.kind, happening.reason) for happening in transitions.between(before, after)]


def test_nothing_is_told_when_nothing_happened() -> None:
    assert told(PLAIN, PLAIN) == []


def test_starts_and_ends_of_stages_are_told() -> None:
    begun = stages.changed(PLAIN, Stage.COLLECT, state="Running", attempts=1)
    assert told(PLAIN, begun) == [("Normal", "StageStarted")]
    assert told(begun, stages.completed(begun, Stage.COLLECT, "c", NOON, NOON)) == [("Normal", "StageComplete")]
    failed = stages.changed(begun, Stage.COLLECT, state="Failed", message="exit 1")
    assert told(begun, failed) == [("Warning", "StageFailed")]


def test_a_disruption_is_told_and_is_no_warning() -> None:
    assert told(PLAIN, failures.disrupted(PLAIN)) == [("Normal", "Disrupted")]


def test_a_condition_is_told_when_its_status_changes_and_warns_when_it_is_bad() -> None:
    stalled = conditions.stated(PLAIN, conditions.STALLED, "True", "Unschedulable", "no node", NOON)
    assert told(PLAIN, stalled) == [("Warning", "Unschedulable")]
    again = conditions.stated(stalled, conditions.STALLED, "True", "Unschedulable", "no node at all", NOON)
    assert told(stalled, again) == []
    mended = conditions.stated(again, conditions.STALLED, "False", "Mended", "there", NOON)
    assert told(again, mended) == [("Normal", "Mended")]
