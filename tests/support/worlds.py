"""Training workers and rosters as the brain sees them."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from support.stage_runs import NOON

from pretrain_api.world import Member, World
from pretrain_operator.brain.observed import Worker


def a_worker(number: int, **changes: Any) -> Worker:
    """One that runs since noon."""
    address, node = f"10.0.0.{number}", f"node-{number}"
    worker = Worker(number, f"w{number}", f"uid-{number}", "Running", address=address, node=node, started=NOON)
    return replace(worker, **changes)


def waiting(number: int, **changes: Any) -> Worker:
    return a_worker(number, state="Waiting", address="", **changes)


def evicted(number: int, is_alive: bool = False) -> Worker:
    return a_worker(number, state="Lost", is_alive=is_alive, reason="EvictionByEvictionAPI")


def noticed(number: int, **changes: Any) -> Worker:
    """One whose machine says that it goes soon."""
    return a_worker(number, notice="taint karpenter.sh/disrupted", **changes)


def killed(number: int, ended: datetime = NOON) -> Worker:
    return a_worker(number, state="Ended", is_alive=False, exit_code=137, reason="OOMKilled", ended=ended)


def a_world(*numbers: int, generation: int = 1, attempt: int = 1) -> World:
    """The roster of these workers."""
    workers = [a_worker(number) for number in numbers]
    members = tuple(Member(worker=w.worker, pod=w.pod, uid=w.uid, address=w.address) for w in workers)
    leader = members[0].address if members else ""
    return World(generation=generation, attempt=attempt, roster=members, leader=leader)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)
