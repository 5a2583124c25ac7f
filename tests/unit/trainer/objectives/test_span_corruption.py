"""What is cut out of a text, and that the gradient is that of T5's own loss, whatever the number of ranks."""

from typing import Any

import numpy as np
import pytest
import torch
from support import world_steps
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from pretrain_api import spans
from pretrain_api.errors import UserError
from pretrain_trainer.data.batches import rank_slice
from pretrain_trainer.data.samples import Samples
from pretrain_trainer.objectives.span_corruption import SpanCorruption

pytestmark = pytest.mark.usefixtures("one_thread")

VOCABULARY, END, START = 250, 0, 1
SENTINELS = tuple(range(180, 220))
T5 = {
    "model_type": "t5", "d_model": 16, "d_ff": 24, "d_kv": 8, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0,
    "feed_forward_proj": "gated-gelu", "vocab_size": VOCABULARY, "pad_token_id": START, "eos_token_id": END,
}  # fmt: skip


def an_objective(seed: int = 5, **settings: float) -> SpanCorruption:
    return SpanCorruption(SENTINELS, END, START, seed, **settings)


def a_model(dtype: torch.dtype = torch.float32, start: int = START) -> Any:
    torch.manual_seed(1)
    config = AutoConfig.for_model(**T5)
    config.decoder_start_token_id = start
    return AutoModelForSeq2SeqLM.from_config(config, dtype=dtype)


def some_samples(count: int, length: int, padding: int = 0) -> Samples:
    """Text without sentinels; the last `padding` tokens of each sample are padding."""
    tokens = np.random.default_rng(3).integers(2, 180, (count, length + 1)).astype(np.int32)
    valid = np.ones(tokens.shape, dtype=np.bool_)
    valid[:, length + 1 - padding :] = False
    return Samples(tokens, np.zeros_like(tokens), valid, np.zeros(count, dtype=np.bool_))


def rebuilt(inputs: list[int], targets: list[int]) -> list[int]:
    """The text that inputs and targets were made of."""
    *written, end = targets
    assert end == END
    spans_by_sentinel: dict[int, list[int]] = {}
    for token in written:
        if token in SENTINELS:
            spans_by_sentinel[token] = []
        else:
            spans_by_sentinel[next(reversed(spans_by_sentinel))].append(token)
    assert list(spans_by_sentinel) == [token for token in inputs if token in SENTINELS]
    return [token for place in inputs for token in spans_by_sentinel.get(place, [place])]


