"""Every mistake in a job that learns from images gets one clear message: code, place, and what to write instead."""

import pytest

from pretrain_api.parse import parse
from pretrain_api.problems import InvalidJob, path_text

GOOD = """\
apiVersion: pretrain.dev/v1alpha1
kind: PretrainJob
metadata:
  name: images
spec:
  storage: {uri: runs/images}
  data:
    sources:
      - {name: photos, shards: photos/manifest.json}
  model: {preset: vit-mae-nano}
  objective: {mae: {imageSize: 64}}
  training: {globalBatchSize: 32, steps: 200, schedule: {warmupSteps: 20}}
  evaluation: {labels: category}
"""
DINO = "spec.objective={dino: {imageSize: 64, localImageSize: 32%s}}"
CLIP = "spec.objective={clip: {imageSize: 64}}"


def problems_of(*sets: str) -> tuple[str, list[tuple[str, str, str]]]:
    """The whole message, and (code, path, advice) of each problem."""
    with pytest.raises(InvalidJob) as caught:
        parse(GOOD, "job.yaml", sets)
    return str(caught.value), [(p.code, path_text(p.path), p.instead) for p in caught.value.problems]


def test_the_job_that_the_table_breaks_is_valid() -> None:
    assert parse(GOOD).spec.training.steps == 200


@pytest.mark.parametrize(
    "override",
    [
        "spec.objective.mae.maskRatio=0.5",
        "spec.objective.mae.imageSize=128",
        "spec.objective.mae.horizontalFlip=0",
        "spec.objective.mae.normalizedPixels=none",
        "spec.evaluation.labels=null",
        "spec.data.maxBadRecords=10",
        "spec.data.sources[0].maxEpochs=3",
    ],
)
def test_other_settings_are_valid_too(override: str) -> None:
    parse(GOOD, "job.yaml", [override])


