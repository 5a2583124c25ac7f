"""Self-distillation: crops, schedules by samples seen, and the loss beside lightly's."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from support import world_steps
from support.pictures import PATCH, SIDE, a_vit, images
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from pretrain_api.errors import UserError
from pretrain_api.types.model import Dino
from pretrain_trainer.objectives import Moment
from pretrain_trainer.objectives.attention_maps import attention_maps, last_attention
from pretrain_trainer.objectives.dino import SelfDistillation
from pretrain_trainer.objectives.distillation import Distilled, Head, cross_entropy
from pretrain_trainer.objectives.encoders import features
from pretrain_trainer.objectives.pixels import normalised

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),  # lightly's
]

SAMPLES, PROTOTYPES = 9, 24
BEGINNING = Moment(0, 1000)


def an_objective(seed: int = 7, **changes: Any) -> SelfDistillation:
    settings = {"image_size": SIDE, "local_image_size": 8, "local_crops": 3, "prototypes": PROTOTYPES}
    return SelfDistillation(Dino(**{**settings, **changes}), seed)


def a_module(dtype: torch.dtype = torch.float64, objective: SelfDistillation | None = None) -> Distilled:
    """As in the middle of a run: the teacher is another one than the student, and the centre is not zero."""
    module = (objective or an_objective()).wrapped(a_vit()).to(dtype)
    assert isinstance(module, Distilled)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in [*module.teacher.parameters(), *module.teacher_head.parameters()]:
            parameter.add_(0.05 * torch.randn_like(parameter))
        module.centre.add_(0.1 * torch.randn_like(module.centre))
    return module


def positions(count: int = SAMPLES) -> np.ndarray:
    return np.arange(100, 100 + count, dtype=np.int64)


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


class TestCrops:
    def test_are_two_large_and_several_small_ones_all_different(self) -> None:
        batch = an_objective().batch(images(SAMPLES), positions())
        assert batch["large"].shape == (SAMPLES, 2, 3, SIDE, SIDE)
        assert batch["small"].shape == (SAMPLES, 3, 3, 8, 8)
        assert len({row.numpy().tobytes() for row in batch["large"].flatten(0, 1)}) == 2 * SAMPLES
        assert len({row.numpy().tobytes() for row in batch["small"].flatten(0, 1)}) == 3 * SAMPLES

    def test_are_others_at_another_position_and_with_another_seed(self) -> None:
        found = {
            objective.batch(images(1), np.array([place]))["large"].numpy().tobytes()
            for objective, place in ((an_objective(), 0), (an_objective(), 1), (an_objective(8), 0))
        }
        assert len(found) == 3

    def test_keep_their_colours_where_nothing_is_asked_for(self) -> None:
        """Without changes of colour, half of the images are mirrored and nothing else differs from a crop alone."""
        plain = an_objective(color_strength=0.0, horizontal_flip=0.0)
        mirrored = an_objective(color_strength=0.0, horizontal_flip=1.0)
        one, other = (each.batch(images(4), positions(4))["small"] for each in (plain, mirrored))
        # A blur is symmetric, and so is the loss of colour.
        assert torch.equal(one.flip(-1), other)

    def test_of_nothing_predict_nothing(self) -> None:
        objective, module = an_objective(), a_module()
        batch = objective.batch(images(3, stand_ins=[1]), positions(3))
        assert objective.targets(batch).tolist() == [1, 0, 1]
        assert not batch["large"][1].any()
        nothing = batch.nothing(2)
        assert int(objective.targets(nothing).sum()) == 0
        sums = objective.sums(module, nothing, 1.0)
        sums.objective.backward()
        assert float(sums.objective.detach()) == 0
        assert all(not gradient.any() for gradient in gradients(module).values())


class TestLoss:
    @pytest.mark.parametrize("crops", [2, 3, 10])
    def test_is_that_of_lightly_and_so_is_its_gradient(self, crops: int) -> None:
        torch.manual_seed(2)
        said = torch.randn(crops, SAMPLES, PROTOTYPES, dtype=torch.float64, requires_grad=True)
        taught, centre = torch.randn(2, SAMPLES, PROTOTYPES).double(), torch.randn(PROTOTYPES).double()
        reference = DINOLoss(PROTOTYPES, teacher_temp=0.05, warmup_teacher_temp_epochs=1).double()
        reference.center.copy_(centre)
        theirs = reference(list(taught), list(said))
        (expected,) = torch.autograd.grad(theirs, said)
        losses = cross_entropy(said, taught, centre, 0.05)
        (found,) = torch.autograd.grad(losses.mean(), said)
        assert float(losses.mean().detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)

    def test_of_the_head_is_that_of_lightly(self) -> None:
        torch.manual_seed(2)
        mine = Head(16, PROTOTYPES, hidden=32, bottleneck=8).double()
        theirs = DINOProjectionHead(16, 32, 8, PROTOTYPES).double()
        state = mine.state_dict()
        theirs.load_state_dict(
            {
                **{name: value for name, value in state.items() if name.startswith("layers.")},
                "last_layer.weight_v": state["last.weight"],
                "last_layer.weight_g": torch.ones(PROTOTYPES, 1),
            }
        )
        given = torch.randn(5, 16).double()
        weights = torch.randn(5, PROTOTYPES).double()
        one, other = mine(given), theirs(given)
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
        (one * weights).sum().backward()
        (other * weights).sum().backward()
        expected = [p.grad for name, p in theirs.named_parameters() if not name.endswith("weight_g")]
        for found, wanted in zip(mine.parameters(), expected, strict=True):
            torch.testing.assert_close(found.grad, wanted, rtol=1e-7, atol=1e-12)

    def test_of_a_step_is_lightly_s_for_the_same_crops(self) -> None:
        objective, module = an_objective(), a_module()
        batch = objective.batch(images(SAMPLES), positions())
        reference = DINOLoss(PROTOTYPES, teacher_temp=0.04, warmup_teacher_temp_epochs=1).double()
        reference.center.copy_(module.centre)

        def of(encoder: nn.Module, head: nn.Module, crops: Tensor) -> list[Tensor]:
            views = crops.transpose(0, 1)
            return [head(features(encoder, normalised(view).double())) for view in views]

        taught = [each.detach() for each in of(module.teacher, module.teacher_head, batch["large"])]
        student = (module.student, module.student_head)
        expected = reference(taught, of(*student, batch["large"]) + of(*student, batch["small"]))
        expected.backward()
        wanted = {name: gradient.clone() for name, gradient in gradients(module).items()}
        module.zero_grad(set_to_none=True)
        sums = objective.sums(module, batch, 1 / SAMPLES)
        sums.objective.backward()
        assert float(sums.objective.detach()) == pytest.approx(float(expected.detach()), rel=1e-7)
        assert gradients(module).keys() == wanted.keys()
        for name, gradient in gradients(module).items():
            torch.testing.assert_close(gradient, wanted[name], rtol=1e-5, atol=1e-8)

    def test_has_the_same_gradient_on_every_number_of_ranks(self) -> None:
        def step(world: int, micro: int) -> tuple[Tensor, Tensor]:
            samples = images(SAMPLES, stand_ins=[4])
            return world_steps.step(an_objective(frozen_samples=0), a_module(), samples, positions(), world, micro)

        gradient, losses = step(1, SAMPLES)
        for world in (1, 2, 3, 7):
            found, found_losses = step(world, 2)
            torch.testing.assert_close(found, gradient, rtol=1e-10, atol=1e-13)
            torch.testing.assert_close(found_losses, losses, rtol=1e-6, atol=0)


class TestTeacher:
    def test_begins_as_the_student_and_is_not_trained(self) -> None:
        module = an_objective().wrapped(a_vit())
        assert isinstance(module, Distilled)
        for one, other in zip(module.student.parameters(), module.teacher.parameters(), strict=True):
            assert torch.equal(one, other)
            assert not other.requires_grad
        assert an_objective().exported(module) is module.teacher

    def test_and_its_centre_are_in_checkpoints(self) -> None:
        names = a_module().state_dict().keys()
        assert {"centre", "teacher.layernorm.weight", "teacher_head.last.weight"} <= names

    def test_follows_as_the_paper_says(self) -> None:
        module, objective = a_module(), an_objective(teacher_momentum=0.9)
        batch = objective.batch(images(SAMPLES), positions())
        _, taught = module(batch["large"], batch["small"])
        reference = DINOLoss(PROTOTYPES).double()
        reference.center.copy_(module.centre)
        reference.update_center(taught)
        before, student = (copy.deepcopy(each).state_dict() for each in (module.teacher, module.student))
        world_steps.step(objective, module, images(SAMPLES), positions(), 1, 4)
        halfway = Moment(500, 1000)
        objective.after_update(module, halfway)
        torch.testing.assert_close(module.centre, reference.center.flatten(), rtol=1e-7, atol=1e-9)
        assert objective.momentum(halfway) == pytest.approx(0.95)
        for name, found in module.teacher.state_dict().items():
            torch.testing.assert_close(found, 0.95 * before[name] + 0.05 * student[name], rtol=1e-9, atol=1e-12)

    def test_stand_ins_do_not_move_the_centre(self) -> None:
        centres = []
        for stand_ins in ([], [SAMPLES]):
            module, objective = a_module(), an_objective()
            count = SAMPLES + len(stand_ins)
            world_steps.step(objective, module, images(count, stand_ins), positions(count), 1, 4)
            objective.after_update(module, BEGINNING)
            centres.append(module.centre)
        torch.testing.assert_close(centres[0], centres[1], rtol=1e-9, atol=1e-12)

    def test_drops_nothing_while_the_student_trains(self) -> None:
        module = a_module().train()
        assert module.student.training
        assert not module.teacher.training


class TestSchedules:
    def test_go_by_the_samples_seen(self) -> None:
        objective = an_objective(teacher_momentum=0.9, teacher_temperature=0.04, final_teacher_temperature=0.07)
        moments = [Moment(samples, 1000) for samples in (0, 50, 100, 1000)]
        assert [objective.temperature(each) for each in moments] == pytest.approx([0.04, 0.055, 0.07, 0.07])
        assert objective.momentum(moments[0]) == pytest.approx(0.9)
        assert objective.momentum(moments[-1]) == 1.0
        assert [objective.is_frozen(Moment(samples, 1000)) for samples in (0, 9, 10)] == [True, True, False]
        assert [an_objective(frozen_samples=3).is_frozen(Moment(s, 1000)) for s in (2, 3)] == [True, False]

    def test_the_last_layer_has_no_gradient_at_first(self) -> None:
        for frozen in (0, 1):
            module = a_module()
            world_steps.step(an_objective(frozen_samples=frozen), module, images(SAMPLES), positions(), 1, 4)
            gradient = module.student_head.last.weight.grad
            assert gradient is not None  # the optimizer counts its steps
            assert bool(gradient.any()) != bool(frozen)


class TestEncoders:
    @pytest.mark.parametrize(
        "settings",
        [
            {"model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
             "image_size": SIDE, "patch_size": PATCH},
            {"model_type": "convnext", "hidden_sizes": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "patch_size": 2},
        ],
        ids=["dinov2", "convnext"],
    )  # fmt: skip
    def test_others_than_vit_learn_too(self, settings: dict[str, Any]) -> None:
        torch.manual_seed(1)
        objective = an_objective(image_size=32, local_image_size=16)
        module = objective.wrapped(AutoModel.from_config(AutoConfig.for_model(**settings)))
        objective.prepare(module)
        sums = objective.sums(module, objective.batch(images(2), positions(2)), 1.0)
        sums.objective.backward()
        assert bool(torch.isfinite(sums.loss).all())
        assert objective.embed(objective.exported(module), torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (
            2,
            16,
        )

    def test_that_normalise_by_the_batch_are_refused(self) -> None:
        config = AutoConfig.for_model("resnet", embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
        objective = an_objective(image_size=32, local_image_size=16)
        with pytest.raises(UserError) as caught:
            objective.prepare(objective.wrapped(AutoModel.from_config(config)))
        assert caught.value.code == "model-not-for-objective"
        assert "vit-small" in caught.value.instead

    def test_weights_that_no_feature_comes_from_are_frozen(self) -> None:
        module = an_objective().wrapped(a_vit())
        frozen = [name for name, p in module.named_parameters() if not p.requires_grad and name.startswith("student")]
        assert frozen == ["student.pooler.dense.weight", "student.pooler.dense.bias"]


class TestPictures:
    def test_show_where_each_head_looks(self) -> None:
        model, pixels = a_vit(), an_objective().batch(images(3), positions(3))["large"][:, 0]
        before = model.config._attn_implementation
        attention = last_attention(model, pixels)
        assert attention is not None
        assert attention.shape == (3, 2, (SIDE // PATCH) ** 2)
        assert bool((attention.sum(-1) < 1).all())  # the rest is the class token's own
        assert model.config._attn_implementation == before
        (picture,) = attention_maps(model, pixels)
        # Rows: the images, the mean, two heads; of 96 px with gaps of 4.
        assert picture.image.size == (3 * 100 - 4, 4 * 100 - 4)

    def test_there_are_none_without_a_class_token(self) -> None:
        config = AutoConfig.for_model("convnext", hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], patch_size=2)
        assert attention_maps(AutoModel.from_config(config), torch.zeros(1, 3, 32, 32, dtype=torch.uint8)) == []
