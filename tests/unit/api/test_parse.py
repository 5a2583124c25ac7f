"""A job file becomes a job; whatever it holds, the only error is a UserError."""

import contextlib
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretrain_api.errors import UserError
from pretrain_api.parse import load, parse
from pretrain_api.problems import InvalidJob, Problem
from pretrain_api.types import PretrainJob

GOOD = """\
apiVersion: pretrain.dev/v1alpha1
kind: PretrainJob
metadata: {name: small, labels: {team: language}}
spec:
  storage: {uri: runs/small}
  data:
    sources: [{name: web, documents: "web/*.jsonl.zst", weight: 7}]
  tokenizer: {train: {vocabSize: 4096}}
  model: {preset: llama-tiny}
  objective: {causalLM: {}}
  training: {sequenceLength: 256, globalBatchSize: 32, tokens: 1_000_000, schedule: {warmupSteps: 20}}
"""


class KubernetesDumper(yaml.SafeDumper):
    """Quotes what kubectl would read as something else: PyYAML thinks that y and 3e-4 are text."""


KubernetesDumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]\Z"), list("yYnN"))
KubernetesDumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+.0-9][-+.0-9_eE]*\Z"), list("+-.0123456789")
)
KubernetesDumper.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?0[bBoOxX][0-9a-fA-F_]+\Z"), list("+-0")
)


def dump(job: object) -> str:
    return yaml.dump(job, Dumper=KubernetesDumper, sort_keys=False, allow_unicode=True)


def text_of(job: PretrainJob) -> str:
    written = job.model_dump(mode="json", by_alias=True, exclude_none=True)
    written["spec"]["model"] = {k: v for k, v in job.spec.model.model_dump().items() if v is not None}
    return dump(written)


class TestValues:
    def test_numbers_are_read_as_kubectl_reads_them(self) -> None:
        sets = ["spec.training.optimizer={adamw: {learningRate: 3e-4}}", "spec.training.tokens=10_000_000_000"]
        training = parse(GOOD, sets=sets).spec.training
        assert training.optimizer.adamw is not None
        assert training.optimizer.adamw.learning_rate == 3e-4
        assert training.tokens == 10_000_000_000

    def test_a_whole_number_may_be_written_with_an_exponent(self) -> None:
        tokens = parse(GOOD, sets=["spec.training.tokens=1e9"]).spec.training.tokens
        assert (tokens, type(tokens)) == (1_000_000_000, int)

    def test_on_and_off_are_booleans(self) -> None:
        assert parse(GOOD, sets=["spec.suspend=on"]).spec.suspend is True

    def test_null_in_a_model_configuration_is_kept(self) -> None:
        job = parse(GOOD, sets=["spec.model={config: {model_type: llama, pad_token_id: null}}"])
        assert job.spec.model.config == {"model_type": "llama", "pad_token_id": None}

    def test_what_an_api_server_adds_is_accepted(self) -> None:
        extra = "metadata: {name: small, creationTimestamp: null, uid: x, generation: 3}"
        assert parse(GOOD.replace("metadata: {name: small, labels: {team: language}}", extra)).metadata.name == "small"

    def test_anchors_and_merges_work(self) -> None:
        source = "[&a {name: web, documents: x, license: MIT}, {<<: *a, name: code}]"
        sources = parse(GOOD, sets=[f"spec.data.sources={source}"]).spec.data.sources
        assert [(s.name, s.license) for s in sources] == [("web", "MIT"), ("code", "MIT")]

    def test_leaving_export_out_exports_and_an_empty_export_does_not(self) -> None:
        assert parse(GOOD).spec.export.hugging_face is not None
        assert parse(GOOD, sets=["spec.export={}"]).spec.export.hugging_face is None


class TestFiles:
    def test_a_missing_file_names_the_one_that_was_meant(self, tmp_path: Path) -> None:
        (tmp_path / "job.yaml").write_text(GOOD)
        with pytest.raises(UserError, match=r"no such file\. Write .*/job\.yaml\. \[job-not-found\]"):
            load(str(tmp_path / "jop.yaml"))

    def test_a_folder_is_no_job(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"a folder, not a file.*\[job-not-found\]"):
            load(str(tmp_path))

    def test_bytes_that_are_not_utf8_are_named_with_their_line(self, tmp_path: Path) -> None:
        (tmp_path / "job.yaml").write_bytes(b"a: 1\nb: \xff\n")
        with pytest.raises(UserError, match=r"job\.yaml:2: byte 8 is not UTF-8\. .*\[job-not-utf8\]"):
            load(str(tmp_path / "job.yaml"))

    def test_a_file_that_cannot_be_read_says_so(self) -> None:
        # Nobody, root included, can read a process's memory from its start.
        with pytest.raises(UserError, match=r"/proc/self/mem: Input/output error\. .*\[job-unreadable\]"):
            load("/proc/self/mem")

    def test_a_byte_order_mark_is_skipped(self, tmp_path: Path) -> None:
        (tmp_path / "job.yaml").write_text(GOOD, encoding="utf-8-sig")
        assert load(str(tmp_path / "job.yaml")).metadata.name == "small"


