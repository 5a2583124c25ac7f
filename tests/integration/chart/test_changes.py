"""What a job may change and what not, once training began: the API server's own answer."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from support.cluster.kubectl import Kubectl
from support.jobs import a_job

REFUSED = [
    ("storage", {"uri": "s3://bucket/other"}, "spec.storage.uri"),
    ("data", {"sources": [{"name": "lib", "documents": "python://lib/email/*.py"}]}, "spec.data.sources"),
    ("data", {"sources": [{"name": "lib", "weight": 2}]}, "spec.data.sources"),
    ("data", {"sources": [{"name": "lib", "documents": "python://lib/json/*.py", "maxEpochs": 2}]}, "spec.data.sources"),
    ("data", {"sources": [{"name": "lib", "documents": "python://lib/json/*.py", "fields": {"text": "body"}}]},
     "spec.data.sources"),
    ("data", {"maxDocumentBytes": 2048}, "spec.data.maxDocumentBytes"),
    ("data", {"maxBadDocuments": 7}, "spec.data.maxBadDocuments"),
    ("data", {"allowedLicenses": ["MIT"]}, "spec.data.allowedLicenses"),
    ("data", {"validation": {"fraction": 0.1}}, "spec.data.validation"),
    ("data", {"prepare": {"language": {}}}, "spec.data.prepare.language"),
    ("data", {"prepare": {"quality": {}}}, "spec.data.prepare.quality"),
    ("data", {"prepare": {"deduplicate": {"exact": {}}}}, "spec.data.prepare.deduplicate"),
    ("data", {"prepare": {"pii": {}}}, "spec.data.prepare.pii"),
    ("data", {"prepare": {"decontaminate": {"against": ["s3://b/x"]}}}, "spec.data.prepare.decontaminate"),
    ("tokenizer", {"train": {"vocabSize": 600}}, "spec.tokenizer"),
    ("model", {"preset": "llama-tiny", "config": None}, "spec.model"),
    ("objective", {"causalLM": {"zLoss": 0.1}}, "spec.objective"),
    ("training", {"steps": 5}, "spec.training"),
    ("training", {"seed": 7}, "spec.training"),
    ("training", {"optimizer": {"adamw": {"learningRate": 0.01}}}, "spec.training"),
]  # fmt: skip
TAKEN = [
    ("suspend", True),
    ("workers", {"min": 1, "max": 2}),
    ("workers", {"resources": {"limits": {"memory": "8Gi"}}}),
    ("checkpoint", {"everySeconds": 60}),
    ("recovery", {"maxFailures": 99}),
    ("evaluation", {"everySteps": 7}),
    ("data", {"prepare": {"parallelism": 8}}),
    ("data", {"sources": [{"name": "lib", "documents": "python://lib/json/*.py", "weight": 2}]}),
    ("storage", {"secretRef": {"name": "other"}}),
    ("activeDeadlineSeconds", 3600),
    ("ttlSecondsAfterFinished", 60),
    ("scheduling", {"priorityClassName": "high"}),
]


@pytest.fixture(scope="module")
def training(kubectl: Kubectl, namespace: str) -> Iterator[str]:
    """A job that trains at step 3; the tests only try their changes out."""
    job = a_job().with_spec(storage={"uri": "s3://bucket/run"}).manifest
    kubectl("apply", "--server-side", "-n", namespace, "-f", "-", objects=job)
    name = job["metadata"]["name"]
    kubectl("patch", "pretrainjob", name, "-n", namespace, "--type=merge", "--subresource=status",
            "--patch", '{"status": {"progress": {"step": 3}}}')  # fmt: skip
    yield name
    kubectl("delete", "pretrainjob", name, "-n", namespace)


def change(kubectl: Kubectl, job: str, namespace: str, field: str, value: Any) -> subprocess.CompletedProcess[str]:
    patch = json.dumps({"spec": {field: value}})
    return kubectl.run("patch", "pretrainjob", job, "-n", namespace, "--type=merge", "--dry-run=server", "-p", patch)


@pytest.mark.parametrize(("field", "value", "blamed"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_defines_the_run_stays(
    field: str, value: Any, blamed: str, kubectl: Kubectl, training: str, namespace: str
) -> None:
    done = change(kubectl, training, namespace, field, value)
    assert done.returncode != 0
    assert f"{blamed} cannot change once training began. Make a job with another name and storage.uri." in done.stderr
    assert "[immutable]" in done.stderr


@pytest.mark.parametrize(("field", "value"), TAKEN, ids=lambda value: str(value)[:60])
def test_how_it_runs_may_change(field: str, value: Any, kubectl: Kubectl, training: str, namespace: str) -> None:
    done = change(kubectl, training, namespace, field, value)
    assert done.returncode == 0, done.stderr


def test_before_training_began_everything_may_change(kubectl: Kubectl, namespace: str) -> None:
    job = a_job().with_spec(storage={"uri": "s3://bucket/run"}).manifest
    job["metadata"]["name"] = "early"
    kubectl("apply", "--server-side", "-n", namespace, "-f", "-", objects=job)
    for field, value, _ in REFUSED:
        if value != REFUSED[2][1]:  # a source without documents is refused for that
            done = change(kubectl, "early", namespace, field, value)
            assert done.returncode == 0, done.stderr
