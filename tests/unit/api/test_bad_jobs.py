"""Every mistake in a job file gets one clear message: code, place, and what to write instead."""

import pytest

from pretrain_api.parse import parse
from pretrain_api.problems import InvalidJob, path_text

GOOD = """\
apiVersion: pretrain.dev/v1alpha1
kind: PretrainJob
metadata:
  name: small
spec:
  storage: {uri: runs/small}
  data:
    sources:
      - {name: web, documents: "web/*.jsonl.zst", weight: 7}
      - {name: code, documents: "code/*.txt", weight: 3}
  tokenizer:
    train: {vocabSize: 4096}
  model: {preset: llama-tiny}
  objective: {causalLM: {}}
  training:
    sequenceLength: 256
    globalBatchSize: 32
    steps: 200
    schedule: {warmupSteps: 20}
"""

CONFIG = "spec.model={config: {model_type: llama, hidden_size: 256, num_attention_heads: 4%s}}"

SPANS = "spec.objective={spanCorruption: {%s}}"


def problems_of(text: str = GOOD, *sets: str) -> tuple[str, list[tuple[str, str, str]]]:
    """The whole message, and (code, path, advice) of each problem."""
    with pytest.raises(InvalidJob) as caught:
        parse(text, "job.yaml", sets)
    return str(caught.value), [(p.code, path_text(p.path), p.instead) for p in caught.value.problems]


@pytest.mark.parametrize("group", ["spec.scheduling.queueName=q", "spec.scheduling.gang={native: {}}"])
def test_spares_are_no_part_of_a_group(group: str) -> None:
    _, found = problems_of(GOOD, "spec.workers.spares=1", group)
    advice = "Write spares: 0, or leave out scheduling.queueName and gang."
    assert found == [("spares-in-a-group", "spec.workers.spares", advice)]
    parse(GOOD, "job.yaml", ["spec.workers.spares=1"])
    parse(GOOD, "job.yaml", [group])


def test_a_secret_is_not_hidden_by_a_variable_of_the_same_name() -> None:
    variable = "spec.workers.template={env: [{name: AWS_ACCESS_KEY_ID, value: x}, {name: AWS_PROFILE, value: x}]}"
    _, [(code, path, advice)] = problems_of(GOOD, variable, "spec.storage.secretRef={name: keys}")
    assert (code, path) == ("template-variable", "spec.workers.template.env[0].name")
    assert advice == "Write AWS_ACCESS_KEY_ID into Secret keys, or remove storage.secretRef."
    parse(GOOD, "job.yaml", [variable])


def test_devices_may_be_limited_alone_or_requested_with_the_same_limit() -> None:
    for kinds in (
        "limits: {nvidia.com/gpu: 8}",
        "limits: {nvidia.com/gpu: '8'}, requests: {nvidia.com/gpu: 8, cpu: 500m}",
    ):
        parse(GOOD, "job.yaml", [f"spec.workers.resources={{{kinds}}}"])


def test_the_job_that_the_table_breaks_is_valid() -> None:
    assert parse(GOOD).spec.training.steps == 200


def test_a_size_may_be_a_list_with_one_for_each_layer() -> None:
    assert parse(GOOD, "job.yaml", ["spec.model={config: {model_type: gemma3n_text, intermediate_size: [64, 32]}}"])