sources = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
            "documents": st.sampled_from(["a/*.txt", "s3://b/c"]),
        },
        optional={
            "weight": st.floats(1e-3, 1e6),
            "maxEpochs": st.integers(1, 100),
            "license": st.text("ABC-.0", max_size=9),
            "fields": st.fixed_dictionaries({"text": st.text("ab.c", min_size=1, max_size=5)}),
        },
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda source: source["name"],
)
jobs = st.fixed_dictionaries(
    {
        "storage": st.just({"uri": "runs/x"}),
        "data": st.fixed_dictionaries(
            {"sources": sources},
            optional={
                "validation": st.fixed_dictionaries({"fraction": st.floats(0, 0.5)}),
                "prepare": st.fixed_dictionaries(
                    {},
                    optional={
                        "language": st.just({"keep": ["en", "de"]}),
                        "quality": st.sampled_from([{}, {"preset": "c4"}, {"preset": "custom", "fineweb": {}}]),
                        "deduplicate": st.sampled_from([{"exact": {}}, {"minhash": {"bands": 9}}]),
                        "pii": st.just({}),
                    },
                ),
            },
        ),
        "tokenizer": st.sampled_from([{"train": {}}, {"uri": "some/folder"}]),
        "model": st.sampled_from([{"preset": "llama-125m"}, {"config": {"model_type": "llama", "rope_scaling": None}}]),
        "objective": st.sampled_from([{"causalLM": {}}, {"causalLM": {"zLoss": 1e-4}}]),
        "training": st.fixed_dictionaries(
            {"steps": st.integers(2000, 10**9)},
            optional={
                "seed": st.integers(0, 1 << 53),
                "optimizer": st.fixed_dictionaries(
                    {"adamw": st.fixed_dictionaries({"learningRate": st.floats(1e-9, 10)})}
                ),
                "microBatchSize": st.integers(1, 512),
            },
        ),
    },
    optional={
        "suspend": st.booleans(),
        "evaluation": st.fixed_dictionaries({"prompts": st.lists(st.text(max_size=20), max_size=3)}),
        "export": st.sampled_from([{}, {"huggingFace": {"dtype": "bfloat16"}}]),
    },
)
HEAD = {"apiVersion": "pretrain.dev/v1alpha1", "kind": "PretrainJob", "metadata": {"name": "x"}}


@settings(max_examples=40, deadline=None)
@given(jobs)
def test_a_valid_job_survives_being_written_and_read_again(spec: dict[str, object]) -> None:
    job = parse(dump({**HEAD, "spec": spec}))
    assert parse(text_of(job)) == job


paths = st.lists(st.integers(0, 30), min_size=1, max_size=6)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["auto", "c4", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def mutated(value: object, path: list[int], new: object) -> object:
    """The value with something replaced, removed or added along a random path."""
    if isinstance(value, dict) and value and len(path) > 1:
        key = list(value)[path[0] % len(value)]
        return {**value, key: mutated(value[key], path[1:], new)}
    if isinstance(value, dict) and path[0] % 3 == 0:
        return {**value, f"field{path[0]}": new}
    if isinstance(value, list) and value:
        index = path[0] % len(value)
        rest = mutated(value[index], path[1:], new) if len(path) > 1 else new
        return [*value[:index], rest, *value[index + 1 :]]
    return new


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(jobs, st.lists(st.tuples(paths, anything), min_size=1, max_size=3))
def test_a_mutated_job_is_valid_or_a_user_error(spec: object, changes: list[tuple[list[int], object]]) -> None:
    job: object = {**HEAD, "spec": spec}
    for path, new in changes:
        job = mutated(job, path, new)
    problems: tuple[Problem, ...] = ()
    try:
        parse(dump(job))
    except InvalidJob as error:
        problems = error.problems
    assert all(problem.instead and problem.what and problem.code for problem in problems)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200) | st.text("{}[]:-&*!?|>'\"\n #ab<%@,", max_size=60))
def test_any_text_at_all_is_a_user_error(text: str) -> None:
    with pytest.raises(UserError):
        parse(text)


@settings(max_examples=150, deadline=None)
@given(st.text("spec.training[]0=name\\:{}ab", max_size=40))
def test_any_override_is_applied_or_a_user_error(override: str) -> None:
    with contextlib.suppress(UserError):
        parse(GOOD, sets=[override])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_a_position_in_the_file_may_be_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("bytes") / "job.yaml"
    file.write_bytes(GOOD.encode()[:150] + content)
    with pytest.raises(UserError):
        load(str(file))


class TestAnotherObject:
    """A manifest of something else has one problem: what it is."""

    DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: null, template: {}}\n"

    @pytest.mark.parametrize(
        ("text", "code", "says"),
        [
            (
                DEPLOYMENT,
                "wrong-kind",
                "job.yaml:2: kind: Deployment is not PretrainJob. Give the file of a PretrainJob.",
            ),
            (
                "apiVersion: pretrain.dev/v2\nkind: PretrainJob\nspec: {replicas: null, workers: {minimum: 3}}\n",
                "wrong-api-version",
                "job.yaml:1: apiVersion: pretrain.dev/v2 is not pretrain.dev/v1alpha1.",
            ),
            ("kind: Pod\nspec: {containers: [{}]}\n", "wrong-kind", "job.yaml:1: kind: Pod is not PretrainJob."),
        ],
        ids=["kind", "version", "without version"],
    )
    def test_is_told_by_that_alone(self, text: str, code: str, says: str) -> None:
        with pytest.raises(InvalidJob) as error:
            parse(text)
        assert [problem.code for problem in error.value.problems] == [code]
        assert str(error.value).startswith(says)
        assert len(str(error.value).splitlines()) == 1

    def test_is_a_job_once_set_says_so(self) -> None:
        with pytest.raises(InvalidJob) as error:
            parse(self.DEPLOYMENT, sets=["kind=PretrainJob", "apiVersion=pretrain.dev/v1alpha1"])
        assert "unknown-field" in {problem.code for problem in error.value.problems}
