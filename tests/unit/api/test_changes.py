"""Changes between two jobs: which fields, whether they may change, and which stages run again."""

import pytest

from pretrain_api.changes import changed_fields, stages_to_rerun, with_changes
from pretrain_api.parse import parse
from pretrain_api.rules import immutable
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJob
from pretrain_api.types.data import DocumentFields, Source

JOB = """\
apiVersion: pretrain.dev/v1alpha1
kind: PretrainJob
metadata: {name: small}
spec:
  storage: {uri: runs/small}
  data:
    sources: [{name: web, documents: a, weight: 7}, {name: code, documents: b}]
    prepare: {deduplicate: {exact: {}}}
  tokenizer: {train: {vocabSize: 4096}}
  model: {preset: llama-tiny}
  objective: {causalLM: {}}
  training: {globalBatchSize: 32, steps: 5000}
"""
AFTER_TRAIN = (Stage.TRAIN, Stage.EVALUATE, Stage.EXPORT, Stage.REPORT)


def job(*sets: str) -> PretrainJob:
    return parse(JOB, sets=sets)


# What changes, how the change reads, whether it may change while training, the first stage that runs again.
TABLE = [
    ("spec.suspend=true", "spec.suspend: false -> true", True, None),
    ("spec.checkpoint={everySeconds: 60}", "spec.checkpoint.everySeconds: 300 -> 60", True, None),
    ("spec.recovery={maxFailures: 3}", "spec.recovery.maxFailures: 10 -> 3", True, None),
    ("spec.workers={processesPerWorker: 2}", "spec.workers.processesPerWorker: 1 -> 2", True, None),
    ("spec.data.prepare.parallelism=4", "spec.data.prepare.parallelism: 0 -> 4", True, None),
    ("spec.activeDeadlineSeconds=60", "spec.activeDeadlineSeconds: 0 -> 60", True, None),
    ("spec.evaluation={everySteps: 10}", "spec.evaluation.everySteps: 1000 -> 10", True, None),
    ("spec.evaluation={prompts: [a]}", 'spec.evaluation.prompts: [] -> ["a"]', True, Stage.EVALUATE),
    ("spec.export={}", 'spec.export.huggingFace: {"dtype": "float32"} -> not written', True, Stage.EXPORT),
    ("spec.training.seed=1", "spec.training.seed: 42 -> 1", False, Stage.TRAIN),
    ("spec.model.preset=llama-1b", 'spec.model.preset: "llama-tiny" -> "llama-1b"', False, Stage.TRAIN),
    ("spec.tokenizer.train.vocabSize=512", "spec.tokenizer.train.vocabSize: 4096 -> 512", False, Stage.TOKENIZER),
    ("spec.data.prepare.deduplicate.minhash={}",
     'spec.data.prepare.deduplicate.minhash: not written -> {"bands": 14, "rows": 8, "ngram": 5}', False, Stage.PREPARE),
    ("spec.data.sources[name=code].documents=c", 'spec.data.sources[name=code].documents: "b" -> "c"', False,
     Stage.COLLECT),
    ("spec.data.sources=[{name: code, documents: b}, {name: web, documents: a, weight: 7}]",
     'spec.data.sources: ["web", "code"] -> ["code", "web"]', False, Stage.COLLECT),
    ("spec.storage.uri=runs/other", 'spec.storage.uri: "runs/small" -> "runs/other"', False, None),
]  # fmt: skip


class TestShardsAlone:
    SHARDS = ("spec.data.sources=[{name: ours, shards: ours/manifest.json}]", "spec.tokenizer={uri: bpe}")

    def test_another_manifest_is_another_run(self) -> None:
        before, after = job(*self.SHARDS), job(*self.SHARDS, "spec.data.sources[name=ours].shards=b/manifest.json")
        assert [change.mutable for change in changed_fields(before, after)] == [False]
        assert stages_to_rerun(before, after) == (Stage.ENCODE, *AFTER_TRAIN)

    def test_settings_of_documents_run_nothing_again(self) -> None:
        before, after = job(*self.SHARDS), job(*self.SHARDS, "spec.data.prepare.deduplicate.minhash={}")
        assert stages_to_rerun(before, after) == ()

    def test_in_place_of_documents_run_every_stage_that_is_left(self) -> None:
        assert stages_to_rerun(job(), job(*self.SHARDS)) == tuple(Stage)[2:]
        assert stages_to_rerun(job(*self.SHARDS), job()) == tuple(Stage)


