"""The simulated body: what survives its operator (the cluster), and the operator's hands, which may be cut off."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pretrain_api.errors import PretrainError
from pretrain_api.stages import Stage, fingerprint
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import CheckpointStatus
from pretrain_operator.bodies.body import reconcile
from pretrain_operator.bodies.simulated.programs import Fate, Program
from pretrain_operator.brain import lifecycle
from pretrain_operator.brain.observed import Observed
from pretrain_operator.brain.plan import Action, KillStage, Requeue, StartStage, StopStage

STAGE_SECONDS = 20.0
"""What every simulated stage takes."""
_LONGEST_LOOK_SECONDS = 5.0


class OperatorKilled(PretrainError):
    """The operator died here; what it had done stays done."""


@dataclass
class Cluster:
    """What outlives an operator: clock, recorded status, programs, checkpoints."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    status: PretrainJobStatus = field(default_factory=PretrainJobStatus)
    programs: dict[Stage, Program] = field(default_factory=dict)
    history: list[Program] = field(default_factory=list)
    """Every program that was ever started, in order."""
    saved_steps: int = 0

    def settle(self) -> None:
        """Put down what the programs have saved by now."""
        train = self.programs.get(Stage.TRAIN)
        if train is not None:
            self.saved_steps = max(self.saved_steps, train.saved_steps(self.now))

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.settle()

    def next_change_seconds(self) -> float:
        """Seconds until a running program ends; at most a few."""
        ends = [(p.end - self.now).total_seconds() for p in self.programs.values() if p.end > self.now]
        return min([_LONGEST_LOOK_SECONDS, *ends])


class SimulatedBody:
    """An operator on a simulated cluster. `lives`: how many of its calls are answered before it is killed."""

    def __init__(
        self,
        cluster: Cluster,
        spec: PretrainJobSpec,
        fates: Mapping[tuple[Stage, int], Fate],
        lives: int | None = None,
        blind: Callable[[int], bool] = lambda look: False,
    ) -> None:
        self.cluster, self._spec, self._fates, self._lives, self._blind = cluster, spec, fates, lives, blind
        self._looks = 0

    def recorded(self) -> PretrainJobStatus:
        return self.cluster.status

    def observe(self, recorded: PretrainJobStatus) -> Observed:
        self._live()
        self._looks += 1
        now = self.cluster.now
        if self._blind(self._looks):
            return Observed(now=now)
        runs = {stage: p.seen(now) for stage, p in self.cluster.programs.items()}
        checkpoint = CheckpointStatus(step=self.cluster.saved_steps) if self.cluster.saved_steps else None
        return Observed(now=now, runs=runs, checkpoint=checkpoint, logs="pretrain logs simulated")

    def carry_out(self, action: Action) -> None:
        self._live()
        cluster = self.cluster
        program = cluster.programs.get(action.stage) if isinstance(action, StartStage | StopStage | KillStage) else None
        match action:
            case StartStage() if program is None or program.attempt < action.attempt:
                cluster.settle()
                program = Program(
                    stage=action.stage,
                    attempt=action.attempt,
                    fingerprint=fingerprint(action.stage, self._spec, action.upstream),
                    upstream=dict(action.upstream),
                    started=cluster.now,
                    fate=self._fates.get((action.stage, action.attempt), Fate()),
                    work_seconds=STAGE_SECONDS,
                    first_step=cluster.saved_steps if action.stage is Stage.TRAIN else 0,
                )
                cluster.programs[action.stage] = program
                cluster.history.append(program)
            case StopStage() if program and program.attempt == action.attempt and program.asked is None:
                self._replace(replace(program, asked=cluster.now))
            case KillStage() if program and program.attempt == action.attempt and program.killed is None:
                self._replace(replace(program, killed=cluster.now))
            case _:
                pass  # done already: actions are idempotent

    def record(self, status: PretrainJobStatus) -> None:
        self._live()
        self.cluster.status = status

    def _replace(self, program: Program) -> None:
        """A signal reaches a program that still runs; one that has ended stays as it is."""
        if self.cluster.now < self.cluster.programs[program.stage].end:
            self.cluster.programs[program.stage] = program

    def _live(self) -> None:
        if self._lives is None:
            return
        if self._lives <= 0:
            raise OperatorKilled("killed between two calls")
        self._lives -= 1


def drive(body: SimulatedBody, spec: Callable[[datetime], PretrainJobSpec], limit_seconds: float = 2e4) -> None:
    """Reconcile until the job is terminal. Raises OperatorKilled, and TimeoutError after so much simulated time."""
    cluster, begin = body.cluster, body.cluster.now
    while (cluster.now - begin).total_seconds() < limit_seconds:
        decision = reconcile(body, spec(cluster.now))
        if decision.recorded.state in lifecycle.TERMINAL:
            return
        waits = [a.after_seconds for a in decision.plan if isinstance(a, Requeue)]
        cluster.advance(max(0.01, min([*waits, cluster.next_change_seconds()])))
    raise TimeoutError(f"{cluster.status.state} after {limit_seconds} simulated seconds")
