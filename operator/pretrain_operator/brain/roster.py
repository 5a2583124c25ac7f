"""The published roster beside what is seen of its members: who is in it, who was lost, and whether the others go on."""

from collections.abc import Sequence, Set
from dataclasses import replace

from pretrain_api import exits
from pretrain_api.events import SIGNAL, Outcome
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.world import World
from pretrain_operator.brain.observed import Observed, Worker

SILENT = "Silent"
"""Reason of a loss that only the neighbours know of."""
GONE = "Gone"
"""Reason of a loss that the neighbours know of first: how it came about will be seen."""


def published(observed: Observed, attempt: int) -> World | None:
    """The newest roster, if it is one of this attempt."""
    return observed.world if observed.world and observed.world.attempt == attempt else None


def heard(observed: Observed, spec: PretrainJobSpec) -> Observed:
    """What is observed, with those members lost that their neighbours have lost, however well they look from here: on a
    frozen machine, or one that is cut off, a pod runs for minutes more, and the end of one that was killed is seen seconds
    later.

    Whoever hears nothing of most others is cut off itself: others say so of it. Whose program is gone is taken for lost
    where the others go on without it; an attempt that ends of it has to know how it ended.
    """
    world, told = observed.world, observed.silence
    if world is None or told is None or told.generation != world.generation:
        return observed
    silent = {member.uid for member in world.roster if member.pod in told.workers}
    gone = {member.uid for member in world.roster if member.pod in told.gone}
    if 2 * len(silent) <= len(world.roster):
        observed = _without(observed, silent, SILENT)
    without = _without(observed, gone, GONE)
    return without if is_elastic(spec) and goes_on(members(world, without)) else observed


def _without(observed: Observed, uids: Set[str], reason: str) -> Observed:
    workers = tuple(
        replace(w, state="Lost", reason=reason, is_alive=False) if w.uid in uids and is_there(w) else w
        for w in observed.workers
    )
    return replace(observed, workers=workers)


def members(world: World, observed: Observed) -> list[Worker]:
    """The members in the roster's order. Whoever is not seen any more is lost."""
    seen = {w.uid: w for w in observed.workers}
    return [
        seen.get(m.uid) or Worker(m.worker, m.pod, m.uid, "Lost", is_alive=False, reason="Deleted")
        for m in world.roster
    ]


def others(world: World, observed: Observed) -> list[Worker]:
    """The workers outside of the roster, by their numbers."""
    uids = {member.uid for member in world.roster}
    return sorted((w for w in observed.workers if w.uid not in uids), key=lambda w: w.worker)


def leaving(world: World, observed: Observed) -> set[str]:
    """UIDs of the workers whose machine goes soon and who can be spared. Where all members go nobody can: whoever came
    in their place would find nobody with the state in memory, and they save it when they are asked to leave."""
    stays = any(is_there(w) and not w.notice for w in members(world, observed))
    return {w.uid for w in observed.workers if w.notice} if stays else set()


def were_lost(recorded: PretrainJobStatus) -> set[str]:
    """UIDs of the workers that were lost once: they are in no later roster."""
    return {*recorded.world.lost, *(each.uid for each in recorded.world.left_out)}


def was_killed(worker: Worker) -> bool:
    """Whether the machine ended it; what its neighbours say is then what the lost connection did to them."""
    return worker.reason == "OOMKilled" or bool(exits.signal_of(worker.exit_code or 0))


def is_lost(worker: Worker) -> bool:
    """Whether it was taken away or killed, so that its end says nothing about the training."""
    return worker.state == "Lost" or (
        worker.state == "Ended" and was_killed(worker) and not _has_spoken(worker.outcome)
    )


def _has_spoken(said: Outcome | None) -> bool:
    """Whether the training program itself came to say something. When its agent was killed, the pod's program says that
    alone; when a rank was killed again and again, the agent says which one, and gives up."""
    return said is not None and not (said.kind == SIGNAL and said.rank < 0)


def is_there(worker: Worker) -> bool:
    """Whether it runs or will."""
    return worker.state in ("Running", "Waiting")


def goes_on(workers: Sequence[Worker]) -> bool:
    """Whether the attempt does with some members lost: another one is there, and none has ended by its own word."""
    return any(is_there(w) for w in workers) and all(is_there(w) or is_lost(w) for w in workers)


def is_elastic(spec: PretrainJobSpec) -> bool:
    """Whether the attempt may go on without a lost member, and another worker take its place.

    Not in a queue or a scheduler's group: their groups are counted when the attempt starts, and a later pod is none of
    theirs. There a lost worker ends the attempt, and the next one has a group of its own.
    """
    return not spec.scheduling.queue_name and spec.scheduling.gang is None
