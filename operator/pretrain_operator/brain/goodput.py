"""When the account of a job's time is brought forward, and what a stretch of it was spent on.

Nothing is written while nothing changes: a stretch is closed when the state does, or when training tells of itself.
"""

from datetime import datetime

from pretrain_api import goodput
from pretrain_api.goodput import Account, Item
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import State
from pretrain_operator.brain import conditions, recoveries
from pretrain_operator.brain.observed import StageRun

_RUNGS = {conditions.SHRINKING: "Shrink", conditions.REPLACING: "Replace"}
_MEANWHILE: dict[State, Item] = {
    "Pending": goodput.STARTING,
    "Starting": goodput.STARTING,
    "Stalled": goodput.STARTING,
    "Queued": goodput.QUEUED,
    "Suspended": goodput.SUSPENDED,
    "Training": goodput.LOST,  # until the trainer tells what it was
    "Evaluating": goodput.EVALUATION,
}
_FAULTY: tuple[State, ...] = ("Recovering", "Training", "Failed")


def accounted(
    recorded: PretrainJobStatus, following: PretrainJobStatus, train: StageRun | None, now: datetime
) -> PretrainJobStatus:
    """The status that follows the recorded one, with its account. `train`: the run that its figures are from."""
    start = following.start_time
    run = train if following.progress.update_time not in (None, recorded.progress.update_time) else None
    told_at = run.figures_time if run and goodput.SINCE in run.figures else None
    last = following.recovery.last_recovery
    # A new start is waited for in states that say so, and needs no word of its own.
    has_recovered = last is not None and last.kind != recoveries.RESTORE and last != recorded.recovery.last_recovery
    has_turned = following.state != recorded.state
    if start is None or recorded.completion_time or not (told_at or has_recovered or has_turned):
        return following
    account, meanwhile = goodput.account_of(following.goodput, start), _meanwhile(recorded)
    if run and told_at:
        account = account.trained(run.figures, told_at, meanwhile)
    if has_turned and recorded.state == "Training" and following.state not in _FAULTY:
        meanwhile = goodput.STARTING  # it ended as it should; everything that it did is told
    if not told_at or following.state != "Training":  # of what follows, training tells by itself
        account = account.passed(now, meanwhile)
    if has_recovered and train and train.recovery:
        account = account.recovered(train.recovery.kind, train.recovery.phases)
    return _kept(following, account)


def unwatched(recorded: PretrainJobStatus, now: datetime) -> PretrainJobStatus:
    """The status of a job that went down with its body and that a person runs again: nobody asked it to run meanwhile."""
    if recorded.start_time is None:
        return recorded
    return _kept(recorded, goodput.account_of(recorded.goodput, recorded.start_time).passed(now, goodput.SUSPENDED))


def is_open(status: PretrainJobStatus) -> bool:
    """Whether time passes that is known and not recorded yet. What training is at is not known before it tells; it tells
    often."""
    return status.completion_time is None and status.state != "Training"


def account(status: PretrainJobStatus) -> Account | None:
    """The account as it is recorded; None before the job began."""
    return None if status.start_time is None else goodput.account_of(status.goodput, status.start_time)


def account_at(status: PretrainJobStatus, now: datetime) -> Account | None:
    """The account with the stretch that is not closed yet; None before the job began."""
    recorded = account(status)
    return recorded.passed(now, _meanwhile(status)) if recorded and is_open(status) else recorded


def _meanwhile(status: PretrainJobStatus) -> Item:
    """What time in the recorded state is spent on, as far as nobody tells more."""
    if status.state == "Recovering":
        reason = conditions.condition(status, conditions.RECOVERING).reason
        return goodput.recovering(_RUNGS.get(reason, recoveries.RESTORE))
    return _MEANWHILE.get(status.state, goodput.OTHER_STAGES)


def _kept(status: PretrainJobStatus, account: Account) -> PretrainJobStatus:
    ratio = account.ratio if account.stood is not None else None
    shown = "" if ratio is None else f"{ratio:.4f}"
    return status.model_copy(update={"goodput": goodput.recorded(account), "goodput_ratio": shown})
