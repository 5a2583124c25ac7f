"""The local body itself: starts, watches and stops the programs of one stage at a time, and keeps the status in storage."""

import contextlib
import os
import shlex
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from pydantic import ValidationError

from pretrain_api import layout, records
from pretrain_api.commits import RECORDS, Bad, Commit
from pretrain_api.errors import UserError
from pretrain_api.events import ProgressEvent
from pretrain_api.stages import Stage, fingerprint, upstream_of
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob, PretrainJobStatus
from pretrain_api.types.status import CheckpointStatus
from pretrain_operator.bodies.local import processes, programs
from pretrain_operator.bodies.local.crew import Crew, room_here
from pretrain_operator.bodies.local.processes import ProcessIdentity
from pretrain_operator.bodies.local.programs import Follows
from pretrain_operator.bodies.local.scraped import Scraped
from pretrain_operator.bodies.local.started import Started
from pretrain_operator.bodies.local.workplace import Workplace
from pretrain_operator.brain import stages
from pretrain_operator.brain.observed import Finished, Observed, StageRun, Start
from pretrain_operator.brain.plan import Action, DropWorkers, KillStage, PublishWorld, StartStage, StopStage
from pretrain_operator.brain.progress import with_figures_of

_STATUS_SECONDS = 2.0
"""Least time between two writes of the status when only the progress changed."""
_KNOWN_WITHOUT_PROGRAM = (Stage.TRAIN, Stage.EVALUATE, Stage.EXPORT)
"""Stages that look at nothing outside the storage: their identity needs no program, whose start loads torch."""


@dataclass(frozen=True)
class _Attempt:
    """A start of a stage that is one program."""

    stage: Stage
    number: int
    program: Started


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
        self._crew: Crew | None = None
        """Of the newest start of training, where several workers train."""
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
        for program in self._programs():
            program.read()
        crew = self._crew
        attempt = stages.entry(recorded, Stage.TRAIN).attempts
        seen = Observed(
            now=datetime.now(UTC),
            runs={stage: self._seen(attempt) for stage, attempt in self._attempts.items()},
            finished=self._finished(recorded),
            logs=shlex.join(["pretrain", "logs", self.workplace.storage.uri()]),
            most_workers=room_here(self.job.spec),
            workers=crew.workers() if crew and crew.attempt == attempt else (),
            world=crew.world if crew else None,
            report=crew.report() if crew else None,
            silence=crew.silence if crew else None,
            alive=frozenset({Start(Stage.TRAIN, crew.attempt)} if crew and crew.is_alive else ()),
        )
        return replace(seen, checkpoint=self._newest_checkpoint(seen, recorded))

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
                for program in self._programs_of(action):
                    program.ask_to_stop()
            case KillStage():
                for program in self._programs_of(action):
                    program.end()
            case PublishWorld() if self._crew:
                self._crew.tell(action.world)
            case DropWorkers() if self._crew and self._crew.attempt == action.attempt:
                self._crew.drop(action.workers)

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
        programs = [(a.stage, a.program) for a in self._attempts.values()]
        programs += [(Stage.TRAIN, program) for program in (self._crew.programs if self._crew else ())]
        return [(stage, event) for stage, program in programs for event in program.taken() if not event.silence]

    def handles(self) -> list[int]:
        """Descriptors that become readable when a program ends. The caller closes them."""
        found = []
        for program in self._programs():
            if program.exit_code is None:
                with contextlib.suppress(ProcessLookupError):
                    found.append(os.pidfd_open(program.pid))
        return found

    def end_all(self) -> None:
        """Kill every program at once; what they saved stays."""
        for program in self._programs():
            program.end()

    def end_leftovers(self) -> Sequence[ProcessIdentity]:
        """End programs of an earlier run that outlived it. Found by number and start, never by name."""
        left = [p for p in self.workplace.read_processes() if p.alive]
        for process in left:
            processes.end(process)
        self.workplace.write_processes([])
        self.workplace.clear_attempts()
        return left

    def _programs(self) -> list[Started]:
        return [*(a.program for a in self._attempts.values()), *(self._crew.programs if self._crew else ())]

    def _programs_of(self, action: StopStage | KillStage) -> list[Started]:
        """The programs of a start, as far as this body started them."""
        if self._crew and (action.stage, action.attempt) == (Stage.TRAIN, self._crew.attempt):
            return self._crew.programs
        attempt = self._attempts.get(action.stage)
        return [attempt.program] if attempt and attempt.number == action.attempt else []

    def _start(self, action: StartStage) -> None:
        if action.stage is Stage.TRAIN and action.parts > 1 and room_here(self.job.spec) > 1:
            self._start_workers(action)
            return
        known = self._attempts.get(action.stage)
        if known and known.number >= action.attempt:
            return
        if action.stage is Stage.TRAIN and self._crew:  # an edit has left one worker
            self._crew.close()
            self._crew = None
        self._attempts[action.stage] = _Attempt(action.stage, action.attempt, self._started(action))
        self._note_processes()

    def _start_workers(self, action: StartStage) -> None:
        if self._crew and self._crew.attempt > action.attempt:
            return
        if self._crew is None or self._crew.attempt < action.attempt:
            if self._crew:
                self._crew.close()
            self._crew = Crew(action.attempt, self.job.metadata.name, self._node)
            self._attempts.pop(Stage.TRAIN, None)
        for number in action.workers:
            self._crew.start(number, partial(self._started, action, number))
        self._note_processes()

    def _started(self, action: StartStage, worker: int | None = None, follows: Follows | None = None) -> Started:
        ranks = self.job.spec.workers.processes_per_worker
        folder = self.workplace.attempt(action.stage, action.attempt, worker)
        metrics = self._metrics.folder if self._metrics else None
        return Started(
            action.stage,
            action.attempt,
            folder,
            self.workplace.log(action.stage, worker),
            programs.command(action.stage, self.workplace.job_file, action.upstream, ranks, follows),
            programs.environment(action.stage, folder, ranks * action.parts, programs.cores(), metrics),
            [follows.worlds] if follows else (),
        )

    def _note_processes(self) -> None:
        running = [p.identity for p in self._programs() if p.identity and p.exit_code is None]
        self.workplace.write_processes(running)

    def _seen(self, attempt: _Attempt) -> StageRun:
        program = attempt.program
        is_running = program.exit_code is None
        step = program.events.newest_step
        run = StageRun(
            stage=attempt.stage,
            attempt=attempt.number,
            state="Running" if is_running else "Ended",
            started=program.started,
            worker=f"{self.job.metadata.name}-w0",
            node=self._node,
            figures=step.figures if step else {},
            figures_time=datetime.fromtimestamp(step.time, UTC) if step else None,
            recovery=program.events.recovery,
        )
        return run if is_running else program.with_end(run)

    def _newest_checkpoint(self, seen: Observed, recorded: PretrainJobStatus) -> CheckpointStatus | None:
        """The newest commit; the log is read again when training says that there is another, and at its end."""
        train = seen.runs.get(Stage.TRAIN)
        if train:
            key: tuple[object, ...] = (train.attempt, train.state, train.figures.get("checkpointStep"))
        elif seen.workers:
            told = seen.report.figures.get("checkpointStep") if seen.report else None
            key = (seen.world and seen.world.generation, sum(w.is_alive for w in seen.workers), told)
        else:
            return None
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
