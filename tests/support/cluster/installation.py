"""The operator of this checkout in a cluster: its images on the nodes, its chart installed with Helm."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from support.charts import CHART, NAMESPACE, RELEASE, Values
from support.cluster.foreign import AnyCluster
from support.cluster.kubectl import Kubectl
from support.helm import WAIT, Helm
from support.images import build as images
from support.images.nodes import bring

build = functools.cache(images.build)
"""This checkout does not change while tests run, and to find that nothing has changed takes seconds."""
OPERATORS = ("-n", NAMESPACE, "-l", f"app.kubernetes.io/name={RELEASE}")
"""Where kubectl finds the operator's pods."""


@contextmanager
def installed_operator(cluster: AnyCluster) -> Iterator[None]:
    """The operator of this checkout while the block runs. One that was there before stays."""
    helm = Helm(cluster.kubectl)
    was_there = helm.run("status", RELEASE, "-n", NAMESPACE).returncode == 0
    install_operator(cluster)
    try:
        yield
    finally:
        if not was_there:
            helm.remove(RELEASE)


def install_operator(cluster: AnyCluster, *arguments: str) -> None:
    """Install it, or upgrade it to this checkout; `arguments` are Helm's, `--set=replicas=1` say.

    The images are built before; what has not changed since the last time is neither built nor loaded again.
    """
    images = [bring(build(target), cluster) for target in ("operator", "trainer")]
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
    operator, trainer = (_image(name) for name in images)
    values = {"image": operator, "trainer": {"image": trainer}}
    done = Helm(cluster.kubectl).run(
        "upgrade", "--install", RELEASE, CHART, "-n", NAMESPACE, *WAIT, *arguments, values=values
    )
    if done.returncode:
        pods = cluster.kubectl.run("get", "pods", "-n", NAMESPACE, "-o", "wide").stdout
        logs = cluster.kubectl.run("logs", "-n", NAMESPACE, f"deployment/{RELEASE}", "--tail=20")
        raise RuntimeError(f"helm: {done.stderr.strip()}\n{pods}{logs.stdout}{logs.stderr}")


def _image(name: str) -> Values:
    repository, _, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag}


def kill_leader(kubectl: Kubectl) -> None:
    """Remove the pod that leads, without grace."""
    holder = kubectl.get("lease", "pretrain-operator", "-n", NAMESPACE)["spec"].get("holderIdentity", "")
    name = holder.partition("_")[0]
    kubectl.run("delete", "pod", name, "-n", NAMESPACE, "--grace-period=0", "--force", "--wait=false")
