"""The world of the training stage: one gang, a new generation with each start."""

from support.jobs import a_job
from support.stage_runs import a_run

from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain.world import gang


def test_each_start_of_training_is_a_generation() -> None:
    world = gang(PretrainJobStatus(), a_job().spec, a_run(attempt=4)).world
    assert (world.generation, world.workers, world.ready) == (4, 1, 1)


def test_ended_training_has_no_worker_ready() -> None:
    assert gang(PretrainJobStatus(), a_job().spec, a_run(state="Ended")).world.ready == 0


def test_without_training_there_is_no_world() -> None:
    assert gang(PretrainJobStatus(), a_job().spec, None).world.generation == 0
