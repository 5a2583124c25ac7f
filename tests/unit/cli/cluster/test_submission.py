"""What is sent for a job file, and what an API server's refusals become."""

from typing import Any

import pytest
from support.jobs import a_job

from pretrain_api.errors import UserError
from pretrain_api.types import PretrainJob
from pretrain_cli.cluster.connection import ApiRefusal
from pretrain_cli.cluster.submission import manifest, namespace, refusal


def a_refusal(status: int, **details: Any) -> ApiRefusal:
    answer = {"kind": "Status", "code": status, "details": details, "message": "no"}
    return ApiRefusal("api-refused", "https://lab", "Invalid: no.", "Correct it.", status, answer)


def told(error: ApiRefusal) -> str:
    return str(refusal(error, "job.yaml", "gpt", "research"))


class TestManifest:
    def test_has_the_written_fields_and_no_others(self) -> None:
        written = a_job().with_spec(workers={"max": 2}).manifest
        sent = manifest(PretrainJob.model_validate({**written, "status": {"state": "Training"}}), "research")
        assert sent == {**written, "metadata": {"name": "test", "namespace": "research"}}

    def test_has_labels_and_annotations_but_not_what_a_server_adds(self) -> None:
        metadata = {"name": "test", "labels": {"team": "search"}, "uid": "123", "resourceVersion": "9"}
        sent = manifest(PretrainJob.model_validate({**a_job().manifest, "metadata": metadata}), "")
        assert sent["metadata"] == {"name": "test", "labels": {"team": "search"}}


class TestNamespace:
    @pytest.mark.parametrize(
        ("written", "given", "context", "chosen"),
        [("", "", "lab", "lab"), ("research", "", "lab", "research"), ("", "other", "lab", "other"),
         ("research", "research", "lab", "research"), ("default", "", "lab", "default")],
    )  # fmt: skip
    def test_is_that_of_the_file_then_of_the_option_then_of_the_context(
        self, written: str, given: str, context: str, chosen: str
    ) -> None:
        metadata = {"name": "test"} | ({"namespace": written} if written else {})
        job = PretrainJob.model_validate({**a_job().manifest, "metadata": metadata})
        assert namespace(job, given, context, "job.yaml") == chosen

    def test_of_file_and_option_must_not_differ(self) -> None:
        job = PretrainJob.model_validate({**a_job().manifest, "metadata": {"name": "test", "namespace": "research"}})
        with pytest.raises(UserError, match=r"Write -n research, or remove the line. \[namespace-differs\]"):
            namespace(job, "other", "lab", "job.yaml")


class TestRefusal:
    @pytest.mark.parametrize(
        ("field", "message", "said"),
        [
            ("spec.training", "Invalid value: spec.training cannot change once training began. Make another. [immutable]",
             "job.yaml: spec.training: cannot change once training began. Make another. [immutable]"),
            ("spec.workers.min", 'Invalid value: "object": min is above max. Write min: 4. [workers-min-above-max]',
             "job.yaml: spec.workers.min: min is above max. Write min: 4. [workers-min-above-max]"),
            ("spec.data.sources[0].weight", "Invalid value: -1: should be greater than 0",
             "job.yaml: spec.data.sources[0].weight: should be greater than 0. [api-refused]"),
            ("spec.storage.uri", "Required value", "job.yaml: spec.storage.uri: Required value. [api-refused]"),
            ("<nil>", 'Invalid value: "null": some validation rules were not checked',
             "job.yaml: some validation rules were not checked. [api-refused]"),
        ],
    )  # fmt: skip
    def test_names_the_field_and_what_to_write(self, field: str, message: str, said: str) -> None:
        assert told(a_refusal(422, causes=[{"field": field, "message": message}])) == said

    def test_tells_every_field_once(self) -> None:
        causes = [{"field": f"spec.{name}", "message": "Required value"} for name in ("a", "b", "a")]
        assert told(a_refusal(422, causes=causes)).splitlines() == [
            "job.yaml: 2 problems",
            "  job.yaml: spec.a: Required value. [api-refused]",
            "  job.yaml: spec.b: Required value. [api-refused]",
        ]

    def test_of_a_conflict_names_who_changed_what(self) -> None:
        causes = [{"field": ".spec.workers.max", "message": 'conflict with "kubectl-edit" using pretrain.dev/v1alpha1'}]
        said = told(a_refusal(409, causes=causes))
        assert said.startswith("job.yaml: spec.workers.max: changed by kubectl-edit since")
        assert "--force-conflicts" in said

    def test_of_a_missing_namespace_says_how_to_make_it(self) -> None:
        assert "kubectl create namespace research" in told(a_refusal(404, kind="namespaces", name="research"))

    def test_of_anything_else_is_as_the_server_says_it(self) -> None:
        assert told(a_refusal(400)) == "https://lab: Invalid: no. Correct it. [api-refused]"
