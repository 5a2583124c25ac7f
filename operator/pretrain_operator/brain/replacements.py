"""Which workers of a running attempt are started or ended, so that as many are there as are wanted.

A worker that takes another's place has a new number, and with it a pod of another name: one that hangs on a node that
does not answer is never waited for. Whoever decides on an older view asks for the same number, and it is one pod.
"""

from datetime import datetime

from pretrain_api.types import PretrainJobStatus
from pretrain_api.world import World
from pretrain_operator.brain import failures, roster
from pretrain_operator.brain.observed import Observed, Worker


def missing(recorded: PretrainJobStatus, observed: Observed, published: World, wanted: int) -> tuple[int, ...]:
    """Numbers of workers to start, so that as many as wanted are there: above all that were ever seen."""
    there = len(_lasting(recorded, observed, published))
    newest = max([*(w.worker for w in observed.workers), *(m.worker for m in published.roster)])
    return tuple(range(newest + 1, newest + 1 + wanted - there))


def surplus(recorded: PretrainJobStatus, observed: Observed, published: World, wanted: int) -> tuple[int, ...]:
    """Numbers of workers to end: those that an older view made too many, those that never ran and would be made in
    another way now, and those that were lost to their neighbours and run still. Members stay."""
    members, there = {m.uid for m in published.roster}, _there(recorded, observed)
    others = [w for w in there if w.uid not in members]
    outdated = [w for w in others if w.is_outdated]
    lasting = _lasting(recorded, observed, published)
    spare = sorted((w for w in lasting if w.uid not in members), key=lambda w: (w.state == "Running", -w.worker))
    lost = set(recorded.world.lost)
    run_on = [w for w in roster.others(published, observed) if roster.is_there(w) and w.uid in lost]
    excess = max(0, len(lasting) - wanted)
    return tuple(w.worker for w in (*run_on, *outdated, *spare[:excess]))


def pause_seconds(recorded: PretrainJobStatus, observed: Observed, published: World) -> float:
    """Seconds to wait before another one is started, after some that ended before they were in a roster: 1, 2, 4 ... 30.

    They cost no budget, since nothing was lost with them; but what ended them may end the next one.
    """
    newest, lost = max(m.worker for m in published.roster), set(recorded.world.lost)
    vain = [
        w for w in roster.others(published, observed) if w.state == "Ended" and w.worker > newest and w.uid not in lost
    ]
    if not vain:
        return 0.0
    pause = failures.pause_after(len(vain))
    return min(pause, pause - _age(vain, observed.now))


def _lasting(recorded: PretrainJobStatus, observed: Observed, published: World) -> list[Worker]:
    """Those that count among the wanted ones. Whose machine goes soon does not, and is left there to go with it. But one
    that came later than the roster's newest member counts even there: the next one might come to such a machine as well.
    """
    members, newest = {m.uid for m in published.roster}, max(m.worker for m in published.roster)
    leaving = roster.leaving(published, observed)
    return [
        w
        for w in _there(recorded, observed)
        if (w.uid in members or not w.is_outdated)
        and (w.uid not in leaving or (w.uid not in members and w.worker > newest))
    ]


def _there(recorded: PretrainJobStatus, observed: Observed) -> list[Worker]:
    """The workers that train or may come to. Who was lost once is in no later roster."""
    lost = roster.were_lost(recorded)
    return [w for w in observed.workers if roster.is_there(w) and w.uid not in lost]


def _age(ended: list[Worker], now: datetime) -> float:
    return (now - max(w.ended or w.started or now for w in ended)).total_seconds()
