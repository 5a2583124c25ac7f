"""What every body can do, and the one reconcile that is the same for all of them."""

from collections.abc import Callable
from typing import Protocol

from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_operator.brain.decide import decide
from pretrain_operator.brain.observed import Observed
from pretrain_operator.brain.plan import Action, Decision


class Eyes(Protocol):
    """The eyes of the brain. Looking changes nothing and waits for nothing."""

    def recorded(self) -> PretrainJobStatus:
        """The status as last recorded."""

    def observe(self, recorded: PretrainJobStatus) -> Observed:
        """What is there now. `recorded` only tells what to look for."""


class Body(Eyes, Protocol):
    """Eyes and hands. Carrying an action out twice is the same as once."""

    def carry_out(self, action: Action) -> None:
        """Do what a plan asks for."""

    def record(self, status: PretrainJobStatus) -> None:
        """Record the status. Only called when it changed."""


class RemoteBody(Eyes, Protocol):
    """A body whose hands reach over a network."""

    async def carry_out(self, action: Action) -> None:
        """Do what a plan asks for."""

    async def record(self, status: PretrainJobStatus) -> None:
        """Record the status. Only called when it changed."""


def look(eyes: Eyes, spec: PretrainJobSpec | None) -> tuple[Decision, PretrainJobStatus | None]:
    """Look and decide. Gives the decision, and the status to record if it changed.

    Recording comes first, then the actions in their order: a failure is counted before the attempt that follows it
    hides it, and an attempt that is recorded but was never started is simply started. A body that dies between any two
    steps does the same when it is back.
    """
    recorded = eyes.recorded()
    decision = decide(spec, recorded, eyes.observe(recorded))
    return decision, decision.recorded if decision.recorded != recorded else None


def reconcile(body: Body, spec: PretrainJobSpec) -> Decision:
    """Look, decide, record, act."""
    decision, news = look(body, spec)
    if news is not None:
        body.record(news)
    for action in decision.actions:
        body.carry_out(action)
    return decision


async def reconcile_remote(
    body: RemoteBody, spec: PretrainJobSpec | None, on_decision: Callable[[Decision], None] = lambda decision: None
) -> Decision:
    """Look, decide, record, act, where recording and acting take time. `on_decision` is told before either begins."""
    decision, news = look(body, spec)
    on_decision(decision)
    if news is not None:
        await body.record(news)
    for action in decision.actions:
        await body.carry_out(action)
    return decision
