"""Failures, disruptions and recoveries in words."""

from pretrain_api.nouns import counted
from pretrain_api.types.status import RecoveryRecord, RecoveryStatus


def tally(recovery: RecoveryStatus, *, with_window: bool = False) -> str:
    """`1 failure (1 in the window), 2 disruptions, 1 recovery without a new start`; empty when nothing happened."""
    window = f" ({len(recovery.recent_failures)} in the window)" if with_window else ""
    told = (
        (recovery.failures, counted(recovery.failures, "failure") + window),
        (recovery.disruptions, counted(recovery.disruptions, "disruption")),
        (recovery.restarts, counted(recovery.restarts, "recovery", "recoveries") + " without a new start"),
    )
    return ", ".join(words for number, words in told if number)


def described(record: RecoveryRecord) -> str:
    """`rank 1 lost (exit -9 (SIGKILL)); 0.412 s to the next step (stop 0.1, ...), 1 step lost`, or what became of the
    roster."""
    what = f"rank {record.rank} lost ({record.cause})" if record.rank >= 0 else record.cause.rstrip(".")
    return f"{what}; {record.seconds} s to the next step ({record.phases}), {counted(record.lost_steps, 'step')} lost"


def titled(record: RecoveryRecord) -> str:
    """What kind of recovery it was: `restart in place`, `change of the roster, by fewer workers`."""
    return _TITLES.get(record.kind, record.kind)


_TITLES = {
    "Restart": "restart in place",
    "Shrink": "change of the roster, by fewer workers",
    "Replace": "change of the roster, by other workers",
    "Grow": "change of the roster, by more workers",
}
