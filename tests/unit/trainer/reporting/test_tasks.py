"""The words that a page and a card have for what a model was trained to do."""

import pytest

from pretrain_trainer.reporting import plots, tasks
from pretrain_trainer.reporting.types import BaselinesReport, SourceEvaluation


def test_a_model_that_goes_on_from_left_to_right_is_called_causal() -> None:
    assert tasks.task("causalLM").pipeline == "text-generation"
    assert tasks.task("causalLM").predicted == ""


@pytest.mark.parametrize("objective", ["maskedLM", "spanCorruption"])
def test_every_other_objective_says_which_tokens_it_predicts(objective: str) -> None:
    assert tasks.task(objective).predicted
    assert tasks.task(objective).pipeline != "text-generation"


def test_the_plot_names_the_tokens_that_were_predicted() -> None:
    evaluation = SourceEvaluation(
        loss=2, perplexity=7.4, accuracy=0.5, tokens=100, predicted_tokens=15, bytes=300, documents=2,
        baselines=BaselinesReport(unigram_loss=5, unigram_accuracy=0.1),
    )  # fmt: skip
    (plot,) = plots.evaluation({"web": evaluation}, tasks.task("spanCorruption").predicted)
    assert plot.caption == "Target tokens of held-out text; more is better."
    assert [(trace["name"], trace["y"]) for trace in plot.traces] == [("this model", [0.5]), ("unigrams", [0.1])]