# What is set on the good job: code, path and a part of the advice.
SET_TABLE = [
    # Unknown and misspelt fields.
    ("spec.training.sequenceLenght=5", "unknown-field", "spec.training.sequenceLenght", "Write sequenceLength."),
    ("spec.traiining.steps=5", "unknown-field", "spec.traiining", "Write training."),
    ("spec.training.sequence_length=5", "unknown-field", "spec.training.sequence_length", "Write sequenceLength."),
    ("spec.data.prepare.dedup={}", "unknown-field", "spec.data.prepare.dedup", "Write deduplicate."),
    ("spec.training.learningRate=1e-3", "unknown-field", "spec.training.learningRate",
     "Write spec.training.optimizer.adamw.learningRate"),
    ("spec.training.lr=1e-3", "unknown-field", "spec.training.lr", "spec.training.optimizer.adamw.learningRate"),
    ("training.steps=5", "unknown-field", "training", "Write spec.training."),
    ("spec.training.epochs=3", "unknown-field", "spec.training.epochs", "Write spec.data.sources[].maxEpochs."),
    ("spec.data.prepare.deduplicate={exact: {window: 3}}", "unknown-field",
     "spec.data.prepare.deduplicate.exact.window", "has no fields"),
    ("spec.data.sources[1].license_name=MIT", "unknown-field", "spec.data.sources[1].license_name", "Write license."),
    ("spec.zzz=1", "unknown-field", "spec.zzz", "Fields here: suspend, storage"),
    # Missing fields.
    ("spec.storage.uri=null", "missing-field", "spec.storage.uri", "Write uri: ... (The run's folder"),
    ("spec.data.sources=null", "missing-field", "spec.data.sources", "Write sources: [...]"),
    ("spec.objective=null", "missing-field", "spec.objective", "Write objective: {...}"),
    ("spec=null", "missing-field", "spec", "Write spec: {...}"),
    ("metadata.name=null", "missing-field", "metadata.name", "Write name:"),
    ("apiVersion=null", "missing-field", "apiVersion", "Write apiVersion: pretrain.dev/v1alpha1."),
    # Values outside an enumeration.
    ("spec.training.schedule.decay=cosin", "unknown-value", "spec.training.schedule.decay", "Write cosine."),
    ("spec.training.precision=fp16", "unknown-value", "spec.training.precision", "Write bf16."),
    ("spec.tokenizer.train.algorithm=word-piece", "unknown-value", "spec.tokenizer.train.algorithm",
     "Write wordpiece."),
    ("spec.data.prepare={pii: {mask: [email, phone]}}", "unknown-value", "spec.data.prepare.pii.mask[1]",
     "Write one of them."),
    ("apiVersion=pretrain.dev/v1", "wrong-api-version", "apiVersion", "Write apiVersion: pretrain.dev/v1alpha1."),
    ("kind=Job", "wrong-kind", "kind", "Write kind: PretrainJob."),
    # Types.
    ("spec.training.steps='200'", "wrong-type", "spec.training.steps", "Remove the quotes: 200."),
    ("spec.training.steps=many", "wrong-type", "spec.training.steps", "Write a whole number."),
    ("spec.training.steps=2.5", "wrong-type", "spec.training.steps", "Write a whole number."),
    ("spec.suspend='true'", "wrong-type", "spec.suspend", "Remove the quotes: true."),
    ("spec.suspend=1", "wrong-type", "spec.suspend", "Write true or false."),
    ("spec.data.sources[0].documents=yes", "wrong-type", "spec.data.sources[0].documents", "quote the text"),
    ("metadata.labels={team: 7}", "wrong-type", "metadata.labels.team", 'Quote it: "7".'),
    ("spec.data.prepare.language={keep: en}", "wrong-type", "spec.data.prepare.language.keep", "Write [en]."),
    ("spec.objective=causalLM", "wrong-type", "spec.objective", "Write objective: {causalLM: {}}."),
    ("spec.training=[]", "wrong-type", "spec.training", "Write training: {sequenceLength: ...}."),
    ("spec.workers.resources={limits: {cpu: 0.5}}", "wrong-type", "spec.workers.resources.limits.cpu",
     'Quote it: "0.5".'),
    # Bounds.
    ("spec.training.globalBatchSize=0", "out-of-bounds", "spec.training.globalBatchSize", "Write 1 or more."),
    ("spec.data.sources[0].weight=0", "out-of-bounds", "spec.data.sources[0].weight", "Write more than 0."),
    ("spec.data.validation={fraction: 0.9}", "out-of-bounds", "spec.data.validation.fraction", "Write 0.5 or less."),
    ("spec.training.optimizer={adamw: {beta1: 1}}", "out-of-bounds", "spec.training.optimizer.adamw.beta1",
     "Write less than 1."),
    ("spec.data.sources=[]", "out-of-bounds", "spec.data.sources", "Write at least 1 entry."),
    ("spec.storage.uri=''", "out-of-bounds", "spec.storage.uri", "Write at least 1 character."),
    (f"metadata.name={'a' * 53}", "out-of-bounds", "metadata.name", "Write at most 52 characters."),
    ("metadata.name=My_Job", "malformed-text", "metadata.name", "lower-case letters, digits and '-'"),
    ("spec.data.prepare={language: {keep: [EN]}}", "malformed-text", "spec.data.prepare.language.keep[0]",
     "such as en"),
    ("spec.workers.resources={limits: {memory: 8 GB}}", "malformed-text", "spec.workers.resources.limits.memory",
     "16Gi"),
    # Exactly one.
    ("spec.training.tokens=10_000_000", "training-length", "spec.training", "Write only one of them"),
    ("spec.training.steps=null", "training-length", "spec.training", "steps: 1000"),
    ("spec.tokenizer.train=null", "tokenizer-kind", "spec.tokenizer", "train: {vocabSize: 32768}"),
    ("spec.tokenizer.uri=gpt2", "tokenizer-kind", "spec.tokenizer", "Write only one of them"),
    ("spec.model.preset=null", "model-kind", "spec.model", "preset: llama-125m"),
    ("spec.objective={}", "objective-kind", "spec.objective", "causalLM: {}"),
    ("spec.training.optimizer={}", "optimizer-kind", "spec.training.optimizer", "adamw: {learningRate: 3.0e-4}"),
    ("spec.data.sources[0].documents=null", "source-kind", "spec.data.sources[0]", "Write one of them"),
    # Contradictions.
    ("spec.data.sources[1].name=web", "source-name-twice", "spec.data.sources[1].name", "Write another name"),
    ("spec.training.microBatchSize=64", "micro-batch-above-batch", "spec.training.microBatchSize", "32 or less"),
    ("spec.training.parallelism={shard: 3}", "shard-not-dividing", "spec.training.parallelism.shard",
     "Write shard: 1"),
    ("spec.workers.processesPerWorker=64", "batch-below-ranks", "spec.training.globalBatchSize",
     "Write globalBatchSize: 64 or more"),
    ("spec.training.sequenceLength=16384", "sequence-longer-than-positions", "spec.training.sequenceLength",
     "Write sequenceLength: 8192 or less"),
    (CONFIG % ", max_position_embeddings: 128", "sequence-longer-than-positions", "spec.training.sequenceLength",
     "Write sequenceLength: 128 or less"),
    (CONFIG % ", vocab_size: 1000", "vocabulary-smaller-than-tokenizer", "spec.model.config.vocab_size",
     "Write vocab_size: 4096 or more"),
    (CONFIG % ", num_key_value_heads: 3", "heads-not-dividing", "spec.model.config.num_key_value_heads",
     "Write num_key_value_heads: 2."),
    ("spec.model={config: {model_type: gpt2, n_embd: 100, n_head: 3}}", "heads-not-dividing",
     "spec.model.config.n_head", "Write n_head: 2, or n_embd: 102."),
    ("spec.model={config: {hidden_size: 256}}", "model-type-unknown", "spec.model.config", "model_type: llama"),
    ("spec.model.preset=llama-125", "preset-unknown", "spec.model.preset", "Write llama-125m."),
    ("spec.model.preset=bert", "preset-unknown", "spec.model.preset", "one of llama-nano, llama-tiny"),
    ("spec.objective={maskedLM: {}}", "preset-for-another-objective", "spec.model.preset", "bert-tiny"),
    ("spec.model.preset=bert-tiny", "preset-for-another-objective", "spec.model.preset", "llama-tiny"),
    ("spec.objective={spanCorruption: {}}", "preset-for-another-objective", "spec.model.preset", "t5-nano, t5-small"),
    ("spec.model={config: {model_type: t5, d_kv: 0}}", "model-config-invalid", "spec.model.config.d_kv", "1 or more"),
    (SPANS % "noiseDensity: 0", "spans-not-fitting", "spec.objective.spanCorruption.noiseDensity", "Write 0.15"),
    (SPANS % "noiseDensity: 0.9", "spans-not-fitting", "spec.objective.spanCorruption.noiseDensity",
     "Write noiseDensity: 0.75 or less, or raise meanSpanLength."),
    (SPANS % "meanSpanLength: 40", "spans-not-fitting", "spec.objective.spanCorruption.meanSpanLength",
     "Write meanSpanLength: 38 or less"),
    (SPANS % "noiseDensity: 0.5, meanSpanLength: 1", "spans-not-fitting",
     "spec.objective.spanCorruption.meanSpanLength", "Write meanSpanLength: 1.3 or more"),
    ("spec.training.schedule.warmupSteps=500", "warmup-longer-than-run", "spec.training.schedule.warmupSteps",
     "Write warmupSteps: 20"),
    ("spec.training.schedule={warmupSteps: 190, decay: wsd}", "warmup-longer-than-run",
     "spec.training.schedule.warmupSteps", "Write warmupSteps: 160 or less"),
    ("spec.tokenizer.train.vocabSize=300, ", "wrong-type", "spec.tokenizer.train.vocabSize", "whole number"),
    ("spec.tokenizer.train={specialTokens: [<a>, <a>]}", "special-token-twice",
     "spec.tokenizer.train.specialTokens[1]", "Remove one."),
    ("spec.data.prepare={quality: {preset: custom}}", "quality-custom-empty", "spec.data.prepare.quality.preset",
     "at least one of gopherQuality"),
    ("spec.data.prepare={quality: {gopherQuality: {minWords: 9, maxWords: 5}}}", "words-min-above-max",
     "spec.data.prepare.quality.gopherQuality.minWords", "Write minWords: 5 or less"),
    ("spec.data.prepare={deduplicate: {}}", "deduplicate-empty", "spec.data.prepare.deduplicate", "exact: {}"),
    ("spec.data.allowedLicenses=[MIT]", "license-refused", "spec.data.sources[0].license", "SPDX identifier"),
    ("spec.storage.endpointUrl=https://minio:9000", "endpoint-without-s3", "spec.storage.endpointUrl", "s3://"),
    ("spec.storage={uri: s3://b/x, endpointUrl: minio}", "endpoint-malformed", "spec.storage.endpointUrl",
     "Write https://minio."),
    ("spec.storage.uri=s3://<bucket>/run", "address-placeholder", "spec.storage.uri", "real address"),
    ("spec.data.sources[0].documents=${DATA}/x.txt", "address-placeholder", "spec.data.sources[0].documents",
     "real address"),
    ("spec.storage.uri=s4://bucket/run", "unknown-protocol", "spec.storage.uri", "Write s3://"),
    ("spec.storage.uri=https://host/run", "unknown-protocol", "spec.storage.uri", "can be written"),
    ("spec.storage.uri=memory://run", "unknown-protocol", "spec.storage.uri", "can be written"),
    ("spec.data.sources[0].documents=zip://*.txt::htps://host/x.zip", "unknown-protocol",
     "spec.data.sources[0].documents", "Write https://"),
    ("spec.data.sources[0].documents=htps://host/x.txt", "unknown-protocol", "spec.data.sources[0].documents",
     "Write https://"),
    # Addresses that lead elsewhere, or nowhere.
    ("spec.storage.uri='  '", "address-malformed", "spec.storage.uri", "Remove it."),
    ("spec.data.sources[0].documents=\"a.txt\\n\"", "address-malformed", "spec.data.sources[0].documents", "on one line"),
    ('spec.storage.uri="runs/\\0"', "address-malformed", "spec.storage.uri", "on one line"),
    ("spec.storage.uri=file://localhost/data/run", "address-malformed", "spec.storage.uri", "file:///data/run"),
    ("spec.storage.uri=s3:///run", "address-malformed", "spec.storage.uri", "s3://BUCKET"),
    ("spec.data.sources[0].documents=zip://*.txt", "address-malformed", "spec.data.sources[0].documents",
     "zip://*.txt::ARCHIVE.zip"),
    ("spec.data.sources[0].documents='zip://*.txt::'", "address-malformed", "spec.data.sources[0].documents",
     "MEMBER::ARCHIVE"),
    ("spec.data.prepare={decontaminate: {against: ['s4://b/x.txt ']}}", "address-malformed",
     "spec.data.prepare.decontaminate.against[0]", "Remove it."),
    # Sizes of a model, before the stages in front of training have worked for nothing.
    (CONFIG % ", num_hidden_layers: -1", "model-config-invalid", "spec.model.config.num_hidden_layers", "1 or more"),
    (CONFIG % ", intermediate_size: '64'", "model-config-invalid", "spec.model.config.intermediate_size",
     "Remove the quotes: 64."),
    (CONFIG % ", num_key_value_heads: 0", "model-config-invalid", "spec.model.config.num_key_value_heads", "1 or more"),
    (CONFIG % ", max_position_embeddings: 2e9", "model-config-invalid", "spec.model.config.max_position_embeddings",
     "whole number"),
    (CONFIG % ", head_dim: true", "model-config-invalid", "spec.model.config.head_dim", "whole number"),
    # Ready shards.
    ("spec.data.sources[0]={name: web, shards: 's3://b/{0000..0099}.tar'}", "shards-address",
     "spec.data.sources[0].shards", "pretrain index"),
    ("spec.data.sources[0]={name: web, shards: s3://b/manifest.json}", "shards-with-new-tokenizer",
     "spec.tokenizer.train", "tokenizer: {uri: ...}"),
    ("spec.data.sources[0]={name: web, shards: s4://b/manifest.json}", "unknown-protocol",
     "spec.data.sources[0].shards", "s3://"),
    ("spec.data.sources[0]={name: web, shards: s3://<bucket>/manifest.json}", "address-placeholder",
     "spec.data.sources[0].shards", "real address"),
    ("spec={objective: {maskedLM: {maskProbability: 0}}}", "out-of-bounds", "spec.objective.maskedLM.maskProbability",
     "Write 0.001 or more."),
    # Pods.
    ("spec.workers.template={env: [{name: A, value: x}, {value: x}]}", "template-variable",
     "spec.workers.template.env[1].name", "Write name: NAME"),
    ("spec.workers.template={env: [{name: A}, {name: A}]}", "template-variable", "spec.workers.template.env[1].name",
     "Remove one"),
    ("spec.workers.template={env: [{name: RANK, value: '1'}]}", "template-variable",
     "spec.workers.template.env[0].name", "another name"),
    ("spec.workers.template={env: [{name: PRETRAIN_WORLD, value: x}]}", "template-variable",
     "spec.workers.template.env[0].name", "another name"),
    ("spec.workers.template={labels: {pretrain.dev/worker: '1'}}", "template-label",
     'spec.workers.template.labels["pretrain.dev/worker"]', "another key"),
    ("spec.workers.template={labels: {app.kubernetes.io/name: mine}}", "template-label",
     'spec.workers.template.labels["app.kubernetes.io/name"]', "another key"),
    ("spec.workers.resources={limits: {nvidia.com/gpu: '0.5'}}", "device-amount",
     'spec.workers.resources.limits["nvidia.com/gpu"]', "whole number"),
    ("spec.workers.resources={limits: {nvidia.com/gpu: 500m}}", "device-amount",
     'spec.workers.resources.limits["nvidia.com/gpu"]', "whole number"),
    ("spec.workers.resources={requests: {nvidia.com/gpu: 1}}", "device-amount",
     'spec.workers.resources.requests["nvidia.com/gpu"]', "nvidia.com/gpu: 1 into limits"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "code", "path", "advice"), SET_TABLE, ids=[row[0] for row in SET_TABLE])
