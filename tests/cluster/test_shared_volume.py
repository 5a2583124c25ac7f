"""Jobs on a volume that all nodes share, without an object store: one after the other, over upgrades of the operator."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.charts import overlaid
from support.cluster.cluster import DevelopmentCluster
from support.cluster.fixtures import new_namespace
from support.cluster.foreign import AnyCluster
from support.cluster.installation import OPERATORS, install_operator
from support.cluster.remote_job import BUCKET, Made, RemoteJob, a_spec, folder_of
from support.cluster.volumes import shared_volume
from support.eventually import eventually
from support.token_runs import losses

from pretrain_api.cluster import WORLD_KEY, world_name

PRETRAIN = str(Path(sys.executable).parent / "pretrain")
DEFINITION = Path(__file__).resolve().parents[2] / "manifests" / "crd.yaml"
MANY = 100_000
"""Steps that no machine comes to the end of while the test lasts."""
BEHIND = 100
"""Steps behind the first upgrade that are compared with a run that knows of none."""
OF_TRAINING = "pretrain.dev/stage=train"

pytestmark = pytest.mark.timeout(1500)


@dataclass(frozen=True)
class Volume:
    """A shared volume in a namespace. Its pods see it where it lies on this machine, so that both mean the same paths."""

    cluster: DevelopmentCluster
    namespace: str
    folder: Path

    def spec(self, run: str) -> dict[str, Any]:
        volumes = {
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "volumeMounts": [{"name": "data", "mountPath": str(self.folder)}],
        }
        changes = {"workers": {"template": volumes}, "training": {"steps": MANY}, "evaluation": {"everySteps": 0}}
        spec = overlaid(a_spec(self.cluster, f"{self.folder}/corpus/*.jsonl"), changes)
        return {**spec, "storage": {"uri": f"file://{self.folder}/{run}"}}

    def job(self, name: str, run: str, **changes: Any) -> RemoteJob:
        return RemoteJob.applied(self.cluster, name, {**self.spec(run), **changes}, self.namespace)


@pytest.fixture(scope="module")
def volume(installed: AnyCluster, development_cluster: DevelopmentCluster, corpus: str) -> Iterator[Volume]:
    """A volume with documents, on this machine."""
    namespace = new_namespace(installed)
    folder = development_cluster.folder / f"shared-{namespace}"
    claim = shared_volume(folder, namespace, "data")
    shutil.copytree(folder_of(installed, corpus).parent, folder / "corpus")
    installed.kubectl.apply(claim)
    yield Volume(development_cluster, namespace, folder)
    installed.kubectl("delete", "pv", namespace, "--wait=false")


def trained_here(volume: Volume, steps: int, folder: Path) -> Made:
    """The same run on this machine, at least so many steps of it."""
    metadata = {"name": "local"}
    spec = {**volume.spec("local"), "workers": {"processesPerWorker": 2}}
    job = {"apiVersion": "pretrain.dev/v1alpha1", "kind": "PretrainJob", "metadata": metadata, "spec": spec}
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_STATE_HOME": str(folder)}
    made = Made(volume.folder / "local")
    with (folder / "output").open("wb") as output:
        command = [PRETRAIN, "run", str(folder / "job.yaml")]
        run = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        eventually(lambda: max(losses(made.folder), default=0), lambda step: step >= steps, 300, every_seconds=1)
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 130  # as a shell calls a program that Ctrl-C has ended
    finally:
        run.kill()
        run.wait()
    return made


def a_newer_definition() -> dict[str, Any]:
    """The CustomResourceDefinition with one more optional field, and another text beside one that there is."""
    definition: dict[str, Any] = yaml.safe_load(DEFINITION.read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["properties"]["later"] = {"type": "string", "maxLength": 10}
    schema["properties"]["suspend"]["description"] = "In other words."
    return definition


def uids(job: RemoteJob) -> set[str]:
    return {pod["metadata"]["uid"] for pod in job.pods(OF_TRAINING)}


def roster(job: RemoteJob) -> set[str]:
    """UIDs of the pods of the world that was published last."""
    world = json.loads(job.kubectl("get", "configmap", world_name(job.name), "-o", f"jsonpath={{.data.{WORLD_KEY}}}"))
    return {member["uid"] for member in world["roster"]}


def operators(cluster: DevelopmentCluster) -> set[str]:
    return {pod["metadata"]["uid"] for pod in cluster.kubectl.get("pods", *OPERATORS)["items"]}


class TestUpgrade:
    def test_of_operator_and_definition_leaves_a_training_job_alone(
        self, installed: DevelopmentCluster, volume: Volume, tmp_path: Path
    ) -> None:
        """On the way the new operator has a wrong image for its trainers: who trains does not feel it, who starts does."""
        spec = volume.spec("run")
        # It trains all the while, and takes no more of the cores than that needs.
        first = volume.job(
            "first", "run", workers=overlaid(spec["workers"], {"resources": {"limits": {"cpu": "400m"}}})
        )
        second = volume.job("second", "run", training={**spec["training"], "steps": 20}, ttlSecondsAfterFinished=5)
        first.until("Training")
        waits = eventually(lambda: second.condition("Stalled"), lambda c: c["status"] == "True", 45)
        assert f"in use by PretrainJob {volume.namespace}/first" in waits["message"]
        assert second.pods() == []
        workers, before = uids(first), operators(installed)

        # As the chart of a newer version would write it: fields that kubectl has taken over are refused to Helm.
        installed.kubectl("apply", "--server-side", "--field-manager=helm", "-f", "-", objects=a_newer_definition())
        install_operator(installed, "--set=trainer.image.tag=absent", "--set=log.format=text")
        eventually(lambda: operators(installed) & before, lambda old: not old, 120)
        assert first.status()["state"] == "Training"
        assert uids(first) == workers
        steps = first.status()["progress"]["step"] + BEHIND
        third = RemoteJob.applied(installed, "third", a_spec(installed, f"s3://{BUCKET}/corpus/*.jsonl"))
        stalled = eventually(lambda: third.condition("Stalled"), lambda c: c["status"] == "True", 45)
        assert "Pod third-collect-1-" in stalled["message"]
        assert "trainer:absent" in stalled["message"]
        assert "trainer.image" in stalled["message"]
        install_operator(installed)
        eventually(third.status, lambda s: s["stages"][0]["state"] == "Complete", 150, every_seconds=0.5)
        assert third.condition("Stalled")["status"] == "False"

        third.edit(activeDeadlineSeconds=1)
        third.until("Failed", 120)
        assert "spec.activeDeadlineSeconds (1)" in third.condition("Succeeded")["message"]
        eventually(third.running, lambda names: not names, 60)

        assert roster(first) == uids(first) == workers  # over both upgrades
        eventually(first.status, lambda s: s["progress"]["step"] >= steps, 240)
        first.edit(suspend=True)
        status = first.until("Suspended", 120)
        found = losses(first.made.folder)
        assert [stage["attempts"] for stage in status["stages"][:5]] == [1] * 5
        assert (status["recovery"].get("failures", 0), status["recovery"].get("disruptions", 0)) == (0, 0)

        status = second.until("Succeeded")
        stages = {stage["name"]: stage.get("message") for stage in status["stages"]}
        skipped = [name for name, message in stages.items() if message == "skipped (done before)"]
        assert skipped == ["Collect", "Prepare", "Tokenizer", "Encode"]
        assert status["progress"]["step"] == 20
        eventually(lambda: second.cluster.kubectl.run("get", "pretrainjob", "second", "-n", volume.namespace).returncode,
                   lambda code: code == 1, 90)  # fmt: skip

        local = trained_here(volume, steps, tmp_path)
        assert first.made.shards() == local.shards()
        assert len(found) >= steps > BEHIND
        same = range(1, steps + 1)
        here = losses(local.folder)
        assert [found[step] for step in same] == [here[step] for step in same]
