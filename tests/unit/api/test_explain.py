"""Every field of the API can be explained."""

import pytest

from pretrain_api.errors import UserError
from pretrain_api.explain import everything, explain


@pytest.mark.parametrize(
    "path",
    [
        "training.optimizer",
        "spec.training.optimizer",
        "PretrainJob.spec.training.optimizer",
        "ptj.spec.training.optimizer",
    ],
)
def test_a_path_may_begin_at_spec_or_above(path: str) -> None:
    assert explain(path).name == "spec.training.optimizer"


def test_entries_of_a_list_are_entered_without_an_index() -> None:
    assert explain("data.sources.name").name == explain("data.sources[0].name").name == "spec.data.sources.name"


def test_type_default_and_bounds_are_those_of_the_types() -> None:
    rate = explain("training.optimizer.adamw.learningRate")
    assert (rate.type, rate.default, rate.bounds) == ("number", 3e-4, "0 to 10, without 0")
    sources = explain("data.sources")
    assert (sources.type, sources.required, sources.bounds) == ("list of objects", True, "1 to 256 entries")


def test_enumerated_fields_list_their_values() -> None:
    assert explain("training.schedule.decay").choices == ("cosine", "linear", "wsd", "constant")
    assert "email" in explain("data.prepare.pii.mask").choices


def test_presets_are_listed_with_their_sizes() -> None:
    assert dict(explain("model.preset").examples())["llama-1b"].startswith("973 M parameters")


def test_every_field_says_what_it_is_for() -> None:
    fields = list(everything(explain()))
    assert len(fields) > 150
    assert [field.name for field in fields if not field.description] == []


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("training.optimiser", "Write optimizer."),
        ("learningRate", "Write spec.training.optimizer.adamw.learningRate"),
        ("training.seed.x", "It has no fields."),
        ("storage.zzz", "Fields here: uri, endpointUrl, secretRef."),
    ],
)
def test_an_unknown_path_is_answered_with_the_one_that_was_meant(path: str, advice: str) -> None:
    with pytest.raises(UserError) as caught:
        explain(path)
    assert advice in caught.value.instead
