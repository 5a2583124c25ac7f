"""Kubeconfig files: how a user reaches a cluster's API server."""

import json
from pathlib import Path

from support.cluster.certificates import Pair


def write(path: Path, server: str, authority: Path, user: str, proof: Pair) -> Path:
    """A kubeconfig with one context. JSON, which every reader of YAML understands."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "pretrain", "cluster": {"server": server, "certificate-authority": str(authority)}}],
        "users": [
            {
                "name": user,
                "user": {"client-certificate": str(proof.certificate), "client-key": str(proof.key)},
            }
        ],
        "contexts": [{"name": "pretrain", "context": {"cluster": "pretrain", "user": user}}],
        "current-context": "pretrain",
    }
    path.write_text(json.dumps(content, indent=1))
    path.chmod(0o600)
    return path
