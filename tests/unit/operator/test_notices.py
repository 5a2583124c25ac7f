"""What announces the end of a machine, in the words of those who take machines away."""

import pytest

from pretrain_operator.brain.notices import notice


@pytest.mark.parametrize(
    "taint",
    [
        "aws-node-termination-handler/spot-itn",
        "aws-node-termination-handler/rebalance-recommendation",
        "aws-node-termination-handler/scheduled-maintenance",
        "aws-node-termination-handler/asg-lifecycle-termination",
        "cloud.google.com/impending-node-termination",
        "remediator.kubernetes.azure.com/unschedulable",
        "remediator.aks.microsoft.com/unschedulable",
        "cloudprovider.azure.microsoft.com/draining",
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
        "ToBeDeletedByClusterAutoscaler",
    ],
)
def test_a_taint_of_those_who_take_machines_away_is_a_notice(taint: str) -> None:
    assert notice(["nvidia.com/gpu", taint], ["Ready"]) == f"taint {taint}"


@pytest.mark.parametrize(
    "condition", ["PreemptScheduled", "TerminateScheduled", "RedeployScheduled", "RebootScheduled"]
)
def test_so_is_a_scheduled_event_after_which_the_memory_is_lost(condition: str) -> None:
    assert notice([], ["Ready", condition]) == f"condition {condition}"


@pytest.mark.parametrize(
    "taint",
    [
        "node.kubernetes.io/unschedulable",  # a cordon
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/disk-pressure",
        "DeletionCandidateOfClusterAutoscaler",
        "kubernetes.azure.com/scalesetpriority",  # of every spot node, from its beginning
        "cloud.google.com/gke-spot",
        "nvidia.com/gpu",
    ],
)
def test_other_taints_are_none(taint: str) -> None:
    assert notice([taint], []) == ""


def test_neither_are_other_conditions() -> None:
    assert notice([], ["Ready", "MemoryPressure", "FreezeScheduled", "VMEventScheduled"]) == ""