def test_a_bad_value_is_named_with_its_path_and_what_to_write(override: str, code: str, path: str, advice: str) -> None:
    message, problems = problems_of(GOOD, override)
    matching = [instead for found, where, instead in problems if (found, where) == (code, path)]
    assert matching, message
    assert advice in matching[0]
    if path.startswith(override.split("=")[0]):
        assert f"--set {override}: {path}" in message


CLIP = """\
apiVersion: pretrain.dev/v1alpha1
kind: PretrainJob
metadata: {name: pairs}
spec:
  storage: {uri: runs/pairs}
  data:
    sources:
      - {name: emoji, shards: shards/manifest.json}
  tokenizer: {train: {vocabSize: 1024}}
  model: {preset: clip-nano}
  objective: {clip: {imageSize: 64}}
  training: {sequenceLength: 16, globalBatchSize: 64, steps: 100}
  evaluation: {labels: category}
"""

# The same for a job of images and captions.
CLIP_TABLE = [
    ("spec.tokenizer=null", "tokenizer-for-objective", "spec.tokenizer", "tokenizer: {train:"),
    ("spec.data.sources[0]={name: emoji, documents: captions.txt}", "images-from-documents",
     "spec.data.sources[0].documents", "pretrain index"),
    ("spec.data.sources[0].shards=shards", "shards-address", "spec.data.sources[0].shards", "manifest.json"),
    ("spec.training={tokens: 100000}", "images-have-no-tokens", "spec.training.tokens", "Write samples or steps"),
    ("spec.training.globalBatchSize=1", "contrastive-batch-of-one", "spec.training.globalBatchSize", "2 or more"),
    ("spec.training.parallelism={shard: 2}", "clip-not-sharded", "spec.training.parallelism.shard", "shard: 1"),
    ("spec.objective.clip.imageSize=60", "patches-not-dividing", "spec.objective.clip.imageSize", "imageSize: 56"),
    ("spec.objective.clip.imageSize=4", "out-of-bounds", "spec.objective.clip.imageSize", "8 or more"),
    ("spec.objective.clip.minCropArea=0", "out-of-bounds", "spec.objective.clip.minCropArea", "more than 0"),
    ("spec.objective.clip.minCropArea=1.5", "out-of-bounds", "spec.objective.clip.minCropArea", "1 or less"),
    ("spec.objective.clip.minCropAera=0.5", "unknown-field", "spec.objective.clip.minCropAera", "minCropArea"),
    ("spec.objective={clip: {}, mae: {}}", "objective-kind", "spec.objective", ""),
    ("spec.evaluation.prompts=[a cat]", "evaluation-for-objective", "spec.evaluation.prompts", "Remove prompts"),
    ("spec.evaluation.promptTemplates=[a photo]", "evaluation-for-objective", "spec.evaluation.promptTemplates[0]",
     "a photo of a {}"),
    ("spec.evaluation.promptTemplates=['{} or {}']", "evaluation-for-objective",
     "spec.evaluation.promptTemplates[0]", "a photo of a {}"),
    ("spec.evaluation={promptTemplates: ['a {}']}", "evaluation-for-objective", "spec.evaluation.promptTemplates",
     "evaluation.labels"),
    ("spec.training.microBatchSize=128", "micro-batch-above-batch", "spec.training.microBatchSize", "64 or less"),
    ("spec.model={preset: clip-nona}", "preset-unknown", "spec.model.preset", "clip-nano"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "code", "path", "advice"), CLIP_TABLE, ids=[row[0] for row in CLIP_TABLE])
