"""Simulated stage programs: what one looks like at any time is a function of its start, its fate and the clock."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from pretrain_api.events import Outcome
from pretrain_api.stages import Stage
from pretrain_operator.brain.observed import StageRun

STEP_SECONDS = 2.0
"""Length of a training step."""
STEPS_PER_CHECKPOINT = 5
SAVE_SECONDS = 3.0
"""What a program takes to save and leave when it is asked to."""


@dataclass(frozen=True)
class Fate:
    """How an attempt at a stage ends, unless it is stopped before."""

    kind: Literal["complete", "crash", "kill", "terminate", "userError", "vanish"] = "complete"
    """crash: its own error; kill: SIGKILL; terminate: SIGTERM from outside; vanish: its host goes down."""
    after_seconds: float = 0.0
    """When, for all but complete."""
    ignores_stop: bool = False
    """It does not leave when it is asked to."""


@dataclass(frozen=True)
class Program:
    """One attempt at a stage."""

    stage: Stage
    attempt: int
    fingerprint: str
    upstream: Mapping[Stage, str]
    started: datetime
    fate: Fate
    work_seconds: float
    """What the whole stage takes from its first step or document to its last."""
    first_step: int = 0
    """Train: the step of the checkpoint that it went on from."""
    asked: datetime | None = None
    killed: datetime | None = None

    @property
    def end(self) -> datetime:
        """When it ends, as things stand."""
        done = self.started + timedelta(seconds=max(0.0, self.work_seconds - self.first_step * STEP_SECONDS))
        ends = [done]
        if self.fate.kind != "complete":
            ends.append(self.started + timedelta(seconds=self.fate.after_seconds))
        if self.asked is not None and not self.fate.ignores_stop:
            ends.append(self.asked + timedelta(seconds=SAVE_SECONDS))
        if self.killed is not None:
            ends.append(self.killed)
        return min(ends)

    @property
    def is_complete(self) -> bool:
        """Whether it ends with its work done."""
        return (self.end - self.started).total_seconds() >= self.work_seconds - self.first_step * STEP_SECONDS

    def steps(self, now: datetime) -> int:
        """Train: steps done, those before its start included."""
        return self.first_step + int((min(now, self.end) - self.started).total_seconds() / STEP_SECONDS)

    def saved_steps(self, now: datetime) -> int:
        """Train: the newest checkpoint's step. One that is asked to leave saves where it is."""
        steps = self.steps(now)
        saved = max(self.first_step, steps - steps % STEPS_PER_CHECKPOINT)
        return steps if now >= self.end and (self.is_complete or self._left_by_itself) else saved

    def seen(self, now: datetime) -> StageRun:
        """What a body sees of it."""
        run = StageRun(
            stage=self.stage,
            attempt=self.attempt,
            state="Running",
            started=self.started,
            worker="simulated-w0",
            node="simulated-node",
            figures=self._figures(now),
            figures_time=now if self.stage is Stage.TRAIN else None,
        )
        return run if now < self.end else self._ended(run)

    @property
    def _left_by_itself(self) -> bool:
        asked = self.asked is not None and self.end == self.asked + timedelta(seconds=SAVE_SECONDS)
        return asked or (self.fate.kind == "terminate" and self.killed is None)

    def _figures(self, now: datetime) -> dict[str, float]:
        done = self.steps(now)
        if self.stage is not Stage.TRAIN or done == self.first_step:
            return {}
        return {"step": float(done), "totalSteps": self.work_seconds / STEP_SECONDS, "loss": 1.0 + 1.0 / done}

    def _ended(self, run: StageRun) -> StageRun:
        if self.is_complete:
            outcome = Outcome(outcome="complete", fingerprint=self.fingerprint)
            return replace(run, state="Ended", exit_code=0, outcome=outcome)
        if self.killed is not None and self.killed <= self.end:
            return replace(run, state="Ended", exit_code=-9)
        if self._left_by_itself:
            return replace(run, state="Ended", exit_code=75, outcome=Outcome(outcome="stopped"))
        match self.fate.kind:
            case "userError":
                said = Outcome(
                    outcome="userError", code="simulated", message="job.yaml: wrong. Write it right. [simulated]"
                )
                return replace(run, state="Ended", exit_code=2, outcome=said)
            case "vanish":
                return replace(run, state="Lost")
            case "kill":
                return replace(run, state="Ended", exit_code=-9, last_lines="the last line of its log")
            case _:
                said = Outcome(outcome="failed", kind="Runtime", message="RuntimeError: simulated", rank=0)
                return replace(run, state="Ended", exit_code=1, outcome=said)
