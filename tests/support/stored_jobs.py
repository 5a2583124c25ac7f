"""A job of an API server whose storage holds what a real run left."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from support.cluster.s3 import CREDENTIALS, S3Server, credentials
from support.command_place import CommandPlace
from support.finished_runs import FinishedRun


def a_stored_job(place: CommandPlace, server: S3Server, run: FinishedRun, bucket: str) -> Path:
    """A job in the cluster whose storage holds what the run left; gives the folder behind it."""
    secret = credentials(server.environment)
    place.kubectl.apply({**secret, "metadata": {**secret["metadata"], "namespace": place.namespace}})
    folder = server.buckets / server.make_bucket(bucket).removeprefix("s3://") / "run"
    shutil.copytree(run.storage.root, folder)
    spec: dict[str, Any] = json.loads(run.job.read_text())["spec"]
    spec["storage"] = {"uri": f"s3://{bucket}/run", "endpointUrl": server.url, "secretRef": {"name": CREDENTIALS}}
    job = {"apiVersion": "pretrain.dev/v1alpha1", "kind": "PretrainJob", "metadata": {"name": "gpt"}, "spec": spec}
    path = place.folder / "gpt.yaml"
    path.write_text(yaml.safe_dump(job))
    assert place.run("submit", str(path)).code == 0
    stages = [{"name": s.value, "state": "Complete", "fingerprint": f} for s, f in run.upstream.items()]
    place.status("gpt", state="Evaluating", stages=stages)
    return folder