# What is set on the good job, one after the other: code, path and a part of the advice.
TABLE = [
    # Text where there is none.
    ("spec.tokenizer={train: {vocabSize: 4096}}", "tokenizer-for-objective", "spec.tokenizer", "Remove tokenizer."),
    ("spec.tokenizer={uri: tokenizer}", "tokenizer-for-objective", "spec.tokenizer", "Remove tokenizer."),
    ("spec.data.sources[0]={name: web, documents: 'web/*.jsonl'}", "images-from-documents",
     "spec.data.sources[0].documents", "Index tars of images with `pretrain index`"),
    ("spec.data.sources[0]={name: web, documents: 'web/*.tar', format: webdataset}", "images-from-documents",
     "spec.data.sources[0].documents", "write shards: with the manifest.json"),
    ("spec.training={globalBatchSize: 32, tokens: 1_000_000}", "images-have-no-tokens", "spec.training.tokens",
     "Write samples or steps instead."),
    ("spec.evaluation.prompts=[a cat]", "evaluation-for-objective", "spec.evaluation.prompts", "Remove prompts."),
    ("spec.evaluation.promptTemplates=['a photo of a {}.']", "evaluation-for-objective",
     "spec.evaluation.promptTemplates", "objective clip"),
    ("spec.objective={causalLM: {}}", "tokenizer-for-objective", "spec.tokenizer", "Write tokenizer: "),
    ("spec.objective={causalLM: {}}; spec.tokenizer={train: {vocabSize: 4096}}", "evaluation-for-objective",
     "spec.evaluation.labels", "Remove labels."),
    # Sizes.
    ("spec.objective.mae.imageSize=60", "patches-not-dividing", "spec.objective.mae.imageSize", "Write imageSize: 56"),
    ("spec.objective.mae.imageSize=0", "out-of-bounds", "spec.objective.mae.imageSize", "or more"),
    ("spec.objective.mae.imageSize=100000", "out-of-bounds", "spec.objective.mae.imageSize", "or less"),
    ("spec.objective.mae.imageSize=64.5", "wrong-type", "spec.objective.mae.imageSize", "whole number"),
    ("spec.objective.mae.imageSize=[64, 64]", "wrong-type", "spec.objective.mae.imageSize", "whole number"),
    (f"{DINO % ''}; spec.objective.dino.localImageSize=36; spec.model.preset=vit-nano", "patches-not-dividing",
     "spec.objective.dino.localImageSize", "Write localImageSize: 32"),
    # Masks and crops.
    ("spec.objective.mae.maskRatio=0", "mask-of-nothing-or-all", "spec.objective.mae.maskRatio", "Write 0.75"),
    ("spec.objective.mae.maskRatio=1", "mask-of-nothing-or-all", "spec.objective.mae.maskRatio", "Write 0.75"),
    ("spec.objective.mae.maskRatio=0.999", "mask-of-nothing-or-all", "spec.objective.mae.maskRatio", "Write 0.75"),
    ("spec.objective.mae.maskRatio=75", "out-of-bounds", "spec.objective.mae.maskRatio", "Write 1 or less"),
    ("spec.objective.mae.maskRatio=-0.1", "out-of-bounds", "spec.objective.mae.maskRatio", "Write 0 or more"),
    ("spec.objective.mae.minCropArea=0", "out-of-bounds", "spec.objective.mae.minCropArea", "Write"),
    ("spec.objective.mae.minCropArea=1.5", "out-of-bounds", "spec.objective.mae.minCropArea", "Write 1 or less"),
    ("spec.objective.mae.horizontalFlip=2", "out-of-bounds", "spec.objective.mae.horizontalFlip", "Write 1 or less"),
    ("spec.objective.mae.normalizedPixels=perImage", "unknown-value", "spec.objective.mae.normalizedPixels",
     "Write one of them."),
    (DINO.replace("localImageSize: 32", "localImageSize: 96") % "", "local-crop-above-global",
     "spec.objective.dino.localImageSize", "Write localImageSize: 64 or less."),
    (DINO % ", minLocalCropArea: 0.5", "local-crop-above-global", "spec.objective.dino.minLocalCropArea",
     "Write 0.4 or less."),
    # Models, batches, names.
    ("spec.model={preset: llama-tiny}", "preset-for-another-objective", "spec.model.preset", "Write one of vit-mae-nano"),
    ("spec.model={preset: vit-mae-nana}", "preset-unknown", "spec.model.preset", "Write vit-mae-nano."),
    (f"spec.training.globalBatchSize=1; {CLIP}", "contrastive-batch-of-one",
     "spec.training.globalBatchSize", "Write 2 or more"),
    ("spec.training.globalBatchSize=1; spec.objective={simclr: {imageSize: 64}}",
     "contrastive-batch-of-one", "spec.training.globalBatchSize", "Write 2 or more"),
    (CLIP, "tokenizer-for-objective", "spec.tokenizer", "Write tokenizer: {train: {vocabSize: 32768}}"),
    ("spec.objective={mae: {}, clip: {}}", "objective-kind", "spec.objective", "Write only one of them"),
    ("spec.objective.mae.maskProbability=0.5", "unknown-field", "spec.objective.mae.maskProbability",
     "Write spec.objective.maskedLM.maskProbability."),
    ("spec.objective.mae.image_size=64", "unknown-field", "spec.objective.mae.image_size", "Write imageSize."),
    ("spec.data.maxBadRecords=-1", "out-of-bounds", "spec.data.maxBadRecords", "Write 0 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "code", "path", "advice"), TABLE, ids=[row[0] for row in TABLE])
def test_a_mistake_is_named_with_its_path_and_what_to_write(override: str, code: str, path: str, advice: str) -> None:
    message, problems = problems_of(*override.split("; "))
    matching = [instead for found, where, instead in problems if (found, where) == (code, path)]
    assert matching, message
    assert advice in matching[0]


@pytest.mark.parametrize(
    ("template", "instead"), [("a photo", "Write {} where it stands"), ("{} and {}", "Write {} where it stands")]
)
def test_a_template_says_once_where_the_label_stands(template: str, instead: str) -> None:
    _, problems = problems_of(CLIP, f"spec.evaluation.promptTemplates=['{template}']")
    assert (
        "evaluation-for-objective",
        "spec.evaluation.promptTemplates[0]",
        f"{instead}, as in: a photo of a {{}}.",
    ) in (problems)
