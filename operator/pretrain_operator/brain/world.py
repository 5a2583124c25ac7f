"""Who trains together: one roster of all workers, started and restarted as a gang.

Each start of the training stage is a new generation. Membership that changes while training runs is decided here
and nowhere else.
"""

from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import World
from pretrain_operator.brain.observed import StageRun


def gang(recorded: PretrainJobStatus, spec: PretrainJobSpec, train: StageRun | None) -> PretrainJobStatus:
    """The status with the world of the training stage's newest start."""
    if train is None:
        return recorded
    workers = spec.workers.min
    ready = workers if train.state == "Running" else 0
    return recorded.model_copy(update={"world": World(generation=train.attempt, workers=workers, ready=ready)})
