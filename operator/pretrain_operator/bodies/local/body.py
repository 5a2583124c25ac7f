"""The local body itself: starts, watches and stops one stage program at a time, and keeps the status in storage."""

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from pretrain_api import layout, records
from pretrain_api.commits import RECORDS, Bad, Commit
from pretrain_api.errors import UserError
from pretrain_api.event_tail import EventTail
from pretrain_api.events import ProgressEvent, outcome_at
from pretrain_api.log_tail import last_lines
from pretrain_api.stages import Stage, fingerprint, upstream_of
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob, PretrainJobStatus
from pretrain_api.types.status import CheckpointStatus
from pretrain_operator.bodies.local import logs, processes, programs
from pretrain_operator.bodies.local.processes import ProcessIdentity
from pretrain_operator.bodies.local.scraped import Scraped
from pretrain_operator.bodies.local.workplace import Workplace, written_by_user
from pretrain_operator.brain import stages
from pretrain_operator.brain.observed import Finished, Observed, StageRun
from pretrain_operator.brain.plan import Action, KillStage, StartStage, StopStage
from pretrain_operator.brain.progress import with_figures_of

_STATUS_SECONDS = 2.0
"""Least time between two writes of the status when only the progress changed."""
_KNOWN_WITHOUT_PROGRAM = (Stage.TRAIN, Stage.EVALUATE, Stage.EXPORT)
"""Stages that look at nothing outside the storage: their identity needs no program, whose start loads torch."""


@dataclass
class _Attempt:
    """A program that this body started."""

    stage: Stage
    number: int
    process: subprocess.Popen[bytes]
    identity: ProcessIdentity | None
    started: datetime
    log_begin: int
    outcome_file: Path
    events: EventTail
    asked: bool = False
    lines: list[ProgressEvent] = field(default_factory=list)
    """Events that nobody has taken yet."""


