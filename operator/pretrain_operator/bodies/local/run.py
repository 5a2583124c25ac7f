"""One `pretrain run`: accept the job, then look and act until it ends, is suspended or is told to stop."""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType

from pretrain_api import layout
from pretrain_api.events import ProgressEvent
from pretrain_api.left_aside import left_aside
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob, PretrainJobStatus
from pretrain_operator.bodies.body import reconcile
from pretrain_operator.bodies.local import accept
from pretrain_operator.bodies.local.body import LocalBody
from pretrain_operator.bodies.local.crew import room_here
from pretrain_operator.bodies.local.edited import JobFile
from pretrain_operator.bodies.local.scraped import scraped
from pretrain_operator.bodies.local.workplace import Workplace
from pretrain_operator.brain import lifecycle
from pretrain_operator.brain.plan import Requeue

_LOOK_SECONDS = 0.25
"""Time between two looks at the programs' progress. Their end and signals wake us at once."""
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class View:
    """What a reconcile left, for whoever shows it."""

    status: PretrainJobStatus
    events: Sequence[tuple[Stage, ProgressEvent]] = ()
    notes: Sequence[str] = ()
    """Lines worth telling once."""
    stopped_by: int = 0
    """The signal that told us to stop; 0 when none did."""


class Interrupts:
    """Signals that ask this process to stop: the first gracefully, the second at once."""

    def __init__(self) -> None:
        self.received: list[int] = []

    @contextlib.contextmanager
    def caught(self) -> Iterator[int]:
        """Catch them for the length of the block; gives a descriptor that becomes readable when one arrives."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = {number: signal.signal(number, self._on_signal) for number in _STOPPING}
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reader)
            os.close(writer)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)


def run(
    job: PretrainJob, accept_changes: bool, metrics_port: int | None = None, file: JobFile | None = None
) -> Iterator[View]:
    """Run the job here, giving a view after every look. Call it from the main thread, which starts the programs.

    `metrics_port`: where Prometheus is answered meanwhile; 0 takes a free one, None answers nobody. `file`: edits of it that
    a run may follow are followed: it saves, and goes on with them.

    The last view's status is terminal, suspended, or whatever it was when a signal stopped us. Raises UserError when
    the job may not run in its storage.
    """
    accept.check_machine(job)
    workplace = Workplace(Storage.of(job.spec.storage))
    accept.check_folder(workplace)
    interrupts = Interrupts()
    with workplace.locked(), interrupts.caught() as wakeup, contextlib.ExitStack() as stack:
        job, changes = accept.accept(job, workplace, accept_changes)
        before = workplace.job(layout.STATUS)
        status = lifecycle.run_again(before.status if before else PretrainJobStatus(), datetime.now(UTC))
        if any(not change.mutable for change in changes):
            status = lifecycle.redefined(status)
        metrics = None
        if metrics_port is not None:
            metrics = stack.enter_context(scraped(job, workplace.metrics, metrics_port))
        body = LocalBody(job, workplace, status, metrics)
        notes = list(left_aside(job.spec, room_here(job.spec)))
        notes += [f"changed: {change}" for change in changes]
        notes += [f"ended process {p.pid}, left over from an earlier run" for p in body.end_leftovers()]
        notes += [f"metrics: http://127.0.0.1:{metrics.port}/metrics"] if metrics else []
        try:
            yield from _reconciled(body, workplace, file, interrupts, wakeup, notes)
        finally:
            body.end_all()


def _reconciled(
    body: LocalBody,
    workplace: Workplace,
    file: JobFile | None,
    interrupts: Interrupts,
    wakeup: int,
    notes: Sequence[str],
) -> Iterator[View]:
    wanted: PretrainJob | None = None
    while True:
        stopped_by = interrupts.received[0] if interrupts.received else 0
        if file and (edit := file.edited(body.job, workplace)):
            wanted, notes = edit.job or wanted, [*notes, edit.note]
        is_stopping = stopped_by or wanted
        spec = body.job.spec.model_copy(update={"suspend": True}) if is_stopping else body.job.spec
        if len(interrupts.received) > 1:
            body.end_all()
            yield View(body.recorded(), body.events(), notes, stopped_by)
            return
        decision = reconcile(body, spec)
        yield View(decision.recorded, body.events(), notes, stopped_by)
        notes = ()
        state = decision.recorded.state
        if state == "Suspended" and wanted and not stopped_by:
            job, changes = accept.accept(wanted, workplace, accept_changes=False)
            body.go_on_with(job, lifecycle.run_again(decision.recorded, datetime.now(UTC)))
            wanted, notes = None, [f"changed: {change}" for change in changes]
            continue
        if state in (*lifecycle.TERMINAL, "Suspended"):
            return
        wait = min([a.after_seconds for a in decision.plan if isinstance(a, Requeue)], default=_LOOK_SECONDS)
        _wait(body.handles, wakeup, min(wait, _LOOK_SECONDS))


def _wait(handles: Callable[[], list[int]], wakeup: int, seconds: float) -> None:
    """Until a program ends, a signal arrives or the time is over."""
    ends = handles()
    try:
        readable, _, _ = select.select([wakeup, *ends], [], [], max(0.0, seconds))
        if wakeup in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wakeup, 4096)
    finally:
        for handle in ends:
            os.close(handle)
