"""What can be wrong with a job of simclr: one clear message with code, place, and what to write instead."""

import pytest

from pretrain_api.parse import parse
from pretrain_api.problems import InvalidJob, path_text

GOOD = """\
apiVersion: pretrain.dev/v1alpha1
kind: PretrainJob
metadata: {name: views}
spec:
  storage: {uri: runs/views}
  data:
    sources:
      - {name: photos, shards: photos/manifest.json}
  model: {preset: resnet-nano}
  objective: {simclr: {imageSize: 64}}
  training:
    globalBatchSize: 256
    steps: 200
    optimizer: {lars: {}}
  evaluation: {labels: category}
"""

TABLE = [
    ("spec.training.globalBatchSize=1", "contrastive-batch-of-one", "spec.training.globalBatchSize", "2 or more"),
    ("spec.training.microBatchSize=64", "micro-batch-for-objective", "spec.training.microBatchSize", "Leave it out"),
    ("spec.training.tokens=1000", "images-have-no-tokens", "spec.training.tokens", "samples or steps"),
    ("spec.tokenizer={train: {}}", "tokenizer-for-objective", "spec.tokenizer", "Remove tokenizer"),
    ("spec.data.sources[0]={name: web, documents: 'web/*.txt'}", "images-from-documents",
     "spec.data.sources[0].documents", "pretrain index"),
    ("spec.evaluation.prompts=[hello]", "evaluation-for-objective", "spec.evaluation.prompts", "emove"),
    ("spec.evaluation.promptTemplates=['a {}']", "evaluation-for-objective", "spec.evaluation.promptTemplates",
     "objective clip"),
    ("spec.model.preset=llama-tiny", "preset-for-another-objective", "spec.model.preset", "resnet-18"),
    ("spec.model.preset=resnet-51", "preset-unknown", "spec.model.preset", "resnet-50"),
    ("spec.objective={simclr: {imageSize: 4}}", "out-of-bounds", "spec.objective.simclr.imageSize", "8 or more"),
    ("spec.objective={simclr: {temperature: 0}}", "out-of-bounds", "spec.objective.simclr.temperature",
     "more than 0"),
    ("spec.objective={simclr: {minCropArea: 1.5}}", "out-of-bounds", "spec.objective.simclr.minCropArea",
     "1 or less"),
    ("spec.objective={simclr: {colorStrength: 3}}", "out-of-bounds", "spec.objective.simclr.colorStrength",
     "2 or less"),
    ("spec.objective={simclr: {horizontalFlip: 2}}", "out-of-bounds", "spec.objective.simclr.horizontalFlip",
     "1 or less"),
    ("spec.objective={simclr: {projectionSize: 1}}", "out-of-bounds", "spec.objective.simclr.projectionSize",
     "8 or more"),
    ("spec.objective={simclr: {tau: 0.5}}", "unknown-field", "spec.objective.simclr.tau", "temperature"),
    ("spec.objective={simclr: {}, mae: {}}", "objective-kind", "spec.objective", "only one of them"),
    ("spec.training.optimizer={lars: {}, adamw: {}}", "optimizer-kind", "spec.training.optimizer", "only one of them"),
    ("spec.training.optimizer={lars: {momentum: 1}}", "out-of-bounds", "spec.training.optimizer.lars.momentum",
     "less than 1"),
    ("spec.training.optimizer={muon: {learningRate: 0}}", "out-of-bounds",
     "spec.training.optimizer.muon.learningRate", "more than 0"),
]  # fmt: skip


def test_the_job_that_the_mistakes_are_made_in_is_valid() -> None:
    parse(GOOD, "job.yaml", [])


@pytest.mark.parametrize(("override", "code", "path", "advice"), TABLE, ids=[row[0] for row in TABLE])
def test_a_bad_value_is_named_with_its_path_and_what_to_write(override: str, code: str, path: str, advice: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        parse(GOOD, "job.yaml", [override])
    found = {(p.code, path_text(p.path)): p.instead for p in caught.value.problems}
    assert (code, path) in found, str(caught.value)
    assert advice in found[code, path]


def test_patches_have_to_divide_the_views() -> None:
    with pytest.raises(InvalidJob, match="patches of 8 px do not divide"):
        parse(GOOD, "job.yaml", ["spec.model.preset=vit-nano", "spec.objective={simclr: {imageSize: 60}}"])
