"""Which part of a stage is next."""

from pretrain_api.stages import FINISH, PHASES, Stage
from pretrain_api.types.status import StageStatus
from pretrain_operator.brain import phases


def test_one_pod_does_everything_in_the_last_phase() -> None:
    assert phases.at(StageStatus(name="Prepare", phase="filter"), parts=1) == FINISH


def test_a_stage_begins_with_its_first_phase() -> None:
    assert phases.at(StageStatus(name="Prepare"), parts=4) == PHASES[Stage.PREPARE][0]


def test_a_stage_goes_on_with_the_phase_where_it_was_left() -> None:
    assert phases.at(StageStatus(name="Prepare", phase="write"), parts=4).name == "write"


def test_phases_follow_each_other_to_the_last() -> None:
    for stage, parts in PHASES.items():
        names, name = [], parts[0].name
        while following := phases.following(stage, name):
            names.append(name)
            name = following.name
        assert [*names, name] == [phase.name for phase in parts]
