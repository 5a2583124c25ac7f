"""Rules of objectives that learn from images: their data, their sizes, and what of a job has no meaning for them."""

from collections.abc import Iterator
from typing import Any

from pretrain_api import objectives, presets
from pretrain_api.needs import Inputs
from pretrain_api.problems import shown
from pretrain_api.rules.base import Finding, Rule
from pretrain_api.types import PretrainJobSpec


def _either(*inputs: Inputs) -> str:
    """In CEL: whether the objective's samples are one of these."""
    return " || ".join(
        f"has(self.objective.{name})" for name, kind in objectives.KINDS.items() if kind.needs.inputs in inputs
    )


def _objective(spec: PretrainJobSpec) -> str:
    return objectives.name(spec.objective)


def _tokenizer(spec: PretrainJobSpec) -> Iterator[Finding]:
    if spec.tokenizer is None and objectives.reads_text(spec):
        instead = "Write tokenizer: {train: {vocabSize: 32768}}, or uri with the folder of one."
        yield ("spec", "tokenizer"), f"no tokenizer is written, which objective {_objective(spec)} needs.", instead
    elif spec.tokenizer is not None and not objectives.reads_text(spec):
        yield ("spec", "tokenizer"), f"objective {_objective(spec)} reads no text.", "Remove tokenizer."


def _sources(spec: PretrainJobSpec) -> Iterator[Finding]:
    if objectives.learns_text(spec):
        return
    for i, source in enumerate(spec.data.sources):
        if source.documents:
            what = (
                f"objective {_objective(spec)} learns from images, and {shown(source.documents)} are documents of text."
            )
            instead = (
                "Index tars of images with `pretrain index`, and write shards: with the manifest.json that it names."
            )
            yield ("spec", "data", "sources", i, "documents"), what, instead


def _length(spec: PretrainJobSpec) -> Iterator[Finding]:
    if spec.training.tokens is not None and not objectives.learns_text(spec):
        what = f"samples of objective {_objective(spec)} are images, which have no length in tokens."
        yield ("spec", "training", "tokens"), what, "Write samples or steps instead."


def _prompts(spec: PretrainJobSpec) -> Iterator[Finding]:
    path = ("spec", "evaluation")
    if objectives.learns_text(spec):
        if spec.evaluation.labels:
            yield (*path, "labels"), f"objective {_objective(spec)} has no images to classify.", "Remove labels."
    elif spec.evaluation.prompts:
        yield (*path, "prompts"), f"objective {_objective(spec)} writes no text.", "Remove prompts."
    templates = spec.evaluation.prompt_templates
    if templates and not (spec.objective.clip and spec.evaluation.labels):
        what = "templates are filled with the labels of images for clip, and there are none here."
        yield (*path, "promptTemplates"), what, "Write evaluation.labels and objective clip, or remove promptTemplates."
    for index, template in enumerate(templates):
        if template.count("{}") != 1:
            what = f"{shown(template)} says not in one place where the label stands."
            yield (*path, "promptTemplates", index), what, "Write {} where it stands, as in: a photo of a {}."


def _vision(spec: PretrainJobSpec) -> dict[str, Any]:
    """The settings of the model's encoder of images, as far as they are written."""
    preset = presets.PRESETS.get(spec.model.preset)
    config = dict(preset.config) if preset else spec.model.config or {}
    vision = config.get("vision_config", config)
    return vision if isinstance(vision, dict) else {}


def _patches(spec: PretrainJobSpec) -> Iterator[Finding]:
    patch = _vision(spec).get("patch_size")
    if objectives.learns_text(spec) or not isinstance(patch, int) or patch < 1:
        return
    path = ("spec", "objective", _objective(spec))
    sides = [("imageSize", objectives.image_size(spec))]
    if spec.objective.dino and spec.objective.dino.local_crops:
        sides.append(("localImageSize", spec.objective.dino.local_image_size))
    for field, side in sides:
        if side % patch:
            what = f"{field} is {side}, which patches of {patch} px do not divide."
            yield (
                (*path, field),
                what,
                f"Write {field}: {max(patch, side // patch * patch)}, or a model of other patches.",
            )