@pytest.mark.parametrize(("override", "text", "mutable", "first"), TABLE, ids=[row[0] for row in TABLE])
def test_a_change_says_what_it_means(override: str, text: str, mutable: bool, first: Stage | None) -> None:
    changes = changed_fields(job(), job(override))
    assert [(str(change), change.mutable) for change in changes] == [(text, mutable)]
    rerun = stages_to_rerun(job(), job(override))
    assert (rerun[0] if rerun else None) == first


def test_the_same_job_has_no_changes() -> None:
    assert changed_fields(job(), job()) == []
    assert stages_to_rerun(job(), job()) == ()


def test_later_stages_run_again_and_earlier_ones_do_not() -> None:
    assert stages_to_rerun(job(), job("spec.training.seed=1")) == AFTER_TRAIN


def test_a_source_that_came_is_one_change() -> None:
    changes = changed_fields(job(), job("spec.data.sources[2]={name: wiki, documents: c}"))
    assert [(c.path, c.old, c.mutable) for c in changes] == [("spec.data.sources[name=wiki]", None, False)]


def test_a_source_that_went_is_one_change() -> None:
    changes = changed_fields(job(), job("spec.data.sources[1]=null"))
    assert [(c.path, c.new, c.mutable) for c in changes] == [("spec.data.sources[name=code]", None, False)]


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_the_crd_calls_the_same_fields_immutable(row: tuple[str, str, bool, Stage | None]) -> None:
    path = row[1].split(": ")[0].replace("[name=code]", "")
    fixed = any(path == rule.field or path.startswith(f"{rule.field}.") for rule in immutable.RULES)
    assert fixed is not row[2]


def test_the_crd_knows_every_field_of_a_source_that_is_not_its_weight() -> None:
    [rule] = [rule for rule in immutable.RULES if rule.field == "spec.data.sources"]
    for model, of in ((Source, "s"), (DocumentFields, "s.fields")):
        for name, field in model.model_fields.items():
            if name not in ("weight", "initial_weight", "fields"):
                assert f"has({of}.{field.alias or name})" in rule.cel, name


FREE_FORM = "spec.workers.template={nodeSelector: {pool: a, zone: b}, labels: {team: x}}"


def test_an_entry_of_a_map_that_went_is_one_change() -> None:
    [change] = changed_fields(job(FREE_FORM), job(FREE_FORM, "spec.workers.template.nodeSelector.pool=null"))
    assert (change.path, change.new, change.mutable) == ("spec.workers.template.nodeSelector.pool", None, True)


class TestWithChanges:
    def test_of_all_changes_is_the_new_job(self) -> None:
        old = job(FREE_FORM, "spec.model={config: {model_type: llama, hidden_size: 64}}")
        new = job(
            "spec.workers.max=2", "spec.data.sources=[{name: wiki, documents: c}]", "spec.checkpoint={keepLast: 9}"
        )
        assert with_changes(old, new, changed_fields(old, new)).spec == new.spec

    def test_of_no_change_is_the_old_one(self) -> None:
        old, new = job(FREE_FORM), job("spec.training.seed=3")
        assert with_changes(old, new, []).spec == old.spec

    def test_of_some_leaves_the_others_as_they_were(self) -> None:
        old, new = job(), job("spec.training.seed=3", "spec.workers.max=2")
        wanted = [change for change in changed_fields(old, new) if change.mutable]
        mixed = with_changes(old, new, wanted).spec
        assert (mixed.training.seed, mixed.workers.max) == (old.spec.training.seed, 2)
