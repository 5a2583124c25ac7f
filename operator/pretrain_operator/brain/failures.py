"""How a program's end is to be taken: complete, stopped, a user's mistake, a failure or a disruption; and the budget.

Failures are the code's or the machine's fault: they are counted in a sliding window, retried with growing pauses,
forgotten on progress, and end the job when the window holds too many. Disruptions come from outside (somebody stops a
worker, a host goes down): they are counted apart and never end a job.
"""

import signal
from datetime import datetime, timedelta
from enum import Enum, auto

from pretrain_api import exits
from pretrain_api.errors import EXIT_STOPPED, EXIT_USER_ERROR
from pretrain_api.events import SIGNAL
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import Failure
from pretrain_operator.brain.observed import StageRun

USER_ERROR = "UserError"
"""Kind of a failure that no retry can mend."""
WAITING = "Waiting"
"""Kind of a user's mistake that may be mended outside the job while it waits."""
_MENDED_OUTSIDE = (
    "no-credentials",
    "no-permission",
    "unreachable",
    "wrong-clock",
    "storage-missing",
    "disk-full",
    "file-not-found",
)
"""Codes of user errors about storage and credentials: no word of the job need change to mend them."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_MESSAGE = 8000
"""Characters of a failure's message that are recorded; a Kubernetes condition holds 32 KiB."""
_ASKED_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Verdict(Enum):
    """What a program's end means for its job."""

    COMPLETE = auto()
    STOPPED = auto()
    USER_ERROR = auto()
    WAITING = auto()
    FAILURE = auto()
    DISRUPTION = auto()


def verdict(run: StageRun, asked_to_stop: bool, is_unattended: bool = False) -> Verdict:
    """What the end of a run means. `asked_to_stop`: the job itself wanted the program to leave.

    Where the job is unattended, what the world outside lacks is waited for; a person in front of it reads it at once.
    """
    said = run.outcome.outcome if run.outcome else ""
    code = run.exit_code if run.exit_code is not None else 0
    if said == "complete":  # the record is in storage: whatever happened to the process afterwards is no matter
        return Verdict.COMPLETE
    if said == "userError" or (not said and code == EXIT_USER_ERROR):
        may_wait = is_unattended and run.outcome and run.outcome.code in _MENDED_OUTSIDE
        return Verdict.WAITING if may_wait else Verdict.USER_ERROR
    if asked_to_stop:  # ranks that leave one after the other break each other's collectives: that is no failure
        return Verdict.STOPPED
    if said == "failed":
        return Verdict.FAILURE
    from_outside = said == "stopped" or code == EXIT_STOPPED or exits.signal_of(code) in _ASKED_FROM_OUTSIDE
    return Verdict.DISRUPTION if from_outside or run.state == "Lost" else Verdict.FAILURE


def failure(run: StageRun, now: datetime) -> Failure:
    """The failure as it is recorded and shown: who, where, why."""
    code = run.exit_code if run.exit_code is not None else 0
    number, said = exits.signal_of(code), run.outcome
    lines = ((said.message if said else "") or run.last_lines).strip()
    if verdict(run, asked_to_stop=False) is Verdict.USER_ERROR:
        kind, message = USER_ERROR, lines
    else:
        kind = (said.kind if said else SIGNAL if number else "") or "Exit"
        message = lines
        if not lines.startswith(words := exits.in_words(code)):  # a pod has said it already
            message = f"{words}\n{lines}"
    if run.reason == "OOMKilled":
        kind, message = "OutOfMemory", f"exit {code} (OOMKilled)\n{lines}"
    return Failure(
        stage=run.stage.value,
        worker=run.worker,
        node=run.node,
        rank=said.rank if said else -1,
        kind=kind[:256],
        message=message.strip()[-_LONGEST_MESSAGE:],
        time=now,
    )


def counted(recorded: PretrainJobStatus, failed: Failure, spec: PretrainJobSpec, now: datetime) -> PretrainJobStatus:
    """The status with one more failure; those that left the window are dropped."""
    recovery = recorded.recovery
    recent = [t for t in recovery.recent_failures if now - t < timedelta(seconds=spec.recovery.window_seconds)]
    return _with_recovery(
        recorded,
        failures=recovery.failures + 1,
        recent_failures=[*recent, now][-1000:],
        last_failure=failed,
        first_failure=recovery.first_failure if recent else failed,
    )


def noted(recorded: PretrainJobStatus, failed: Failure) -> PretrainJobStatus:
    """The status with a user's mistake as its newest failure; it is not counted, as it is not retried."""
    return _with_recovery(recorded, last_failure=failed)


def waited(recorded: PretrainJobStatus, failed: Failure) -> PretrainJobStatus:
    """The status with one more attempt that found something outside missing. It costs no budget."""
    waiting = failed.model_copy(update={"kind": WAITING})
    return _with_recovery(recorded, last_failure=waiting, waits=recorded.recovery.waits + 1)


