"""Mistakes in jobs that learn from images by themselves: code, place, and what to write instead."""

import pytest

from pretrain_api.parse import parse
from pretrain_api.problems import InvalidJob, path_text

DINO = """\
apiVersion: pretrain.dev/v1alpha1
kind: PretrainJob
metadata: {name: small}
spec:
  storage: {uri: runs/small}
  data:
    sources:
      - {name: emoji, shards: emoji/manifest.json}
  model: {preset: vit-nano}
  objective:
    dino: {imageSize: 32, localImageSize: 16}
  training: {globalBatchSize: 32, steps: 200, schedule: {warmupSteps: 20}}
  evaluation: {labels: category}
"""
MAE = DINO.replace("vit-nano", "vit-mae-nano").replace(
    "dino: {imageSize: 32, localImageSize: 16}", "mae: {imageSize: 32}"
)

# What is set on the good job: code, path and a part of the advice.
BOTH = [
    ("spec.data.sources=[{name: web, documents: 'web/*.txt'}]", "images-from-documents", "spec.data.sources[0].documents", "pretrain index"),
    ("spec.training={globalBatchSize: 32, tokens: 1000000}", "images-have-no-tokens", "spec.training.tokens", "samples or steps"),
    ("spec.tokenizer={train: {vocabSize: 4096}}", "tokenizer-for-objective", "spec.tokenizer", "Remove tokenizer."),
    ("spec.evaluation.prompts=['hello']", "evaluation-for-objective", "spec.evaluation.prompts", "Remove prompts."),
    ("spec.evaluation.promptTemplates=['a {}']", "evaluation-for-objective", "spec.evaluation.promptTemplates", "remove promptTemplates"),
    ("spec.model={preset: bert-nano}", "preset-for-another-objective", "spec.model.preset", "vit"),
    ("spec.model={preset: llama-nano}", "preset-for-another-objective", "spec.model.preset", "vit"),
]  # fmt: skip
OF_DINO = [
    ("spec.objective.dino.imageSize=36", "patches-not-dividing", "spec.objective.dino.imageSize", "Write imageSize: 32"),
    ("spec.objective.dino.imageSize=4", "out-of-bounds", "spec.objective.dino.imageSize", "8"),
    ("spec.objective.dino.localImageSize=12", "patches-not-dividing", "spec.objective.dino.localImageSize", "Write localImageSize: 8"),
    ("spec.objective.dino.localImageSize=40", "local-crop-above-global", "spec.objective.dino.localImageSize", "32 or less"),
    ("spec.objective.dino.minLocalCropArea=0.5", "local-crop-above-global", "spec.objective.dino.minLocalCropArea", "0.4 or less"),
    ("spec.objective.dino.localCrops=-1", "out-of-bounds", "spec.objective.dino.localCrops", "0"),
    ("spec.objective.dino.teacherTemperature=0", "out-of-bounds", "spec.objective.dino.teacherTemperature", "0"),
    ("spec.objective.dino.finalTeacherTemperature=2", "out-of-bounds", "spec.objective.dino.finalTeacherTemperature", "1"),
    ("spec.objective.dino.teacherMomentum=1.5", "out-of-bounds", "spec.objective.dino.teacherMomentum", "1"),
    ("spec.objective.dino.prototypes=1", "out-of-bounds", "spec.objective.dino.prototypes", "2"),
    ("spec.objective.dino.frozenSamples=-5", "out-of-bounds", "spec.objective.dino.frozenSamples", "0"),
    ("spec.objective.dino.horizontalFlip=2", "out-of-bounds", "spec.objective.dino.horizontalFlip", "1"),
    ("spec.objective.dino.maskRatio=0.5", "unknown-field", "spec.objective.dino.maskRatio", "spec.objective.mae.maskRatio"),
    ("spec.model={preset: vit-mae-nano}", "preset-for-another-objective", "spec.model.preset", "vit"),
]  # fmt: skip
OF_MAE = [
    ("spec.objective.mae.maskRatio=0", "mask-of-nothing-or-all", "spec.objective.mae.maskRatio", "Write 0.75"),
    ("spec.objective.mae.maskRatio=1", "mask-of-nothing-or-all", "spec.objective.mae.maskRatio", "Write 0.75"),
    ("spec.objective.mae.maskRatio=0.99", "mask-of-nothing-or-all", "spec.objective.mae.maskRatio", "Write 0.75"),
    ("spec.objective.mae.maskRatio=1.5", "out-of-bounds", "spec.objective.mae.maskRatio", "1"),
    ("spec.objective.mae.imageSize=36", "patches-not-dividing", "spec.objective.mae.imageSize", "Write imageSize: 32"),
    ("spec.objective.mae.imageSize=0", "out-of-bounds", "spec.objective.mae.imageSize", "8"),
    ("spec.objective.mae.minCropArea=0", "out-of-bounds", "spec.objective.mae.minCropArea", "0"),
    ("spec.objective.mae.normalizedPixels=all", "unknown-value", "spec.objective.mae.normalizedPixels", "one of them"),
    ("spec.objective.mae.localCrops=8", "unknown-field", "spec.objective.mae.localCrops", "spec.objective.dino.localCrops"),
    ("spec.model={preset: vit-nano}", "preset-for-another-objective", "spec.model.preset", "vit"),
]  # fmt: skip
TABLE = [
    *((DINO, *row) for row in [*BOTH, *OF_DINO]),
    *((MAE, *row) for row in [*BOTH, *OF_MAE]),
]


@pytest.mark.parametrize("text", [DINO, MAE], ids=["dino", "mae"])
def test_the_jobs_that_the_tables_break_are_valid(text: str) -> None:
    assert parse(text).spec.training.steps == 200


@pytest.mark.parametrize(("text", "change", "code", "path", "advice"), TABLE)
def test_a_mistake_gets_one_message(text: str, change: str, code: str, path: str, advice: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        parse(text, "job.yaml", (change,))
    found = [(p.code, path_text(p.path), p.instead) for p in caught.value.problems]
    assert [(code, path)] == [each[:2] for each in found]
    assert advice in found[0][2]


def test_local_crops_that_are_not_made_may_have_any_size() -> None:
    parse(DINO, "job.yaml", ["spec.objective.dino.localCrops=0", "spec.objective.dino.localImageSize=40"])