class LocalBody:
    """Runs stage programs as processes that die with this one. One per job and machine, held by the workplace's lock."""

    def __init__(
        self, job: PretrainJob, workplace: Workplace, status: PretrainJobStatus, metrics: Scraped | None = None
    ) -> None:
        self.job, self.workplace, self._metrics = job, workplace, metrics
        self._status = status
        self._written = PretrainJobStatus()
        self._written_at: datetime | None = None
        self._checkpoint: CheckpointStatus | None = None
        self._checkpoint_key: tuple[object, ...] = ()
        self._attempts: dict[Stage, _Attempt] = {}
        self._node = socket.gethostname()

    def recorded(self) -> PretrainJobStatus:
        return self._status

    def go_on_with(self, job: PretrainJob, status: PretrainJobStatus) -> None:
        """Another version of the job, once no program of the one before is left."""
        self.job = job
        self.record(status)

    def observe(self, recorded: PretrainJobStatus) -> Observed:
        """What the programs are at. Raises UserError when somebody removed the run's folder."""
        self._check_folder()
        runs = {stage: self._seen(attempt) for stage, attempt in self._attempts.items()}
        checkpoint = self._newest_checkpoint(runs.get(Stage.TRAIN), recorded)
        now = datetime.now(UTC)
        logs = shlex.join(["pretrain", "logs", self.workplace.storage.uri()])
        return Observed(now=now, runs=runs, checkpoint=checkpoint, finished=self._finished(recorded), logs=logs)

    def _check_folder(self) -> None:
        if not self.workplace.is_there():
            raise UserError(
                "storage-vanished",
                self.workplace.storage.uri(),
                "the run's folder was removed while the job was running.",
                "Run the job again: it starts anew.",
            )

    def carry_out(self, action: Action) -> None:
        match action:
            case StartStage():
                try:
                    self._start(action)
                except FileNotFoundError:
                    self._check_folder()  # removed between the look and the act
                    raise
            case StopStage():
                self._stop(action)
            case KillStage():
                attempt = self._attempts.get(action.stage)
                if attempt and attempt.number == action.attempt and attempt.identity:
                    processes.end(attempt.identity)

    def record(self, status: PretrainJobStatus) -> None:
        """Keep the status; in storage at once, or within seconds when only the figures of training changed."""
        self._status = status
        if self._metrics:
            self._metrics.show(status)
        only_progress = with_figures_of(self._written, status) == self._written
        now = datetime.now(UTC)
        if only_progress and self._written_at:
            age = (now - self._written_at).total_seconds()
            if 0 <= age < _STATUS_SECONDS:  # below 0: the clock was set back
                return
        self.workplace.write_job(layout.STATUS, self.job.model_copy(update={"status": status}))
        self._written, self._written_at = status, now

    def events(self) -> list[tuple[Stage, ProgressEvent]]:
        """Progress lines since the last call."""
        found = [(a.stage, event) for a in self._attempts.values() for event in a.lines]
        for attempt in self._attempts.values():
            attempt.lines.clear()
        return found

    def handles(self) -> list[int]:
        """Descriptors that become readable when a program ends. The caller closes them."""
        found = []
        for attempt in self._attempts.values():
            if attempt.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    found.append(os.pidfd_open(attempt.process.pid))
        return found

    def end_all(self) -> None:
        """Kill every program at once; what they saved stays."""
        for attempt in self._attempts.values():
            if attempt.process.poll() is None and attempt.identity:
                processes.end(attempt.identity)
            attempt.process.wait()

    def end_leftovers(self) -> Sequence[ProcessIdentity]:
        """End programs of an earlier run that outlived it. Found by number and start, never by name."""
        left = [p for p in self.workplace.read_processes() if p.alive]
        for process in left:
            processes.end(process)
        self.workplace.write_processes([])
        self.workplace.clear_attempts()
        return left

    def _start(self, action: StartStage) -> None:
        known = self._attempts.get(action.stage)
        if known and known.number >= action.attempt:
            return
        folder = self.workplace.attempt(action.stage, action.attempt)
        log_path = self.workplace.log(action.stage)
        ranks = self.job.spec.workers.processes_per_worker
        with written_by_user(str(folder)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            log_path.parent.mkdir(parents=True, exist_ok=True)
            with open(log_path, "ab") as log:
                begin = log.tell()
                now = datetime.now(UTC)
                log.write(f"--- {action.stage}, attempt {action.attempt}, {now:%Y-%m-%d %H:%M:%S} UTC\n".encode())
                log.flush()
                events, outcome = folder / layout.EVENTS, folder / "outcome.json"
                process = processes.start(
                    programs.command(action.stage, self.workplace.job_file, action.upstream, ranks),
                    programs.environment(
                        action.stage,
                        events,
                        outcome,
                        ranks,
                        len(os.sched_getaffinity(0)),
                        self._metrics.folder if self._metrics else None,
                    ),
                    log,
                )
        self._attempts[action.stage] = _Attempt(
            stage=action.stage,
            number=action.attempt,
            process=process,
            identity=processes.identity(process.pid),
            started=now,
            log_begin=begin,
            outcome_file=outcome,
            events=EventTail(events),
        )
        alive = [a.identity for a in self._attempts.values() if a.identity and a.process.poll() is None]
        self.workplace.write_processes(alive)

    def _stop(self, action: StopStage) -> None:
        attempt = self._attempts.get(action.stage)
        if not attempt or attempt.number != action.attempt or attempt.asked or attempt.process.poll() is not None:
            return
        attempt.asked = True  # a second signal would end the program at once
        attempt.process.terminate()

    def _seen(self, attempt: _Attempt) -> StageRun:
        code = attempt.process.poll()
        attempt.lines += attempt.events.read()
        step = attempt.events.newest_step
        run = StageRun(
            stage=attempt.stage,
            attempt=attempt.number,
            state="Running" if code is None else "Ended",
            started=attempt.started,
            worker=f"{self.job.metadata.name}-w0",
            node=self._node,
            figures=step.figures if step else {},
            figures_time=datetime.fromtimestamp(step.time, UTC) if step else None,
            recovery=attempt.events.recovery,
        )
        return run if code is None else self._with_end(run, attempt, code)

    def _with_end(self, run: StageRun, attempt: _Attempt, code: int) -> StageRun:
        text = logs.tail(self.workplace.log(attempt.stage), attempt.log_begin)
        outcome = outcome_at(attempt.outcome_file)
        return replace(run, exit_code=code, outcome=outcome, last_lines=last_lines(text))

    def _newest_checkpoint(self, train: StageRun | None, recorded: PretrainJobStatus) -> CheckpointStatus | None:
        """The newest commit; the log is read again when training says that there is another, and at its end."""
        if train is None:
            return None
        key = (train.attempt, train.state, train.figures.get("checkpointStep"))
        if key != self._checkpoint_key:
            self._checkpoint_key = key
            storage = self.workplace.storage
            own = fingerprint(Stage.TRAIN, self.job.spec, stages.upstream(recorded, Stage.TRAIN, self.job.spec))
            if commit := _newest_commit(storage, own):
                uri = storage.uri(commit.data)[-256:]
                self._checkpoint = CheckpointStatus(step=commit.step, uri=uri, time=commit.time)
        return self._checkpoint

    def _finished(self, recorded: PretrainJobStatus) -> dict[Stage, Finished]:
        """Records of the stages that are next, as far as their identity is known."""
        found: dict[Stage, Finished] = {}
        for stage in _KNOWN_WITHOUT_PROGRAM:
            entry = stages.entry(recorded, stage)
            if entry.state == "Complete":
                continue
            known = {u: stages.entry(recorded, u) for u in upstream_of(stage, self.job.spec)}
            if entry.state != "Pending" or any(e.state != "Complete" and u not in found for u, e in known.items()):
                break
            upstream = {u: found[u].fingerprint if u in found else e.fingerprint for u, e in known.items()}
            identity = fingerprint(stage, self.job.spec, upstream)
            with contextlib.suppress(FileNotFoundError):
                record = records.read(self.workplace.storage, stage, identity)
                found[stage] = Finished(
                    identity, record.started, record.completed, "skipped (done before)", record.flow
                )
        return found


def _newest_commit(storage: Storage, fingerprint: str) -> Commit | None:
    """The newest checkpoint of a training that was not found damaged."""
    bad: set[int] = set()
    for name in reversed(storage.names(layout.COMMIT_LOG)):
        with contextlib.suppress(ValidationError):  # a damaged record is passed over
            record = RECORDS.validate_json(storage.read_bytes(f"{layout.COMMIT_LOG}/{name}"))
            if isinstance(record, Bad):
                bad.add(record.of)
            elif isinstance(record, Commit) and record.fingerprint == fingerprint and record.sequence not in bad:
                return record
    return None