class TestBatch:
    @pytest.mark.parametrize("length", [7, 64, 100, 255])
    @pytest.mark.parametrize(("density", "mean"), [(0.15, 1.0), (0.15, 3.0), (0.5, 8.0), (0.02, 1.0)])
    def test_every_sample_has_the_counted_lengths_and_gives_its_text_back(
        self, length: int, density: float, mean: float
    ) -> None:
        cut = spans.cut(length, density, mean)
        samples = some_samples(40, length)
        batch = an_objective(noise_density=density, mean_span_length=mean).batch(samples, np.arange(40))
        assert batch["inputs"].shape == (40, cut.inputs)
        assert batch["targets"].shape == batch["predicted"].shape == (40, cut.targets)
        assert batch["predicted"].all()
        for row in range(40):
            text = rebuilt(batch["inputs"][row].tolist(), batch["targets"][row].tolist())
            assert text == samples.tokens[row, :-1].tolist()

    def test_sentinels_come_in_their_order_and_never_side_by_side(self) -> None:
        batch = an_objective().batch(some_samples(50, 100), np.arange(50))
        for row in batch["inputs"].tolist():
            places = [place for place, token in enumerate(row) if token in SENTINELS]
            assert [row[place] for place in places] == list(SENTINELS[: len(places)])
            assert places[0] > 0
            assert min(np.diff(places)) > 1

    def test_a_sample_is_cut_alike_wherever_it_is_read_and_otherwise_at_another_position(self) -> None:
        samples, positions = some_samples(11, 100), np.arange(1000, 1011)
        whole = an_objective().batch(samples, positions)
        for world in (1, 2, 3, 7):
            slices = [rank_slice(11, rank, world) for rank in range(world)]
            parts = [an_objective().batch(samples.rows(own), positions[own]) for own in slices]
            for name, tensor in whole.tensors.items():
                assert torch.equal(torch.cat([part[name] for part in parts]), tensor)
        same = Samples(*(np.repeat(a[:1], 11, axis=0) for a in vars(samples).values()))
        assert len(an_objective().batch(same, positions)["inputs"].unique(dim=0)) == 11
        assert not torch.equal(an_objective(seed=6).batch(samples, positions)["inputs"], whole["inputs"])

    def test_a_slice_without_samples_is_a_batch(self) -> None:
        batch = an_objective().batch(some_samples(3, 100).rows(slice(3, 3)), np.arange(0))
        assert len(batch) == 0
        assert batch["inputs"].shape[1] == spans.cut(100, 0.15, 3.0).inputs

    def test_density_mean_length_and_places_are_those_that_were_asked_for(self) -> None:
        count, length = 2000, 100
        text = np.broadcast_to(np.arange(2, 2 + length + 1, dtype=np.int32), (count, length + 1))
        samples = Samples(text, np.zeros_like(text), np.ones(text.shape, np.bool_), np.zeros(count, np.bool_))
        batch = an_objective().batch(samples, np.arange(count))
        targets = batch["targets"][:, :-1].numpy()
        is_sentinel = np.isin(targets, SENTINELS)
        assert (~is_sentinel).sum(axis=1).tolist() == [15] * count
        assert is_sentinel.sum(axis=1).tolist() == [5] * count
        # Divisions of 15 tokens into 5 spans are all equally probable, so a span has k tokens in C(14 - k, 3) of C(14, 4).
        sizes = np.diff(np.flatnonzero(np.append(is_sentinel.ravel(), True))) - 1
        shares = np.bincount(sizes)[1:] / len(sizes)
        np.testing.assert_allclose(shares[:4], [286 / 1001, 220 / 1001, 165 / 1001, 120 / 1001], atol=0.02)
        # Every place but the first and those near the ends is corrupted as often as any other.
        taken = np.bincount(targets[~is_sentinel] - 2, minlength=length) / count
        assert taken[0] == 0
        assert taken[-1] == 1
        np.testing.assert_allclose(taken[10:85], 0.15, atol=0.05)

    def test_nothing_is_predicted_of_padding_or_after_it(self) -> None:
        samples = some_samples(30, 100, padding=41)
        batch = an_objective().batch(samples, np.arange(30))
        marked = Samples(np.where(samples.valid, 2, 3).astype(np.int32), *list(vars(samples).values())[1:])
        kind = an_objective().batch(marked, np.arange(30))["targets"]
        for row in range(30):
            first = kind[row].tolist().index(3)
            before = first - 1 if int(kind[row, first - 1]) in SENTINELS else first
            assert batch["predicted"][row].tolist() == [place < before for place in range(kind.shape[1])]

    def test_a_stand_in_and_a_batch_of_nothing_predict_nothing(self) -> None:
        objective, samples = an_objective(), some_samples(2, 100)
        samples.valid[1] = False
        batch = objective.batch(samples, np.arange(2))
        assert objective.targets(batch).tolist() == [batch["targets"].shape[1], 0]
        nothing = batch.nothing(1)
        assert objective.targets(nothing).tolist() == [0]
        sums = objective.sums(a_model(), nothing, 1.0)
        assert (sums.objective.item(), sums.loss.tolist()) == (0.0, [0.0])


