"""What a real API server refuses at `kubectl apply`: every kind of mistake with a message that says what to write."""

import copy
from typing import Any

import pytest
import yaml
from support.cluster.kubectl import Kubectl

GOOD: dict[str, Any] = yaml.safe_load("""
apiVersion: pretrain.dev/v1alpha1
kind: PretrainJob
metadata: {name: small}
spec:
  storage: {uri: "s3://bucket/small"}
  data:
    sources:
      - {name: web, documents: "s3://bucket/web/*.jsonl.zst", weight: 7}
      - {name: code, documents: "s3://bucket/code/*.parquet", weight: 3}
  tokenizer: {train: {vocabSize: 4096}}
  model: {preset: llama-tiny}
  objective: {causalLM: {}}
  training: {sequenceLength: 256, globalBatchSize: 32, steps: 200, schedule: {warmupSteps: 20}}
""")


def changed(path: str, value: Any, job: dict[str, Any] = GOOD) -> dict[str, Any]:
    """The good job with one field written, or removed when the value is None."""
    job = copy.deepcopy(job)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = job
    for part in parents:
        place = place[part] if isinstance(part, int) else place.setdefault(part, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return job


# What is changed, and a part of the answer: the place and what to write instead.
BAD = [
    # Unknown and missing fields, types.
    ("spec.training.sequenceLenght", 5, 'unknown field "spec.training.sequenceLenght"'),
    ("spec.workers.template.hostNetwork", True, 'unknown field "spec.workers.template.hostNetwork"'),
    ("spec.storage.uri", None, "spec.storage.uri: Required value"),
    ("spec.objective", None, "spec.objective: Required value"),
    ("spec.data.sources", None, "spec.data.sources: Required value"),
    ("spec.training.steps", "many", "spec.training.steps: Invalid value: \"string\""),
    ("spec.suspend", "true", "spec.suspend: Invalid value: \"string\""),
    # Enumerations.
    ("spec.training.precision", "fp16", 'spec.training.precision: Unsupported value: "fp16": supported values: "auto"'),
    ("spec.training.schedule.decay", "cosin", 'spec.training.schedule.decay: Unsupported value: "cosin"'),
    ("spec.tokenizer.train.algorithm", "word-piece", 'supported values: "bpe", "wordpiece", "unigram"'),
    ("spec.data.sources.0.format", "csv", 'spec.data.sources[0].format: Unsupported value: "csv"'),
    ("spec.data.prepare.pii.mask", ["name"], 'spec.data.prepare.pii.mask[0]: Unsupported value: "name"'),
    ("spec.export.huggingFace.dtype", "int8", 'supported values: "float32", "bfloat16"'),
    # Bounds.
    ("metadata.name", "a" * 53, "metadata.name: Too long: may not be more than 52"),
    ("metadata.name", "9.5", "metadata.name: Invalid value"),
    ("spec.storage.uri", "", "spec.storage.uri: Invalid value: \"\": spec.storage.uri in body should be at least 1 chars"),
    ("spec.training.globalBatchSize", 0, "spec.training.globalBatchSize in body should be greater than or equal to 1"),
    ("spec.training.seed", 1 << 60, "spec.training.seed in body should be less than or equal to"),
    ("spec.training.optimizer", {"adamw": {"beta1": 1}}, "spec.training.optimizer.adamw.beta1 in body should be less than 1"),
    ("spec.data.sources.0.weight", 0, "spec.data.sources[0].weight in body should be greater than 0"),
    ("spec.data.sources", [], "spec.data.sources in body should have at least 1 items"),
    ("spec.data.sources.1.name", "web", 'spec.data.sources[1]: Duplicate value: {"name":"web"}'),
    ("spec.data.sources.0.name", "Web", "spec.data.sources[0].name in body should match"),
    ("spec.data.validation.fraction", 0.9, "spec.data.validation.fraction in body should be less than or equal to 0.5"),
    ("spec.workers.processesPerWorker", 65, "spec.workers.processesPerWorker in body should be less than or equal to 64"),
    ("spec.workers.resources.limits", {"memory": "8 GB"}, "spec.workers.resources.limits.memory in body should match"),
    ("spec.storage.secretRef", {"name": "My_Secret"}, "spec.storage.secretRef.name in body should match"),
    ("spec.recovery.maxFailures", -1, "spec.recovery.maxFailures in body should be greater than or equal to 0"),
    ("spec.checkpoint.everySeconds", 0, "spec.checkpoint.everySeconds in body should be greater than or equal to 1"),
    # Exactly one.
    ("spec.training.tokens", 10_000_000, "Write exactly one of tokens, samples and steps, for example steps: 1000. [training-length]"),
    ("spec.training.steps", None, "Write exactly one of tokens, samples and steps"),
    ("spec.tokenizer.train", None, "Write exactly one of train and uri"),
    ("spec.tokenizer.uri", "gpt2", "Write exactly one of train and uri, for example train: {vocabSize: 32768}. [tokenizer-kind]"),
    ("spec.model.preset", None, "Write exactly one of preset and config"),
    ("spec.model.config", {"model_type": "llama"}, "Write exactly one of preset and config, for example preset: llama-125m. [model-kind]"),
    ("spec.objective", {}, "[objective-kind]"),
    ("spec.objective.maskedLM", {}, "for example causalLM: {}. [objective-kind]"),
    ("spec.training.optimizer", {}, "for example adamw: {learningRate: 3.0e-4}. [optimizer-kind]"),
    ("spec.data.sources.0.documents", None, "Write exactly one of documents and shards"),
    ("spec.data.sources.0.shards", "s3://bucket/manifest.json", "[source-kind]"),
    ("spec.scheduling.gang", {}, "for example native: {}. [gang-kind]"),
    # Between fields.
    ("spec.storage.endpointUrl", "minio:9000", "endpointUrl is no web address. Write https:// and the server's name. [endpoint-malformed]"),
    ("spec.storage", {"uri": "/data", "endpointUrl": "https://minio"}, "Write an s3:// address in uri, or remove endpointUrl. [endpoint-without-s3]"),
    ("spec.training.microBatchSize", 64, "Write a smaller microBatchSize, or leave it out. [micro-batch-above-batch]"),
    ("spec.training.schedule.warmupSteps", 500, "schedule.warmupSteps is above steps. Write warmupSteps: a tenth of the run."),
    ("spec.training.parallelism.shard", 3, "Write a divisor of both. [shard-not-dividing]"),
    ("spec.workers.min", 4, "min is above max. Lower min or raise max. [workers-min-above-max]"),
    ("spec.workers.max", 64, "Raise globalBatchSize or lower the number of ranks. [batch-below-ranks]"),
    ("spec.training", {"globalBatchSize": 512, "tokens": 1000}, "Raise tokens or samples, or lower globalBatchSize. [run-below-one-batch]"),
    ("spec.data.prepare.deduplicate", {}, "Write deduplicate: {exact: {}, minhash: {}}. [deduplicate-empty]"),
    ("spec.data.prepare.quality", {"preset": "custom"}, "preset is custom, but no filter is written."),
    ("spec.data.prepare.quality", {"gopherQuality": {"minWords": 9, "maxWords": 5}}, "Lower minWords or raise maxWords."),
]  # fmt: skip

IMAGES = {
    **copy.deepcopy(GOOD),
    "spec": {
        "storage": {"uri": "s3://bucket/images"},
        "data": {"sources": [{"name": "photos", "shards": "s3://bucket/photos/manifest.json"}]},
        "model": {"preset": "vit-mae-nano"},
        "objective": {"mae": {"imageSize": 64}},
        "training": {"globalBatchSize": 32, "steps": 200},
    },
}

BAD_OF_IMAGES = [
    ("spec.tokenizer", {"train": {"vocabSize": 4096}}, "mae, simclr and dino have none."),
    ("spec.objective", {"clip": {"imageSize": 64}}, "Write tokenizer: {train: {vocabSize: 32768}}, or remove it. [tokenizer-for-objective]"),
    ("spec.objective", {"causalLM": {}}, "[tokenizer-for-objective]"),
    ("spec.training", {"globalBatchSize": 32, "tokens": 1_000_000}, "Write samples or steps instead. [images-have-no-tokens]"),
    ("spec", {**IMAGES["spec"], "objective": {"simclr": {}}, "training": {"globalBatchSize": 1, "steps": 9}}, "Write 2 or more. [contrastive-batch-of-one]"),
    ("spec.objective.mae.maskRatio", 1.5, "spec.objective.mae.maskRatio in body should be less than or equal to 1"),
    ("spec.objective.mae.minCropArea", 0, "spec.objective.mae.minCropArea in body should be greater than"),
    ("spec.objective.mae.horizontalFlip", -1, "spec.objective.mae.horizontalFlip in body should be greater than or equal to 0"),
    ("spec.objective.mae.normalizedPixels", "all", 'supported values: "perPatch", "none"'),
    ("spec.objective.mae.imageSize", 0, "spec.objective.mae.imageSize in body should be greater than or equal to"),
    ("spec.objective.mae.maskRate", 0.5, 'unknown field "spec.objective.mae.maskRate"'),
    ("spec.objective.dino", {"localCrops": 99}, "[objective-kind]"),
]  # fmt: skip


def refusal(kubectl: Kubectl, job: dict[str, Any], namespace: str) -> str:
    """What the API server says to a job that it does not take."""
    done = kubectl.run("create", "--dry-run=server", "-n", namespace, "-f", "-", objects=job)
    assert done.returncode != 0, "the API server took it"
    return done.stderr


def test_the_job_that_the_table_breaks_is_taken(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "--dry-run=server", "-n", namespace, "-f", "-", objects=GOOD)


@pytest.mark.parametrize(("path", "value", "answer"), BAD, ids=[f"{path}={value}"[:60] for path, value, _ in BAD])
def test_a_bad_job_is_refused_with_what_to_write(
    path: str, value: Any, answer: str, kubectl: Kubectl, namespace: str
) -> None:
    assert answer in refusal(kubectl, changed(path, value), namespace)


def test_the_job_of_images_that_the_table_breaks_is_taken(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "--dry-run=server", "-n", namespace, "-f", "-", objects=IMAGES)


@pytest.mark.parametrize(
    ("path", "value", "answer"), BAD_OF_IMAGES, ids=[f"{path}={value}"[:60] for path, value, _ in BAD_OF_IMAGES]
)
def test_a_bad_job_of_images_is_refused_with_what_to_write(
    path: str, value: Any, answer: str, kubectl: Kubectl, namespace: str
) -> None:
    assert answer in refusal(kubectl, changed(path, value, IMAGES), namespace)


def test_several_mistakes_are_told_at_once(kubectl: Kubectl, namespace: str) -> None:
    job = changed("spec.training.precision", "fp16", changed("spec.data.sources.0.weight", 0))
    said = refusal(kubectl, job, namespace)
    assert "spec.training.precision" in said
    assert "spec.data.sources[0].weight" in said
