"""A folder of this machine as a volume that pods of all nodes share, without a storage class."""

import os
from pathlib import Path
from typing import Any

POD_USER = 65532
"""Whom the folder belongs to: a hostPath is mounted as it is, whatever a pod's fsGroup says."""


def shared_volume(folder: Path, namespace: str, claim: str) -> list[dict[str, Any]]:
    """PersistentVolume and PersistentVolumeClaim, bound to each other. The volume is named after the namespace."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, POD_USER, POD_USER)
    terms = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    wanted = {"name": claim, "namespace": namespace}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace},
            "spec": {
                **terms,
                "capacity": {"storage": "1Gi"},
                "claimRef": wanted,
                "hostPath": {"path": str(folder), "type": "DirectoryOrCreate"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": wanted,
            "spec": {**terms, "volumeName": namespace, "resources": {"requests": {"storage": "1Gi"}}},
        },
    ]
