"""What a job's children look like. Golden files hold every field; here stand the promises."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.golden import assert_golden
from support.jobs import JobBuilder, a_job

from pretrain_api.cluster import LABEL_JOB
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJob
from pretrain_operator.bodies.kubernetes import children
from pretrain_operator.bodies.kubernetes.children import Owner, PodSettings
from pretrain_operator.brain.plan import StartStage

GOLDEN = Path(__file__).with_name("golden")
SETTINGS = PodSettings("registry.example.com/trainer:1.0")
STORAGE = {"uri": "s3://bucket/run", "secretRef": {"name": "s3"}}
RESOURCES = {"limits": {"nvidia.com/gpu": 8, "memory": "512Gi"}, "requests": {"cpu": "8"}}
TEMPLATE = {
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "env": [{"name": "NCCL_DEBUG", "value": "INFO"}],
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    "labels": {"team": "research", LABEL_JOB: "another"},
    "annotations": {"note": "ours"},
}
TRAIN = StartStage(Stage.TRAIN, 7, {Stage.TOKENIZER: "aa", Stage.ENCODE: "bb"}, parts=4)
FILTER = StartStage(Stage.PREPARE, 2, {Stage.COLLECT: "cc"}, phase="filter", parts=8)


def owner(job: JobBuilder) -> Owner:
    manifest = job.manifest
    manifest["metadata"] = {"name": "gpt", "namespace": "research"}
    return Owner(PretrainJob.model_validate(manifest), "0000-1111")


def full() -> Owner:
    workers = {"min": 2, "max": 4, "resources": RESOURCES, "template": TEMPLATE}
    return owner(a_job().with_spec(storage=STORAGE, workers=workers, scheduling={"priorityClassName": "high"}))


@pytest.mark.parametrize(
    ("name", "manifests"),
    [
        ("surroundings", [manifest for _, manifest in children.surroundings(full())]),
        ("job_config", [children.job_config(full())]),
        ("phase_job", [children.phase_job(full(), FILTER, SETTINGS)]),
        ("training_pod", [children.training_pod(full(), TRAIN, 2, SETTINGS)]),
        ("training_pod_of_a_plain_job", [children.training_pod(owner(a_job()), TRAIN, 0, SETTINGS)]),
    ],
)
def test_looks_as_agreed(name: str, manifests: list[dict[str, Any]]) -> None:
    assert_golden(GOLDEN / f"{name}.yaml", yaml.safe_dump_all(manifests, sort_keys=False, width=120))


class TestEveryChild:
    def test_belongs_to_the_job_and_carries_its_labels(self) -> None:
        everything = [manifest for _, manifest in children.surroundings(full())]
        everything += [children.job_config(full()), children.phase_job(full(), FILTER, SETTINGS)]
        for child in [*everything, children.training_pod(full(), TRAIN, 0, SETTINGS)]:
            assert child["metadata"]["ownerReferences"][0]["uid"] == "0000-1111"
            assert child["metadata"]["labels"][LABEL_JOB] == "gpt"
            assert child["metadata"]["namespace"] == "research"

    def test_is_the_same_for_the_same_job(self) -> None:
        assert children.phase_job(full(), FILTER, SETTINGS) == children.phase_job(full(), FILTER, SETTINGS)


class TestPods:
    def test_of_stages_other_than_training_leave_accelerators_alone(self) -> None:
        pod = children.phase_job(full(), FILTER, SETTINGS)["spec"]["template"]["spec"]
        assert pod["containers"][0]["resources"] == {"limits": {"memory": "512Gi"}, "requests": {"cpu": "8"}}

    def test_never_carry_a_secret_s_content(self) -> None:
        names = {
            e["name"]: e for e in children.training_pod(full(), TRAIN, 0, SETTINGS)["spec"]["containers"][0]["env"]
        }
        assert names["AWS_SECRET_ACCESS_KEY"] == {
            "name": "AWS_SECRET_ACCESS_KEY",
            "valueFrom": {"secretKeyRef": {"name": "s3", "key": "AWS_SECRET_ACCESS_KEY"}},
        }
        assert names["AWS_ENDPOINT_URL"] == {
            "name": "AWS_ENDPOINT_URL",
            "valueFrom": {"secretKeyRef": {"name": "s3", "key": "AWS_ENDPOINT_URL", "optional": True}},
        }

    def test_are_pulled_with_the_operator_s_secrets_and_made_again_with_others(self) -> None:
        private = PodSettings(SETTINGS.image, pull_secrets=("registry",))
        assert children.training_pod(full(), TRAIN, 2, private)["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        assert "imagePullSecrets" not in children.training_pod(full(), TRAIN, 2, SETTINGS)["spec"]
        assert private.digest != SETTINGS.digest

    def test_cannot_be_given_another_job_s_label(self) -> None:
        pod = children.training_pod(full(), TRAIN, 0, SETTINGS)
        assert pod["metadata"]["labels"] | {"team": "research"} == pod["metadata"]["labels"]
        assert pod["metadata"]["labels"][LABEL_JOB] == "gpt"


def placed(**scheduling: Any) -> Owner:
    return owner(a_job().with_spec(storage=STORAGE, workers={"min": 3, "max": 4}, scheduling=scheduling))


class TestGangs:
    @pytest.mark.parametrize("kind", ["native", "volcano", "coscheduling"])
    def test_have_a_group_of_the_fewest_workers_that_can_train_for_each_start(self, kind: str) -> None:
        asked = placed(gang={kind: {}}, priorityClassName="high")
        found = children.pod_group(asked, TRAIN)
        assert found is not None
        manifests = [found[1], children.training_pod(asked, TRAIN, 2, SETTINGS)]
        assert_golden(GOLDEN / f"gang_{kind}.yaml", yaml.safe_dump_all(manifests, sort_keys=False, width=120))
        smaller = children.pod_group(asked, StartStage(Stage.TRAIN, 8, {}, parts=2))
        assert smaller is not None
        assert smaller[1]["metadata"]["name"] != found[1]["metadata"]["name"]
        assert smaller[0].spec != found[0].spec

    def test_are_there_only_when_asked_for(self) -> None:
        assert children.pod_group(full(), TRAIN) is None


class TestQueue:
    def test_admits_all_workers_of_a_start_together_and_every_job_of_other_stages(self) -> None:
        queued = placed(queueName="research")
        manifests = [children.training_pod(queued, TRAIN, 2, SETTINGS), children.phase_job(queued, FILTER, SETTINGS)]
        assert_golden(GOLDEN / "queued.yaml", yaml.safe_dump_all(manifests, sort_keys=False, width=120))
        for pod in (manifests[1]["spec"]["template"], children.phase_job(full(), FILTER, SETTINGS)):
            assert "kueue.x-k8s.io/queue-name" not in pod["metadata"]["labels"]


class TestRole:
    def test_lets_a_pod_read_its_world_and_patch_its_report_and_no_more(self) -> None:
        role = next(m for _, m in children.surroundings(full()) if m["kind"] == "Role")
        assert [(rule["resources"], rule["resourceNames"], rule["verbs"]) for rule in role["rules"]] == [
            (["configmaps"], ["gpt-world"], ["get", "watch"]),
            (["configmaps"], ["gpt-report"], ["get", "patch"]),
        ]


class TestJobConfig:
    def test_has_a_name_of_its_own_for_every_content(self) -> None:
        names = {children.job_config_name(owner(a_job().with_steps(steps))) for steps in (4, 5, 6)}
        assert len(names) == 3

    def test_can_be_read_back(self) -> None:
        content = children.job_config(full())["data"]["job.json"]
        assert PretrainJob.model_validate_json(content).spec == full().job.spec
