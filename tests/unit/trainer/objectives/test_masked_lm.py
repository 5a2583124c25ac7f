"""Masked language modelling: what is masked, and the loss beside transformers' own."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForMaskedLM

from pretrain_api.errors import UserError
from pretrain_trainer.data.batches import rank_slice
from pretrain_trainer.data.samples import Samples
from pretrain_trainer.objectives import Batch
from pretrain_trainer.objectives.masked_lm import MaskedLanguageModel

pytestmark = pytest.mark.usefixtures("one_thread")

VOCABULARY, LENGTH, SAMPLES = 96, 33, 10
END, PADDING, MASK = 0, 1, 2
BERT = {
    "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": LENGTH, "type_vocab_size": 1,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip


def an_objective(**changes: Any) -> MaskedLanguageModel:
    return MaskedLanguageModel(
        **{"mask": MASK, "controls": frozenset({END, PADDING}), "vocab_size": VOCABULARY, "seed": 7, **changes}
    )


def samples(count: int = SAMPLES, length: int = LENGTH, documents: float = 0.1, kind: int = 3) -> Samples:
    rng = np.random.default_rng(kind)
    tokens = rng.integers(0, VOCABULARY, (count, length + 1), dtype=np.int32)
    starts = rng.random(tokens.shape) < documents
    starts[:, 0] = False
    valid = np.ones(tokens.shape, dtype=np.bool_)
    valid[-1, 5:] = False
    ids = np.cumsum(starts, axis=1).astype(np.int32)
    return Samples(tokens, ids, valid, np.zeros(count, dtype=np.bool_))


def positions(count: int = SAMPLES) -> np.ndarray:
    return np.arange(100, 100 + count, dtype=np.int64)


def a_model(dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    torch.manual_seed(1)
    return AutoModelForMaskedLM.from_config(AutoConfig.for_model(**{**BERT, **changes}), dtype=dtype)


class TestBatch:
    def test_is_the_same_for_every_division_over_ranks(self) -> None:
        whole, objective = samples(), an_objective()
        expected = objective.batch(whole, positions())
        for world in (2, 3, 7):
            rows = [rank_slice(SAMPLES, rank, world) for rank in range(world)]
            parts = [objective.batch(whole.rows(each), positions()[each]) for each in rows]
            for name, tensor in expected.tensors.items():
                assert torch.equal(torch.cat([part[name] for part in parts]), tensor)

    def test_has_other_masks_at_another_position_and_with_another_seed(self) -> None:
        whole, masks = samples(), set[bytes]()
        for objective, first in ((an_objective(), 0), (an_objective(), 1), (an_objective(seed=8), 0)):
            masks.add(objective.batch(whole, positions() + first)["predicted"].numpy().tobytes())
        assert len(masks) == 3

    def test_chooses_the_share_and_masks_80_of_100_and_changes_10(self) -> None:
        count = 400
        whole = samples(count, 128)
        batch = an_objective().batch(whole, positions(count))
        inputs, targets, predicted = (batch[name].numpy() for name in ("inputs", "targets", "predicted"))
        open_to_choice = whole.valid[:, :-1] & ~np.isin(whole.tokens[:, :-1], (END, PADDING, MASK))
        assert predicted[open_to_choice].mean() == pytest.approx(0.15, abs=0.005)
        chosen, kept = inputs[predicted], (inputs == targets)[predicted]
        assert (chosen == MASK).mean() == pytest.approx(0.8, abs=0.015)
        # One of the VOCABULARY - 3 tokens that are drawn from is the one that was there.
        assert kept.mean() == pytest.approx(0.1 + 0.1 / (VOCABULARY - 3), abs=0.01)
        assert np.array_equal(inputs[~predicted], targets[~predicted])

    def test_never_chooses_control_tokens_and_padding(self) -> None:
        batch = an_objective(probability=0.999999).batch(samples(), positions())
        targets, predicted = batch["targets"].numpy(), batch["predicted"].numpy()
        assert not predicted[np.isin(targets, (END, PADDING, MASK))].any()
        assert not predicted[-1, 5:].any()
        assert predicted[:-1][~np.isin(targets[:-1], (END, PADDING, MASK))].all()

    def test_chooses_whole_words_where_that_is_asked_for(self) -> None:
        starts = np.arange(VOCABULARY) % 3 != 1  # a third of the tokens continue a word
        whole = samples(200, 64)
        predicted = an_objective(word_starts=starts).batch(whole, positions(200))["predicted"].numpy()
        tokens = whole.tokens[:, :-1]
        is_control, before = np.isin(tokens, (END, PADDING, MASK)), predicted[:, :-1]
        continues = ~starts[tokens[:, 1:]] & ~is_control[:, 1:] & ~is_control[:, :-1] & whole.valid[:, 1:-1]
        assert np.array_equal(predicted[:, 1:][continues], before[continues])
        assert before[continues].mean() == pytest.approx(0.15, abs=0.02)

    def test_of_nothing_predicts_nothing(self) -> None:
        objective, model = an_objective(), a_model()
        objective.prepare(model)
        nothing = objective.batch(samples(), positions()).nothing(2)
        assert int(objective.targets(nothing).sum()) == 0
        sums = objective.sums(model, nothing, 1.0)
        sums.objective.backward()
        assert float(sums.objective.detach()) == 0
        assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)


class TestSums:
    def test_are_those_of_transformers(self) -> None:
        objective, model, reference = an_objective(document_mask="none"), a_model(), a_model()
        objective.prepare(model)
        batch = objective.batch(samples(), positions())
        count = int(objective.targets(batch).sum())
        sums = objective.sums(model, batch, 1 / count)
        sums.objective.backward()
        labels = torch.where(batch["predicted"], batch["targets"].long(), -100)
        expected = reference(input_ids=batch["inputs"].long(), labels=labels)
        expected.loss.backward()
        assert float(sums.objective.detach()) == pytest.approx(float(expected.loss.detach()), rel=1e-5)
        assert float(sums.loss.sum()) / count == pytest.approx(float(expected.loss.detach()), rel=1e-5)
        for (name, mine), theirs in zip(model.named_parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6, msg=name)
        best = expected.logits.argmax(-1)
        right = (best == batch["targets"]) & batch["predicted"]
        assert sums.hits is not None
        assert sums.hits.tolist() == right.sum(1).tolist()

    @pytest.mark.parametrize("kind", ["bert", "modernbert", "distilbert"])
    def test_keep_documents_apart(self, kind: str) -> None:
        """A document in a packed sequence has the loss that it has alone."""
        sizes = {"modernbert": {"pad_token_id": PADDING, "global_attn_every_n_layers": 1}}
        names = {"distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2}}
        extra = {**sizes.get(kind, {}), **names.get(kind, {})}
        torch.manual_seed(1)
        config = AutoConfig.for_model(**{**BERT, "model_type": kind, **extra})
        model = AutoModelForMaskedLM.from_config(config).eval()
        objective = an_objective()
        objective.prepare(model)
        whole = samples(4, documents=0.0)
        whole.document_ids[:, 12:] = 1
        batch = objective.batch(whole, positions(4))
        first = Batch({name: tensor[:, :12] for name, tensor in batch.tensors.items()})
        second = Batch({name: tensor[:, 12:] for name, tensor in batch.tensors.items()})
        apart = objective.sums(model, first, 1.0).loss + objective.sums(model, second, 1.0).loss
        torch.testing.assert_close(objective.sums(model, batch, 1.0).loss, apart, rtol=1e-4, atol=1e-5)
        # Where losses are only measured, nobody prepares.
        torch.testing.assert_close(an_objective().sums(model, batch, 1.0).loss, apart, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("changes", [{"model_type": "roberta"}, {"model_type": "longformer", "attention_window": 8},
                                         {"is_decoder": True}])  # fmt: skip
    def test_of_a_model_that_counts_or_looks_otherwise_are_refused(self, changes: dict[str, Any]) -> None:
        torch.manual_seed(1)
        model = AutoModelForMaskedLM.from_config(AutoConfig.for_model(**{**BERT, **changes, "pad_token_id": None}))
        with pytest.raises(UserError) as caught:
            an_objective().prepare(model)
        assert caught.value.code == "model-not-for-objective"

    def test_of_a_model_that_heeds_no_mask_are_refused(self) -> None:
        torch.manual_seed(1)
        config = AutoConfig.for_model(
            "fnet", vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2
        )
        model = AutoModelForMaskedLM.from_config(config)
        with pytest.raises(UserError) as caught:
            an_objective().prepare(model)
        assert caught.value.code == "document-mask-unsupported"
        an_objective(document_mask="none").prepare(model)

    def test_have_the_same_gradient_on_every_number_of_ranks(self) -> None:
        objective, whole = an_objective(), samples()
        targets = int(objective.targets(objective.batch(whole, positions())).sum())

        def gradient(world: int) -> Tensor:
            model = a_model(torch.float64)
            objective.prepare(model)
            for rank in range(world):
                rows = rank_slice(SAMPLES, rank, world)
                part = objective.batch(whole.rows(rows), positions()[rows])
                objective.sums(model, part, 1 / targets).objective.backward()
            return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

        expected = gradient(1)
        for world in (2, 3, 7):
            torch.testing.assert_close(gradient(world), expected, rtol=1e-10, atol=1e-12)