def _mask(spec: PretrainJobSpec) -> Iterator[Finding]:
    mae, patch = spec.objective.mae, _vision(spec).get("patch_size")
    if mae is None:
        return
    patches = (mae.image_size // patch) ** 2 if isinstance(patch, int) and 0 < patch <= mae.image_size else 1 << 20
    seen = int(patches * (1 - mae.mask_ratio))
    if seen in (0, patches):
        what = f"maskRatio is {mae.mask_ratio:g}, which leaves {seen} of {patches} patches to see"
        what += ", so nothing would be predicted." if seen else "."
        yield ("spec", "objective", "mae", "maskRatio"), what, "Write 0.75, as the paper has it."


def _crops(spec: PretrainJobSpec) -> Iterator[Finding]:
    dino = spec.objective.dino
    if dino is None or not dino.local_crops:
        return
    path = ("spec", "objective", "dino")
    if dino.local_image_size > dino.image_size:
        what = f"localImageSize is {dino.local_image_size}, larger than a global crop ({dino.image_size})."
        yield (*path, "localImageSize"), what, f"Write localImageSize: {dino.image_size} or less."
    if dino.min_local_crop_area > dino.min_global_crop_area:
        what = (
            f"minLocalCropArea is {dino.min_local_crop_area:g}, above minGlobalCropArea ({dino.min_global_crop_area:g}),"
            " where local crops end."
        )
        yield (*path, "minLocalCropArea"), what, f"Write {dino.min_global_crop_area:g} or less."


def _whole(spec: PretrainJobSpec) -> Iterator[Finding]:
    shard = spec.training.parallelism.shard
    if spec.objective.clip and shard > 1:
        what = f"shard is {shard}, but clip trains its model whole on every rank: the temperature is one number."
        yield ("spec", "training", "parallelism", "shard"), what, "Write shard: 1."


def _contrast(spec: PretrainJobSpec) -> Iterator[Finding]:
    if (spec.objective.clip or spec.objective.simclr) and spec.training.global_batch_size < 2:
        what = "globalBatchSize is 1, but images are told apart from the others of their batch."
        yield ("spec", "training", "globalBatchSize"), what, "Write 2 or more; hundreds are usual."


def _micro_batch(spec: PretrainJobSpec) -> Iterator[Finding]:
    micro = spec.training.micro_batch_size
    if micro and objectives.needs(spec.objective).passes_together:
        what = f"microBatchSize is {micro}, but the batch passes at once: {_objective(spec)} normalises over all of it."
        yield (
            ("spec", "training", "microBatchSize"),
            what,
            "Leave it out; where memory is short, lower globalBatchSize.",
        )


RULES = (
    Rule(
        "tokenizer-for-objective",
        "spec",
        _tokenizer,
        cel=f"has(self.tokenizer) != ({_either('images')})",
        message="tokenizer: objectives of text and clip need one, mae, simclr and dino have none."
        " Write tokenizer: {train: {vocabSize: 32768}}, or remove it.",
        field="tokenizer",
    ),
    Rule("images-from-documents", "spec", _sources),
    Rule(
        "images-have-no-tokens",
        "spec",
        _length,
        cel=f"!has(self.training.tokens) || !({_either('images', 'captionedImages')})",
        message="training.tokens is written, but samples are images. Write samples or steps instead.",
        field="training.tokens",
    ),
    Rule("evaluation-for-objective", "spec", _prompts),
    Rule("patches-not-dividing", "spec", _patches),
    Rule("mask-of-nothing-or-all", "spec", _mask),
    Rule("local-crop-above-global", "spec", _crops),
    Rule("clip-not-sharded", "spec", _whole),
    Rule(
        "contrastive-batch-of-one",
        "spec",
        _contrast,
        cel="self.training.globalBatchSize > 1 || !(has(self.objective.clip) || has(self.objective.simclr))",
        message="training.globalBatchSize is 1, but images are told apart from the others of their batch. Write 2 or more.",
        field="training.globalBatchSize",
    ),
    Rule(
        "micro-batch-for-objective",
        "spec",
        _micro_batch,
        cel="!has(self.training.microBatchSize) || !has(self.objective.simclr)",
        message="training.microBatchSize is written, but simclr normalises over the whole batch, which passes at once."
        " Leave it out; where memory is short, lower globalBatchSize.",
        field="training.microBatchSize",
    ),
)
