"""What a step took, split."""

from pretrain_api.goodput import FIGURES
from pretrain_trainer.training.checkpoints import Position
from pretrain_trainer.training.shown import totals
from pretrain_trainer.training.spent import Spent, of_step

PAUSES = Spent(data_wait=1.0, checkpoint_stall=2.0, evaluation=3.0)


def test_what_is_no_pause_is_productive() -> None:
    assert of_step(10.0, PAUSES, is_warming=False, is_finite=True) == PAUSES.plus(Spent(productive=4.0))


def test_or_compilation_while_something_may_be_compiled() -> None:
    assert of_step(10.0, PAUSES, is_warming=True, is_finite=True) == PAUSES.plus(Spent(compilation=4.0))


def test_a_step_that_changed_nothing_leaves_its_pauses_alone() -> None:
    assert of_step(10.0, PAUSES, is_warming=False, is_finite=False) == PAUSES


def test_a_checkpoint_that_does_not_know_of_it_counts_from_nothing() -> None:
    assert Position.of_manifest({"step": 3, "samples": 12}) == Position(step=3, samples=12)


def test_the_totals_have_the_names_that_the_account_reads() -> None:
    assert totals(PAUSES) == {
        "productiveSeconds": 0.0,
        "dataWaitSeconds": 1.0,
        "checkpointStallSeconds": 2.0,
        "evaluationSeconds": 3.0,
        "compilationSeconds": 0.0,
    }
    assert set(totals(PAUSES)) == set(FIGURES)
