"""The CustomResourceDefinition in an API server of a test."""

from pathlib import Path

from support.cluster.kubectl import Kubectl
from support.eventually import eventually

MANIFEST = Path(__file__).resolve().parents[2] / "manifests" / "crd.yaml"


def install_crd(kubectl: Kubectl) -> None:
    """Apply manifests/crd.yaml and wait until PretrainJobs are served.

    `kubectl wait` fails on an object that has no conditions yet.
    """
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(MANIFEST))
    command = ("get", "pretrainjobs", "--all-namespaces", "--chunk-size=1")
    eventually(lambda: kubectl.run(*command).returncode, lambda code: code == 0, within_seconds=60)
