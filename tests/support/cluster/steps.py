"""What `make cluster-up` does once all nodes are Ready. A new step is one more entry."""

from collections.abc import Callable
from dataclasses import dataclass

from support.cluster.cluster import DevelopmentCluster
from support.cluster.installation import install_operator
from support.cluster.s3 import credentials


@dataclass(frozen=True)
class Step:
    """Something that a fresh cluster gets. Safe to repeat, as `make cluster-up` on a running cluster does so."""

    act: Callable[[DevelopmentCluster], None]
    done: str
    """What a person reads afterwards, as a sentence without its full stop."""


def offer_storage(cluster: DevelopmentCluster) -> None:
    """What manifests/samples expects before it: a bucket, and keys and address of its server in the namespace `default`."""
    cluster.s3.make_bucket("pretrain")
    secret = credentials(cluster.s3.environment)
    cluster.kubectl("apply", "--server-side", "-n", "default", "-f", "-", objects=secret)


AFTER_START = (
    Step(install_operator, "The operator of this checkout runs, and nodes have its images"),
    Step(offer_storage, "Bucket pretrain is there, and Secret s3-credentials in the namespace default"),
)
