"""Masked autoencoding: what is hidden, and the loss beside transformers' own."""

from typing import Any

import numpy as np
import pytest
import torch
from support import world_steps
from support.pictures import PATCH, SIDE, VIT, images
from torch import Tensor
from transformers import AutoConfig, ViTMAEForPreTraining

from pretrain_api.types.model import Mae
from pretrain_trainer.evaluation.trained import TrainedModel
from pretrain_trainer.objectives.mae import MaskedAutoencoder
from pretrain_trainer.objectives.pixels import normalised

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLES, PATCHES = 9, (SIDE // PATCH) ** 2
DECODER = {
    "decoder_hidden_size": 16, "decoder_intermediate_size": 32, "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
}  # fmt: skip


def an_objective(seed: int = 7, **changes: Any) -> MaskedAutoencoder:
    return MaskedAutoencoder(Mae(**{"image_size": SIDE, **changes}), PATCH, seed)


def a_model(dtype: torch.dtype = torch.float64, **changes: Any) -> ViTMAEForPreTraining:
    torch.manual_seed(1)
    config = AutoConfig.for_model(**{**VIT, **DECODER, "model_type": "vit_mae", **changes})
    return ViTMAEForPreTraining(config).to(dtype)


def positions(count: int = SAMPLES) -> np.ndarray:
    return np.arange(100, 100 + count, dtype=np.int64)


class TestBatch:
    def test_hides_other_patches_at_another_position_and_with_another_seed(self) -> None:
        found = {
            objective.batch(images(1), np.array([place]))["order"].numpy().tobytes()
            for objective, place in ((an_objective(), 0), (an_objective(), 1), (an_objective(8), 0))
        }
        assert len(found) == 3

    @pytest.mark.parametrize(("ratio", "hidden"), [(0.75, 12), (0.5, 8), (0.1, 2)])
    def test_hides_the_share_of_every_image_that_is_there(self, ratio: float, hidden: int) -> None:
        objective = an_objective(mask_ratio=ratio)
        model = objective.wrapped(a_model())
        batch = objective.batch(images(3, stand_ins=[1]), positions(3))
        assert objective.targets(batch).tolist() == [hidden, 0, hidden]
        found = model(pixel_values=normalised(batch["pixels"]).double(), noise=batch["order"])
        assert found.mask.sum(dim=1).tolist() == [hidden] * 3

    def test_of_nothing_predicts_nothing(self) -> None:
        objective, model = an_objective(), a_model()
        nothing = objective.batch(images(SAMPLES), positions()).nothing(2)
        assert int(objective.targets(nothing).sum()) == 0
        sums = objective.sums(model, nothing, 1.0)
        sums.objective.backward()
        assert float(sums.objective.detach()) == 0
        assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)


class TestSums:
    @pytest.mark.parametrize(("pixels", "theirs"), [("perPatch", True), ("none", False)])
    def test_are_those_of_transformers(self, pixels: str, theirs: bool) -> None:
        objective, model, reference = an_objective(normalized_pixels=pixels), a_model(), a_model(norm_pix_loss=theirs)
        batch = objective.batch(images(SAMPLES), positions())
        count = int(objective.targets(batch).sum())
        sums = objective.sums(model, batch, 1 / count)
        sums.objective.backward()
        expected = reference(pixel_values=normalised(batch["pixels"]).double(), noise=batch["order"]).loss
        expected.backward()
        assert float(sums.objective.detach()) == pytest.approx(float(expected.detach()), rel=1e-7)
        assert float(sums.loss.sum()) / count == pytest.approx(float(expected.detach()), rel=1e-5)
        for (name, mine), other in zip(model.named_parameters(), reference.parameters(), strict=True):
            if other.grad is None:
                assert mine.grad is None, name
            else:
                torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-9, msg=name)

    def test_have_the_same_gradient_on_every_number_of_ranks(self) -> None:
        def step(world: int, micro: int) -> tuple[Tensor, Tensor]:
            samples = images(SAMPLES, stand_ins=[4])
            return world_steps.step(an_objective(), a_model(), samples, positions(), world, micro)

        gradient, losses = step(1, SAMPLES)
        for world in (1, 2, 3, 7):
            found, found_losses = step(world, 2)
            torch.testing.assert_close(found, gradient, rtol=1e-10, atol=1e-13)
            torch.testing.assert_close(found_losses, losses, rtol=1e-6, atol=0)


class TestFeatures:
    def test_come_from_every_patch_whatever_is_hidden_in_training(self) -> None:
        model, objective = a_model(torch.float32), an_objective()
        pixels = objective.batch(images(3), positions(3))["pixels"]
        found = objective.embed(model, pixels)
        places = min(4, SIDE // PATCH) ** 2
        assert found.shape == (3, places * VIT["hidden_size"])
        assert model.config.mask_ratio == 0.75
        torch.testing.assert_close(found, objective.embed(a_model(torch.float32, mask_ratio=0.5), pixels))

    def test_tell_what_is_where(self) -> None:
        model, objective = a_model(torch.float32), an_objective()
        pixels = objective.batch(images(1), positions(1))["pixels"]
        places = min(4, SIDE // PATCH)
        with torch.no_grad():
            grid = objective.embed(model, pixels).unflatten(1, (places, places, VIT["hidden_size"]))
            order = torch.arange((SIDE // PATCH) ** 2).float()[None]
            model.config.mask_ratio = 0.0
            patches = model.base_model(pixel_values=normalised(pixels), noise=order).last_hidden_state[0, 1:]
        own = patches.unflatten(0, (SIDE // PATCH, SIDE // PATCH))
        part = SIDE // PATCH // places
        torch.testing.assert_close(grid[0, 0, 1], own[:part, part : 2 * part].mean(dim=(0, 1)))

    def test_reconstructions_show_what_is_given_what_is_seen_and_what_is_made_of_it(self) -> None:
        model: Any = a_model(torch.float32)
        objective = an_objective()
        pixels = objective.batch(images(2), positions(2))["pixels"]
        trained = TrainedModel(model, model, objective, None, None)  # type: ignore[arg-type]
        (picture,) = objective.pictures(trained, pixels, ["", ""])
        assert picture.image.size == (2 * 100 - 4, 3 * 100 - 4)
        rows = np.asarray(picture.image)
        seen = rows[100:196, :96]
        assert (np.asarray(rows[:96, :96]) == seen).mean() == pytest.approx(0.25, abs=0.03)
