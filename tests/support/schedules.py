"""Random schedules for a job on the simulated Kubernetes: everything dies, lags, jumps and is edited, and must end well."""

import random
from dataclasses import dataclass

from support.jobs import a_job

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobSpec
from pretrain_operator.bodies.simulated.kubernetes import (
    Fate,
    OperatorKilled,
    SimulatedKubernetes,
    SimulatedOperator,
)
from pretrain_operator.brain import conditions, lifecycle, stages

LIMIT_SECONDS = 20_000
_MOST = 5
"""The most workers of a schedule, with its spare."""
_KINDS = ("crash", "kill", "gone", "reset", "evict", "vanish", "freeze", "unheard", "notice", "missing")


@dataclass
class Ended:
    """A schedule that was run."""

    cluster: SimulatedKubernetes
    was_deleted: bool
    turns: int


def _spec(fewest: int, most: int, spares: int, budget: int, suspend: bool = False) -> PretrainJobSpec:
    data = {**a_job().manifest["spec"]["data"], "prepare": {"parallelism": 2}}
    job = (
        a_job()
        .with_budget(budget)
        .with_spec(workers={"min": fewest, "max": most, "spares": spares}, suspend=suspend, data=data)
    )
    return job.spec


SPECS = {(all_or_none, most, spares, budget, suspend): _spec(most if all_or_none else 1, most, spares, budget, suspend)
         for all_or_none in (False, True) for most in (1, 2, 4) for spares in (0, 1) for budget in (1, 3, 50)
         for suspend in (False, True)}  # fmt: skip


def run(seed: int) -> Ended:
    """One schedule. Raises AssertionError with the seed when a promise is broken."""
    chance = random.Random(seed)
    budget = chance.choice((1, 3, 50))
    rate, death, lag = chance.choice((0.0, 0.1, 0.3)), chance.choice((0.0, 0.02, 0.1)), chance.choice((0, 1, 3))

    def fate() -> Fate | None:
        if chance.random() >= rate:
            return None
        return chance.choice(_KINDS), chance.uniform(0, 15)  # type: ignore[return-value]

    wrong = chance.choice((0.0, 0.0, 0.3))

    def clocks() -> float:
        return chance.choice((-900.0, 900.0)) if chance.random() < wrong else 0.0

    all_or_none, most, spares = chance.choice((False, True)), chance.choice((1, 2, 4)), chance.choice((0, 0, 1))
    cluster = SimulatedKubernetes(SPECS[all_or_none, most, spares, budget, False], fate, clocks)
    operators = [SimulatedOperator(cluster, chance, lag, death) for _ in range(chance.choice((1, 1, 2)))]
    edits_left, is_suspended, is_deleted, turns = chance.randint(0, 3), False, False, 0
    wakes = [0.0] * len(operators)
    begin = cluster.now
    seen_complete: set[str] = set()
    while not _is_over(cluster):
        elapsed = (cluster.now - begin).total_seconds()
        assert elapsed < LIMIT_SECONDS, f"seed {seed}: {cluster.status.state} after {elapsed} s"
        if (edits_left and chance.random() < 0.03) or (is_suspended and chance.random() < 0.1):
            is_suspended = not is_suspended if is_suspended or chance.random() < 0.5 else False
            edits_left -= not is_suspended
            edits_left, most, spares = max(0, edits_left), chance.choice((1, 2, 4)), chance.choice((0, 1))
            cluster.edit(SPECS[all_or_none, most, spares, budget, is_suspended])
            wakes = [0.0] * len(operators)
        if edits_left and chance.random() < 0.002:
            cluster.deleted, is_deleted = cluster.now, True
        if elapsed > LIMIT_SECONDS / 4:
            rate = 0.0
        for i, operator in enumerate(operators):
            if elapsed < wakes[i] and chance.random() < 0.5:  # an event may be lost, or come again
                continue
            turns += 1
            try:
                again = operator.turn()
                wakes[i] = elapsed + (again if again is not None else 5)
            except OperatorKilled:
                operators[i] = SimulatedOperator(cluster, chance, lag, death)
            if chance.random() < 0.02:
                operators[i].clock_seconds = chance.uniform(-20, 20)
            if cluster.is_gone:
                break
        _check(cluster, seen_complete, seed, allow_again=cluster.generation > 1)
        cluster.advance()
    _check_end(cluster, is_deleted, budget, seed)
    return Ended(cluster, is_deleted, turns)


