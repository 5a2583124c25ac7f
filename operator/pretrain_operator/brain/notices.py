"""Which words about a machine say that it goes soon, so that its workers are moved before they are evicted.

Only what announces an end counts. A cordon alone keeps new pods away and takes nothing from those that are there; a node
that is not ready may be back in a moment, and whoever is cut off is missed by its neighbours first.
"""

from collections.abc import Iterable

TAINTS = (
    # AWS node termination handler, with taintNode (pkg/node/node.go): spot interruption, two minutes ahead, and others
    "aws-node-termination-handler/spot-itn",
    "aws-node-termination-handler/rebalance-recommendation",
    "aws-node-termination-handler/scheduled-maintenance",
    "aws-node-termination-handler/asg-lifecycle-termination",
    # GKE, on nodes with accelerators an hour ahead and on spot ones some seconds
    "cloud.google.com/impending-node-termination",
    # AKS node auto-drain, under its name since 2024 and the one before, and Azure's cloud provider
    "remediator.kubernetes.azure.com/unschedulable",
    "remediator.aks.microsoft.com/unschedulable",
    "cloudprovider.azure.microsoft.com/draining",
    # Karpenter since 1.0 and before: interruptions, drift, consolidation, expiry
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    # Cluster autoscaler, once it has decided; a mere candidate has another taint
    "ToBeDeletedByClusterAutoscaler",
)
"""Keys of taints of a node that is about to be drained."""
CONDITIONS = ("PreemptScheduled", "TerminateScheduled", "RedeployScheduled", "RebootScheduled")
"""Node conditions of AKS for the scheduled events of a virtual machine after which nothing of its memory is left. A freeze
passes within seconds."""


def notice(taints: Iterable[str], conditions: Iterable[str]) -> str:
    """The taint or condition that announces a machine's end; empty when none does. `taints`: keys; `conditions`: types of
    those that are true."""
    keys, true = set(taints), set(conditions)
    return next((f"taint {key}" for key in TAINTS if key in keys), "") or next(
        (f"condition {kind}" for kind in CONDITIONS if kind in true), ""
    )
