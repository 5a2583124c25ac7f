"""A rank that all others wait for at every step, as a condition."""

from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_operator.brain import conditions, roster
from pretrain_operator.brain.observed import Observed, StageRun


def stated(
    recorded: PretrainJobStatus, spec: PretrainJobSpec, train: StageRun | None, observed: Observed
) -> PretrainJobStatus:
    """The status with the STRAGGLING condition that the newest figures of the running attempt imply."""
    if train is None or train.state != "Running" or "slowRank" not in train.figures:
        return recorded
    rank = int(train.figures["slowRank"])
    if rank < 0:
        if conditions.condition(recorded, conditions.STRAGGLING).status != "True":
            return recorded
        message = "No rank is slower than the others any more."
        return conditions.stated(recorded, conditions.STRAGGLING, "False", "Even", message, observed.now)
    message = (
        f"Rank {rank}{_where(rank, spec, train, observed)} needs much longer than the others for its part of a step, and all "
        "wait for it. Look at its node, or delete the pod: another one takes its place."
    )
    return conditions.stated(recorded, conditions.STRAGGLING, "True", "SlowRank", message, observed.now)


def _where(rank: int, spec: PretrainJobSpec, train: StageRun, observed: Observed) -> str:
    """On which pod and node it is, as far as that is known."""
    published, place = roster.published(observed, train.attempt), rank // spec.workers.processes_per_worker
    if published is None or place >= len(published.roster):
        return ""
    worker = roster.members(published, observed)[place]
    return f" on {worker.pod}" + (f" (node {worker.node})" if worker.node else "")