def waited_enough(recorded: PretrainJobStatus) -> PretrainJobStatus:
    """The status once there is reason to think that nothing is missing any more."""
    return _with_recovery(recorded, waits=0) if recorded.recovery.waits else recorded


def user_error(recorded: PretrainJobStatus) -> str:
    """The terminal message when the newest failure is a user's mistake; empty when it is not."""
    last = recorded.recovery.last_failure
    return f"{last.stage}: {last.message}" if last and last.kind == USER_ERROR else ""


def disrupted(recorded: PretrainJobStatus) -> PretrainJobStatus:
    """The status with one more disruption."""
    return _with_recovery(recorded, disruptions=recorded.recovery.disruptions + 1)


def forgotten(recorded: PretrainJobStatus) -> PretrainJobStatus:
    """The status after progress: the window is empty again."""
    return _with_recovery(recorded, recent_failures=[], first_failure=None, waits=0)


def reset_by_checkpoint(recorded: PretrainJobStatus) -> PretrainJobStatus:
    """The status with an empty window if the newest checkpoint is further than it ever was."""
    step = recorded.checkpoint.step if recorded.checkpoint else -1
    if step <= recorded.recovery.progress_mark:
        return recorded
    return _with_recovery(forgotten(recorded), progress_mark=step)


def exhausted(recorded: PretrainJobStatus, spec: PretrainJobSpec) -> bool:
    """Whether the window holds as many failures as end the job. The first one does when `maxFailures` is 0."""
    return len(recorded.recovery.recent_failures) >= max(1, spec.recovery.max_failures)


def pause_seconds(recorded: PretrainJobStatus, now: datetime) -> float:
    """Seconds still to wait before the next try: 1, 2, 4 ... 30 after the newest failure or vain try."""
    recovery = recorded.recovery
    times = [(len(recovery.recent_failures), recovery.recent_failures[-1])] if recovery.recent_failures else []
    if recovery.waits and recovery.last_failure and recovery.last_failure.time:
        times.append((recovery.waits, recovery.last_failure.time))
    ages = [(count, (now - newest).total_seconds()) for count, newest in times]
    # A failure further ahead than a pause was put down before the clock was set back; it would hold the job for the jump.
    pauses = (pause_after(count) - age for count, age in ages if age > -LONGEST_PAUSE_SECONDS)
    return max(0.0, *pauses, 0.0)


def pause_after(count: int) -> float:
    """Seconds between so many failures in a row and the next try."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(count - 1, 30), LONGEST_PAUSE_SECONDS)


def last_words(recorded: PretrainJobStatus, spec: PretrainJobSpec, logs: str) -> str:
    """The terminal message when the budget is spent: how often, the first one in full, what to do. `logs`: the command
    that prints the job's logs."""
    recovery = recorded.recovery
    count, first = len(recovery.recent_failures), recovery.first_failure or Failure()
    times = "1 failure" if count == 1 else f"{count} failures in {spec.recovery.window_seconds} s"
    return f"Failed in {first.stage} after {times}. First: {described(first)}\n{_advice(first, logs)}"


def described(failed: Failure) -> str:
    """A failure in words: worker, node, rank, exit reason, last lines."""
    rank = f", rank {failed.rank}" if failed.rank >= 0 else ""
    return f"worker {failed.worker} on node {failed.node}{rank}, {failed.kind}: {failed.message}"


def headline(failed: Failure) -> str:
    """A failure in one line: its kind and the last line, which in a traceback is the error itself. Whoever was killed
    could say nothing about it: there the signal tells."""
    lines = [line.strip() for line in failed.message.splitlines() if line.strip()]
    telling = lines[:1] if failed.kind == "Signal" else lines[-1:]
    return ": ".join([failed.kind, *telling])


def _advice(failed: Failure, logs: str) -> str:
    """What to do next, by the kind of failure."""
    if "MemoryError" in failed.message or "OutOfMemory" in failed.kind or "SIGKILL" in failed.message:
        memory = "If memory ran out, "
        if failed.stage == Stage.TRAIN:
            return (
                f"{memory}lower spec.training.microBatchSize or raise spec.workers.resources; then run the job again."
            )
        return f"{memory}lower spec.data.prepare.parallelism or give the machine more memory; then run the job again."
    if failed.kind == "NonFinite":
        return "Lower the learning rate in spec.training.optimizer or raise spec.training.schedule.warmupSteps; then run the job again."
    return f"`{logs} --stage {failed.stage}` shows more; once the cause is gone, run the job again: it goes on where it was."


def _with_recovery(recorded: PretrainJobStatus, **changes: object) -> PretrainJobStatus:
    return recorded.model_copy(update={"recovery": recorded.recovery.model_copy(update=changes)})
