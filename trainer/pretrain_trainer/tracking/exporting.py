"""From a run's commits to a tracker: everything that stands, then what each later commit adds, until the run has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pretrain_api import step_history
from pretrain_trainer.reporting.records import RunRecords
from pretrain_trainer.tracking.tracker import Tracker, steps

_ENDED = ("Succeeded", "Failed")
_LOOK_SECONDS = 2.0


def export(find: Callable[[], RunRecords], tracker: Tracker, *, follow: bool, told: Callable[[int], None]) -> None:
    """Give a tracker the steps of the run that `find` reads, once or until it has ended; `told` gets the newest step's number
    after each commit. The tracker is closed whatever happens."""
    pause, state = threading.Event(), ""
    try:
        last = tracker.newest_commit()
        while True:
            run = find()
            state = run.job.status.state  # read before the commits, so that the last ones are not missed
            for commit, lines in step_history.read_stretches(run.storage, run.commits()):
                if commit.sequence > last:
                    tracker.add(commit.sequence, list(steps(commit, lines)))
                    last = commit.sequence
                    told(commit.step)
            if not follow or state in _ENDED:
                return
            pause.wait(_LOOK_SECONDS)
    finally:
        tracker.close(state)
