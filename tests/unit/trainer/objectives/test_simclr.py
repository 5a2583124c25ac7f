"""SimCLR: the loss of lightly, the same for any number of ranks, and views that follow from seed and position."""

import contextlib
import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from support.rank_processes import on_ranks
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from pretrain_api import presets
from pretrain_api.types.model import SimClr as SimClrSpec
from pretrain_trainer.data.batches import rank_slice
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.objectives import Batch, Moment, Passes
from pretrain_trainer.objectives.global_batch_norm import GlobalBatchNorm
from pretrain_trainer.objectives.simclr import SimClr, nt_xent

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE, SAMPLES, STAND_IN = 16, 11, 4
MODELS = {
    "resnet": {"model_type": "resnet", "embedding_size": 4, "hidden_sizes": [4, 6], "depths": [1, 1], "layer_type": "basic"},
    "vit": {
        "model_type": "vit", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
        "patch_size": 8, "image_size": SIZE, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    },
}  # fmt: skip
OBJECTIVE = SimClr(SimClrSpec(image_size=SIZE, projection_size=8, temperature=0.2), seed=7)


def samples() -> ImageSamples:
    """Digits of scikit-learn, and one that is no image."""

    def png(pixels: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray((pixels * 15).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()

    files = [png(each) for each in load_digits().images[:SAMPLES]]
    files[STAND_IN] = b"no image"
    return ImageSamples(files, [""] * SAMPLES, np.zeros(SAMPLES, dtype=np.bool_), lambda row, why: None)


def module(kind: str) -> nn.Module:
    torch.manual_seed(3)
    return OBJECTIVE.wrapped(AutoModel.from_config(AutoConfig.for_model(**MODELS[kind]))).double()


def whole() -> Batch:
    return OBJECTIVE.batch(samples(), np.arange(SAMPLES))


def step(rank: int, world: int, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of a rank, the losses of its slice, and all running statistics after the update."""
    batch, trained = whole(), module(kind)
    own = rank_slice(SAMPLES, rank, world)
    largest = -(-SAMPLES // world)
    passes = Passes(batch.rows(own.start, own.stop), largest, largest, torch.device("cpu"), contextlib.nullcontext)
    losses = OBJECTIVE.learn(trained, passes, 1 / int(OBJECTIVE.targets(batch).sum()), Moment(0, SAMPLES))
    OBJECTIVE.after_update(trained, Moment(0, SAMPLES))
    gradient = torch.cat([p.grad.flatten() for p in trained.parameters() if p.grad is not None])
    return gradient, losses, torch.cat([b.double().flatten() for b in trained.buffers()])


def measured(rank: int, world: int) -> Tensor:
    """The losses of a rank's slice of what is held out."""
    own = rank_slice(SAMPLES, rank, world)
    passes = Passes(
        whole().rows(own.start, own.stop), -(-SAMPLES // world), 1, torch.device("cpu"), contextlib.nullcontext
    )
    trained = module("resnet").eval()
    with torch.no_grad():
        return OBJECTIVE.measure(trained, passes)


def reference(one: Tensor, other: Tensor) -> Tensor:
    """Of lightly, which ranks need not import."""
    from lightly.loss import NTXentLoss

    found: Tensor = NTXentLoss(temperature=0.2)(one, other)
    return found


class TestLoss:
    def test_is_that_of_lightly(self) -> None:
        torch.manual_seed(0)
        views = torch.randn(2, 9, 8)
        ours, theirs = views.clone().requires_grad_(), views.clone().requires_grad_()
        rows = nn.functional.normalize(ours.transpose(0, 1).reshape(18, 8), dim=1)
        loss = nt_xent(rows, rows, 0, 0.2).mean()
        expected = reference(*theirs)
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
        loss.backward()
        expected.backward()
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("kind", MODELS)
    def test_and_gradient_of_a_step_are_those_of_pytorchs_batch_norm_and_lightly(self, kind: str) -> None:
        batch, trained = whole(), module(kind)
        is_there = batch["valid"]
        sums = OBJECTIVE.sums(trained, batch, 1 / int(OBJECTIVE.targets(batch).sum()))
        sums.objective.backward()  # type: ignore[no-untyped-call]

        other = module(kind)
        for name, norm in list(other.named_modules()):
            if isinstance(norm, GlobalBatchNorm):
                plain = nn.BatchNorm2d(norm.num_features) if "encoder" in name else nn.BatchNorm1d(norm.num_features)
                plain.double().load_state_dict(norm.state_dict())
                other.set_submodule(name, plain)
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        views = batch["views"][is_there].flatten(0, 1).float() / 255
        pixels = (views - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
        found = other.encoder(pixels.double())
        features = found.last_hidden_state[:, 0] if kind == "vit" else found.pooler_output.flatten(1)
        projected = other.head(features).view(-1, 2, 8)
        expected = reference(projected[:, 0], projected[:, 1])
        torch.testing.assert_close(sums.objective, expected, rtol=1e-5, atol=1e-6)
        expected.backward()
        for (name, p), q in zip(trained.named_parameters(), other.parameters(), strict=True):
            if p.requires_grad:
                torch.testing.assert_close(p.grad, q.grad, rtol=1e-5, atol=1e-6, msg=name)

    @pytest.mark.parametrize("kind", MODELS)
    @pytest.mark.parametrize("world", [2, 3, 7])
    def test_and_gradient_are_the_same_on_any_number_of_ranks(self, kind: str, world: int) -> None:
        gradient, losses, statistics = step(0, 1, kind)
        ranks = on_ranks(world, __file__, "step", kind)
        size = float(gradient.abs().max())
        found = torch.stack([rank[0] for rank in ranks]).sum(dim=0)
        assert float((found - gradient).abs().max()) < 1e-10 * size
        torch.testing.assert_close(torch.cat([rank[1] for rank in ranks]), losses, rtol=1e-6, atol=1e-6)
        for rank in ranks:
            torch.testing.assert_close(rank[2], statistics, rtol=1e-10, atol=1e-10)

    def test_of_what_is_held_out_is_that_among_all_of_it_on_any_number_of_ranks(self) -> None:
        losses = torch.cat(on_ranks(3, __file__, "measured"))
        torch.testing.assert_close(losses, measured(0, 1), rtol=1e-6, atol=1e-6)

    def test_is_nothing_where_no_sample_is_there(self) -> None:
        for kind in MODELS:
            trained = module(kind)
            sums = OBJECTIVE.sums(trained, whole().nothing(3), 1.0)
            sums.objective.backward()  # type: ignore[no-untyped-call]
            assert sums.loss.tolist() == [0, 0, 0]
            assert all(not p.grad.any() for p in trained.parameters() if p.grad is not None)


class TestBatch:
    def test_a_sample_has_the_same_views_in_any_batch_and_others_at_another_place(self) -> None:
        views = whole()["views"]
        part = OBJECTIVE.batch(samples().rows(slice(5, 8)), np.arange(5, 8))["views"]
        assert torch.equal(views[5:8], part)
        again = OBJECTIVE.batch(samples(), np.arange(SAMPLES) + SAMPLES)["views"]
        assert not torch.equal(views, again)
        assert views.shape == (SAMPLES, 2, 3, SIZE, SIZE)
        assert not torch.equal(views[:, 0], views[:, 1])

    def test_what_is_no_image_counts_in_nothing(self) -> None:
        batch = whole()
        assert batch["valid"].tolist() == [row != STAND_IN for row in range(SAMPLES)]
        assert OBJECTIVE.targets(batch).tolist() == [2 * (row != STAND_IN) for row in range(SAMPLES)]
        assert not batch["views"][STAND_IN].any()


@pytest.mark.parametrize("preset", ["resnet-nano", "vit-nano"])
def test_features_are_what_the_encoder_pools_and_the_head_starts_alike(preset: str) -> None:
    config = presets.config(preset)
    if preset.startswith("vit"):
        config["image_size"] = SIZE
    one, other = (OBJECTIVE.wrapped(AutoModel.from_config(AutoConfig.for_model(**config))) for _ in range(2))
    torch.testing.assert_close(one.head.state_dict(), other.head.state_dict(), rtol=0, atol=0)
    encoder = OBJECTIVE.exported(one).eval()
    features = OBJECTIVE.embed(encoder, torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8))
    assert features.shape == (2, 128)
