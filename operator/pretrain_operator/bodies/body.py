"""What every body can do, and the one reconcile that is the same for all of them."""

from typing import Protocol

from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_operator.brain.decide import decide
from pretrain_operator.brain.observed import Observed
from pretrain_operator.brain.plan import Action, Decision, Requeue


class Body(Protocol):
    """The hands and eyes of the brain. Carrying an action out twice is the same as once."""

    def recorded(self) -> PretrainJobStatus:
        """The status as last recorded."""

    def observe(self, recorded: PretrainJobStatus) -> Observed:
        """What is there now. `recorded` only tells what to look for."""

    def carry_out(self, action: Action) -> None:
        """Do what a plan asks for."""

    def record(self, status: PretrainJobStatus) -> None:
        """Record the status. Only called when it changed."""


def reconcile(body: Body, spec: PretrainJobSpec) -> Decision:
    """Look, decide, record, act. A body that dies between any two of them does the same when it is back.

    Recording comes first: a failure is counted before the attempt that follows it hides it, and an attempt that is
    recorded but was never started is simply started.
    """
    recorded = body.recorded()
    decision = decide(spec, recorded, body.observe(recorded))
    if decision.recorded != recorded:
        body.record(decision.recorded)
    for action in decision.plan:
        if not isinstance(action, Requeue):
            body.carry_out(action)
    return decision