def _is_over(cluster: SimulatedKubernetes) -> bool:
    """Whether the job is gone, or terminal with nothing running any more."""
    is_terminal = cluster.status.state in lifecycle.TERMINAL
    return cluster.is_gone or (is_terminal and not any(not life.pod.is_over for life in cluster.lives.values()))


def _check(cluster: SimulatedKubernetes, complete: set[str], seed: int, allow_again: bool) -> None:
    assert cluster.most_gangs <= 1, f"seed {seed}: {cluster.most_gangs} gangs at once"
    assert cluster.trained_seconds >= cluster.saved_seconds, f"seed {seed}: what was saved is lost"
    for entry in cluster.status.stages:
        if entry.name in complete and not allow_again:
            assert entry.state == "Complete", f"seed {seed}: {entry.name} runs again"
        if entry.state == "Complete":
            complete.add(entry.name)


def _check_end(cluster: SimulatedKubernetes, is_deleted: bool, budget: int, seed: int) -> None:
    status, recovery = cluster.status, cluster.status.recovery
    assert not any(not life.pod.is_over and life.asked is None for life in cluster.lives.values()), f"seed {seed}: left"
    own = sum(fault.kind in ("crash", "kill", "gone") for fault in cluster.faults)
    # Whether a worker that is gone ended by itself is seen late, and not at all where a clock jumps meanwhile.
    kinds = ("gone", "reset", "evict", "vanish", "freeze", "unheard", "notice")
    outside = sum(fault.kind in kinds for fault in cluster.faults)
    assert recovery.failures <= own, f"seed {seed}: {recovery.failures} failures of {own} programs"
    # An operator that sees the past may ask the workers of the newest start to leave.
    outside += len(cluster.asked_to_leave)
    assert recovery.disruptions <= outside, f"seed {seed}: {recovery.disruptions} disruptions of {outside} programs"
    ends = own + outside - sum(fault.kind == "gone" for fault in cluster.faults)
    assert recovery.failures + recovery.disruptions <= ends, f"seed {seed}: {recovery} of {ends} programs"
    for attempt, made in cluster.workers_made.items():
        ends = sum((fault.stage, fault.attempt) == (Stage.TRAIN, attempt) for fault in cluster.faults)
        ends += len(cluster.ended_by_operators.get(attempt, ()))
        # An older view may make one again that is gone, beside the one that takes its place.
        assert made <= 2 * (_MOST + ends), f"seed {seed}: {made} workers in start {attempt} for {ends} that ended"
    if cluster.is_gone:
        assert is_deleted, f"seed {seed}: deleted by nobody"
        return
    reason = conditions.condition(status, conditions.SUCCEEDED).reason
    if status.state == "Failed":
        assert reason == "TooManyFailures", f"seed {seed}: {reason}"
        assert len(recovery.recent_failures) >= budget, f"seed {seed}: {recovery}"
    else:
        assert all(entry.state == "Complete" for entry in status.stages), f"seed {seed}"
        assert stages.next_stage(status, cluster.spec) is None


def played(fewest: int, fates: dict[str, Fate]) -> tuple[SimulatedKubernetes, list[float]]:
    """A job of three workers to its end, and how far its training was all the time. `fates`: by the pod's name, with the
    seconds of training after which they are met."""
    spec = a_job().with_spec(workers={"min": fewest, "max": 3}).spec
    cluster, trained = SimulatedKubernetes(spec, lambda: None), [0.0]
    operator = SimulatedOperator(cluster, random.Random(1))
    while cluster.status.state not in ("Succeeded", "Failed"):
        assert len(trained) < 1000
        operator.turn()
        for name, (kind, seconds) in fates.items():
            if name in cluster.lives and trained[-1] < seconds <= cluster.trained_seconds:
                cluster.lives[name].fate = kind, 0.0
        trained.append(cluster.trained_seconds)
        cluster.advance()
    return cluster, trained


def check_a_lost_worker(fate: Fate, counts: tuple[int, int], fewest: int) -> None:
    """Of three workers the second meets its fate: another one takes its place, and nothing that was learned is lost.
    `counts`: of failures and disruptions."""
    cluster, trained = played(fewest, {"simulated-w1-1": fate})
    assert stages.entry(cluster.status, Stage.TRAIN).attempts == 1
    assert (cluster.status.recovery.failures, cluster.status.recovery.disruptions) == counts
    assert cluster.workers_made == {1: 4}
    assert trained == sorted(trained)
    assert cluster.world is not None
    assert [member.worker for member in cluster.world.roster] == [0, 2, 3]