class TestLoss:
    def test_loss_and_gradient_are_those_of_t5(self) -> None:
        objective = an_objective()
        samples = some_samples(6, 100)
        samples.valid[3, 60:] = False
        batch = objective.batch(samples, np.arange(6))
        ours, theirs = a_model(), a_model()
        objective.prepare(ours)
        count = int(objective.targets(batch).sum())
        sums = objective.sums(ours, batch, 1 / count)
        sums.objective.backward()
        labels = batch["targets"].long().masked_fill(~batch["predicted"], -100)
        # Given apart: T5 shifts what is not predicted to the right as padding, and it is text here.
        shifted = theirs._shift_right(batch["targets"].long())
        loss = theirs(input_ids=batch["inputs"].long(), decoder_input_ids=shifted, labels=labels).loss
        loss.backward()
        torch.testing.assert_close(sums.objective, loss, rtol=1e-5, atol=1e-6)
        for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, reference.grad, rtol=1e-5, atol=1e-6)

    def test_without_padding_labels_alone_give_the_same_loss(self) -> None:
        objective, model = an_objective(), a_model()
        batch = objective.batch(some_samples(6, 100), np.arange(6))
        sums = objective.sums(model, batch, 1.0)
        loss = model(input_ids=batch["inputs"].long(), labels=batch["targets"].long()).loss
        torch.testing.assert_close(sums.objective / batch["targets"].numel(), loss, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(sums.loss.sum(), sums.objective.detach())

    def test_hits_are_the_predicted_tokens_that_are_held_most_probable(self) -> None:
        objective, model = an_objective(), a_model()
        samples = some_samples(6, 100, padding=50)
        batch = objective.batch(samples, np.arange(6))
        logits = model(
            input_ids=batch["inputs"].long(), decoder_input_ids=model._shift_right(batch["targets"].long())
        ).logits
        expected = ((logits.argmax(-1) == batch["targets"]) & batch["predicted"]).sum(1)
        hits = objective.sums(model, batch, 1.0).hits
        assert hits is not None
        assert hits.tolist() == expected.tolist()


def step(world: int) -> tuple[Tensor, Tensor]:
    """Gradient [parameters] and loss of each of 11 samples, as the ranks of a world make them together."""
    whole = some_samples(11, 60)
    whole.valid[2], whole.valid[5, 20:], whole.valid[-1, 3:] = False, False, False
    model, objective = a_model(torch.float64), an_objective()
    objective.prepare(model)
    return world_steps.step(objective, model, whole, np.arange(11), world, micro=2)


def test_the_gradient_is_that_of_the_global_batch_on_any_number_of_ranks() -> None:
    gradient, losses = step(1)
    for world in (2, 3, 7, 13):
        found, found_losses = step(world)
        assert float((found - gradient).abs().max()) < 1e-12 * float(gradient.abs().max()), world
        torch.testing.assert_close(found_losses, losses, rtol=1e-12, atol=0)


class TestPrepare:
    def test_a_decoder_alone_is_refused(self) -> None:
        config = AutoConfig.for_model("gpt2", n_embd=16, n_layer=1, n_head=2, vocab_size=VOCABULARY)
        with pytest.raises(UserError, match=r"no decoder that reads text.*t5-small\. \[model-not-for-objective\]"):
            an_objective().prepare(AutoModelForCausalLM.from_config(config))

    def test_another_start_than_the_models_own_is_refused(self) -> None:
        with pytest.raises(UserError, match=r"begins with 7, not with token 1\."):
            an_objective().prepare(a_model(start=7))

    def test_a_decoder_that_sees_what_it_has_to_write_is_refused(self) -> None:
        model = a_model()
        forward = model.forward

        def seeing(input_ids: Tensor, decoder_input_ids: Tensor, use_cache: bool) -> Any:
            return forward(input_ids=input_ids, decoder_input_ids=decoder_input_ids.flip(1), use_cache=use_cache)

        model.forward = seeing
        with pytest.raises(UserError, match="yet to write"):
            an_objective().prepare(model)

    def test_a_decoder_that_takes_no_notice_of_the_encoder_is_refused(self) -> None:
        model = a_model()
        forward = model.forward

        def deaf(input_ids: Tensor, decoder_input_ids: Tensor, use_cache: bool) -> Any:
            return forward(input_ids=input_ids * 0, decoder_input_ids=decoder_input_ids, use_cache=use_cache)

        model.forward = deaf
        with pytest.raises(UserError, match="does not depend on what its encoder reads"):
            an_objective().prepare(model)

    def test_a_model_that_does_not_run_is_refused_with_its_own_words(self) -> None:
        model = a_model()

        def failing(input_ids: Tensor, decoder_input_ids: Tensor, use_cache: bool) -> Any:
            raise ValueError("pixels are missing")

        model.forward = failing
        with pytest.raises(UserError, match="does not run on two texts: pixels are missing"):
            an_objective().prepare(model)
