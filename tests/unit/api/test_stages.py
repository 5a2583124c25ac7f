"""A stage's identity: the same for the same work, another for anything that changes what it makes."""

import json

import pytest

from pretrain_api import layout
from pretrain_api.parse import parse
from pretrain_api.stages import FINISH, PHASES, UPSTREAM, Stage, fingerprint, planned, settings
from pretrain_api.types import PretrainJobSpec

JOB = """\
apiVersion: pretrain.dev/v1alpha1
kind: PretrainJob
metadata: {name: small}
spec:
  storage: {uri: runs/small}
  data: {sources: [{name: web, documents: a.txt}, {name: code, documents: b.txt}]}
  tokenizer: {train: {vocabSize: 4096}}
  model: {preset: llama-tiny}
  objective: {causalLM: {}}
  training: {globalBatchSize: 32, steps: 5000}
"""


def spec(*sets: str) -> PretrainJobSpec:
    return parse(JOB, sets=sets).spec


def identities(wanted: PretrainJobSpec, inputs: str = "") -> dict[Stage, str]:
    """The identities of all stages of a job whose Collect sees `inputs`."""
    known: dict[Stage, str] = {}
    for stage in planned(wanted):
        known[stage] = fingerprint(stage, wanted, known, inputs if stage is Stage.COLLECT else "")
    return known


def test_every_stage_runs_after_those_it_reads_from() -> None:
    order = list(Stage)
    for stage, upstream in UPSTREAM.items():
        assert all(order.index(earlier) < order.index(stage) for earlier in upstream)


def test_the_same_job_has_the_same_identities() -> None:
    assert identities(spec()) == identities(spec())


def test_other_input_files_change_every_stage() -> None:
    before, after = identities(spec(), "a"), identities(spec(), "b")
    assert all(before[stage] != after[stage] for stage in Stage)


@pytest.mark.parametrize(
    "override",
    [
        "spec.suspend=true", "spec.data.prepare={parallelism: 7}", "spec.checkpoint={everySeconds: 5}",
        "spec.storage.uri=elsewhere", "spec.workers={processesPerWorker: 4}", "spec.recovery={maxFailures: 1}",
    ],
)  # fmt: skip
def test_what_only_decides_how_changes_none(override: str) -> None:
    assert identities(spec(override)) == identities(spec())


def test_a_seed_changes_training_and_what_follows_only() -> None:
    before, after = identities(spec()), identities(spec("spec.training.seed=1"))
    changed = [stage for stage in Stage if before[stage] != after[stage]]
    assert changed == [Stage.TRAIN, Stage.EVALUATE, Stage.EXPORT, Stage.REPORT]


def test_a_weight_leaves_the_documents_alone() -> None:
    before, after = identities(spec()), identities(spec("spec.data.sources[0].weight=2"))
    assert [stage for stage in Stage if before[stage] == after[stage]] == [Stage.COLLECT, Stage.PREPARE]


SHARDS = ("spec.data.sources=[{name: a, shards: a/manifest.json}, {name: b, shards: b/manifest.json}]",
          "spec.tokenizer={uri: bpe}")  # fmt: skip


class TestShardsAlone:
    def test_have_no_documents_to_collect_and_prepare(self) -> None:
        assert planned(spec(*SHARDS)) == tuple(Stage)[2:]
        assert planned(spec("spec.data.sources[1]={name: b, shards: b/manifest.json}", SHARDS[1])) == tuple(Stage)

    def test_have_identities_that_settings_of_documents_do_not_touch(self) -> None:
        others = ("spec.data.prepare.quality={preset: fineweb}", "spec.data.maxDocumentBytes=2048")
        assert identities(spec(*SHARDS)) == identities(spec(*SHARDS, *others))

    def test_are_encoded_anew_at_another_address(self) -> None:
        before, after = (
            identities(spec(*SHARDS)),
            identities(spec(*SHARDS, "spec.data.sources[1].shards=c/manifest.json")),
        )
        assert [stage for stage in before if before[stage] == after[stage]] == [Stage.TOKENIZER]


def test_settings_are_plain_json() -> None:
    for stage in Stage:
        assert json.loads(json.dumps(settings(stage, spec()))) == settings(stage, spec())


def test_a_missing_upstream_identity_is_our_own_mistake() -> None:
    with pytest.raises(KeyError):
        fingerprint(Stage.TRAIN, spec(), {})


def test_paths_below_the_storage_are_apart_for_every_identity_and_source() -> None:
    paths = [function("f1", source) for function in (layout.documents, layout.shards) for source in ("web", "code")]
    assert len(set(paths)) == 4
    assert layout.record(Stage.TRAIN, "f1") == "stages/train/f1.json"
    assert layout.commit(7) == "checkpoints/log/000000000007.json"
    assert sorted([layout.commit(10), layout.commit(9)]) == [layout.commit(9), layout.commit(10)]


def test_every_stage_ends_with_the_phase_that_does_it_all() -> None:
    for stage in Stage:
        assert PHASES[stage][-1] is FINISH
        names = [phase.name for phase in PHASES[stage]]
        assert len(set(names)) == len(names)


def test_names_of_phases_fit_into_names_of_objects() -> None:
    assert all(phase.name.isalpha() and phase.name.islower() for phases in PHASES.values() for phase in phases)