def test_a_bad_value_of_a_job_of_captioned_images_too(override: str, code: str, path: str, advice: str) -> None:
    message, problems = problems_of(CLIP, override)
    matching = [instead for found, where, instead in problems if (found, where) == (code, path)]
    assert matching, message
    assert advice in matching[0]


def test_the_job_of_captioned_images_is_valid() -> None:
    assert parse(CLIP).spec.objective.clip is not None


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


# Texts of a whole file: code, where the message says it is, and a part of the advice.
FILE_TABLE = {
    "an empty file": ("", "empty-file", "job.yaml:", "Write a PretrainJob"),
    "only comments": ("# nothing\n", "empty-file", "job.yaml:", "Write a PretrainJob"),
    "only an end mark": ("---\n", "empty-file", "job.yaml:", "Write a PretrainJob"),
    "a list": ("- a\n- b\n", "not-a-mapping", "job.yaml:1:", "apiVersion"),
    "a word": ("hello\n", "not-a-mapping", "job.yaml:1:", "apiVersion"),
    "two documents": (f"{GOOD}---\n{GOOD}", "several-documents", "job.yaml:20:", "one PretrainJob per file"),
    "a tab": (replaced("  name: small", "\tname: small"), "yaml-syntax", "job.yaml:4:", "with spaces"),
    "an open bracket": (replaced("{uri: runs/small}", "{uri: runs/small"), "yaml-syntax", "job.yaml:", "brackets"),
    "an open quote": (replaced('"code/*.txt"', '"code/*.txt'), "yaml-syntax", "job.yaml:", "quotes"),
    "a colon in plain text": (replaced("name: small", "name: a: b"), "yaml-syntax", "job.yaml:4:", "one field on a line"),
    "a glob without quotes": (
        replaced('"web/*.jsonl.zst"', "*.zst"), "yaml-syntax", "job.yaml:9:", "Quote text that begins with *",
    ),
    "a control character": (replaced("name: small", "name: \x07"), "yaml-syntax", "job.yaml", "Remove the control"),
    "a key twice": (
        replaced("    steps: 200", "    steps: 200\n    steps: 300"), "duplicate-key", "job.yaml:19: spec.training.steps",
        "Keep one of the two",
    ),
    "nothing after a colon": (
        replaced("causalLM: {}", "causalLM: "), "null-value", "job.yaml:14: spec.objective.causalLM",
        "Write causalLM: {}",
    ),
    "null for a number": (
        replaced("steps: 200", "steps: null"), "null-value", "job.yaml:18: spec.training.steps", "remove the line",
    ),
    "null in a list": (
        replaced("causalLM: {}}", "causalLM: {}}\n  evaluation: {prompts: [a, ]}\n  data2:\n    -"), "null-value",
        "job.yaml:17: spec.data2[0]", "remove the line",
    ),
    "a tag": (replaced("steps: 200", "steps: !!python/name:os.system 200"), "yaml-tag", "job.yaml:18:", "Remove it."),
    "infinity": (replaced("steps: 200", "steps: .inf"), "number-not-finite", "job.yaml:18:", "Write a number."),
    "a number of 70 bits": (
        replaced("steps: 200", f"steps: {1 << 70}"), "number-too-large", "job.yaml:18:", "a smaller number",
    ),
    "a number of 5,000 digits": (
        replaced("steps: 200", f"steps: {'9' * 5000}"), "number-too-large", "job.yaml:18:", "a smaller number",
    ),
    "a merge of text": (replaced("steps: 200", "steps: 200\n    <<: abc"), "yaml-key", "job.yaml:19:", "a mapping"),
    "a switch as a key": (replaced("steps: 200", "on: 200"), "yaml-key", "job.yaml:18:", 'Quote it: "on".'),
    "a list as a key": (replaced("steps: 200", "[a]: 200"), "yaml-key", "job.yaml:18:", "name: value"),
    "brackets 100 deep": (replaced("steps: 200", "steps: " + "[" * 100 + "]" * 100), "yaml-too-deep", "job.yaml:18:", "Remove brackets."),
    "an alias bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)
        ), "yaml-too-large", "job.yaml:5:", "Write the values out.",
    ),
    "an anchor within itself": ("a: &a [*a]\n", "yaml-syntax", "job.yaml:1:", "Write &a at the value"),
    "2 MiB": (GOOD + "# " + "x" * (2 << 20), "job-too-large", "job.yaml:", "give the job file"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code", "where", "advice"), FILE_TABLE.values(), ids=FILE_TABLE.keys())
def test_a_bad_file_is_named_with_its_line_and_what_to_write(text: str, code: str, where: str, advice: str) -> None:
    message, problems = problems_of(text)
    assert code in [found for found, _, _ in problems], message
    assert where in message
    assert advice in message


OVERRIDE_TABLE = [
    ("spec.training.steps", "malformed-override", "--set spec.training.steps=100"),
    ("=5", "malformed-override", "--set spec.training.steps=100"),
    ("spec.training.steps=", "malformed-override", "spec.training.steps=null"),
    ("spec..steps=5", "malformed-override", "names divided by dots"),
    ("spec.training.=5", "malformed-override", "names divided by dots"),
    ("spec.data.sources[first].name=a", "malformed-override", "[0] for the first entry"),
    ("spec.data.sources.name=a", "malformed-override", "spec.data.sources[0]"),
    ("spec.training[0]=a", "malformed-override", "Remove the brackets"),
    ("spec.training.steps.x=a", "malformed-override", "Remove .x"),
    ("spec.data.sources[7].name=a", "override-without-entry", "Write [2] to add one."),
    ("spec.data.sources[²].name=a", "malformed-override", "[0] for the first entry"),
    (f"spec.data.sources[{'9' * 5000}].name=a", "malformed-override", "[0] for the first entry"),
    (f"spec.training.steps={'9' * 5000}", "number-too-large", "Quote the value."),
    ("spec.storage.uri=/data/\udcff", "malformed-override", "in UTF-8"),
    ("spec.data.sources[name=wiki].weight=2", "override-without-entry", "Entries here: web, code."),
    ("spec.training.steps=[1", "yaml-syntax", "Quote the value."),
]


@pytest.mark.parametrize(
    ("override", "code", "advice"), OVERRIDE_TABLE, ids=[ascii(row[0][:60]) for row in OVERRIDE_TABLE]
)
def test_a_bad_override_is_refused_before_anything_else(override: str, code: str, advice: str) -> None:
    message, problems = problems_of(GOOD, override)
    assert [found for found, _, _ in problems] == [code]
    assert message.startswith(f"--set {override}: ")
    assert advice in message


class TestSeveralProblems:
    def test_all_are_reported_together_after_a_short_first_line(self) -> None:
        message, problems = problems_of(replaced("steps: 200", "stepz: 200\n    seed: x\n    precision: fp8"))
        assert message.splitlines()[0] == "job.yaml: 3 problems"
        assert [code for code, _, _ in problems] == ["unknown-field", "wrong-type", "unknown-value"]
        assert [line.split(":")[1] for line in message.splitlines()[1:]] == ["18", "19", "20"]

    def test_refused_licences_are_counted_by_name(self) -> None:
        sets = (
            "spec.data.allowedLicenses=[MIT]",
            "spec.data.sources[0].license=GPL-3.0",
            "spec.data.sources[1].license=mit",
        )
        message, problems = problems_of(GOOD, *sets)
        assert len(problems) == 2
        assert "refused sources: 1 GPL-3.0, 1 mit" in message
        assert "Write MIT." in message

    def test_a_run_shorter_than_a_batch_says_how_long_a_batch_is(self) -> None:
        _, problems = problems_of(GOOD, "spec.training.steps=null", "spec.training.tokens=100")
        assert (
            "run-below-one-batch",
            "spec.training.tokens",
            "Write tokens: 8192 or more, or lower globalBatchSize.",
        ) in problems
