"""What the programs behind commands have in common: the way to a run's storage, how they answer and are stopped, and how
errors become messages and exit codes."""

import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable

from pretrain_api.errors import EXIT_FAILURE, EXIT_USER_ERROR, PretrainError, UserError
from pretrain_api.storage import Storage, given
from pretrain_trainer.context import Stopped
from pretrain_trainer.process import die_with_parent, stop_on_signals
from pretrain_trainer.storage_faults import explained, first_contact
from pretrain_trainer.terminal import say

_EXIT_INTERRUPTED = 130


class Stopping:
    """Set by the first Ctrl-C; for work that ends in order. Other work is simply interrupted."""

    def __init__(self) -> None:
        self._event = stop_on_signals()

    def check_stopping(self) -> None:
        """Raise Stopped when the work should end."""
        if self._event.is_set():
            raise Stopped


class OutputLost(PretrainError):
    """Standard output takes no more: whoever read it has left, or the disk below it is full."""


FORMS = ("text", "json", "yaml")
"""Of an answer."""


def answer(lines: Iterable[str]) -> None:
    """Print what was asked for. Raises OutputLost."""
    try:
        for line in lines:
            print(line)  # noqa: T201 - a program's answer
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would be written at exit, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            raise OutputLost from error
        raise OutputLost(f"the output cannot be written: {os.strerror(error.errno or 0)}") from error


def document(found: object, form: str) -> str:
    """What was found, as "json" or "yaml"."""
    text = json.dumps(found, indent=1, allow_nan=False)
    if form == "json":
        return text
    import yaml  # takes its time, and is rarely asked for

    return str(yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True)).rstrip("\n")


def on_storage(uri: str, endpoint_url: str, work: Callable[[Storage], int]) -> int:
    """What the work on a run's storage returns. A store that cannot be reached or does not let us in is told as such."""
    storage = given(uri, endpoint_url)
    try:
        first_contact(storage)
        return work(storage)
    except Exception as error:
        if fault := explained(error, storage):
            raise fault from error
        raise


def exit_code(work: Callable[[], int], again: str = "") -> int:
    """What the work returns; 2 for a user's mistake, 130 for Ctrl-C, 1 for what may pass.

    `again` says what the same command does after the last two.
    """
    die_with_parent()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # until now, by whoever started us
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return work()
    except UserError as error:
        say(f"error: {error}")
        return EXIT_USER_ERROR
    except (Stopped, KeyboardInterrupt):
        say("; ".join(filter(None, ("stopped", again))))
        return _EXIT_INTERRUPTED
    except OutputLost as error:
        if str(error):  # else the reader (head, less) left: nothing to tell
            say(f"error: {error}")
        return EXIT_FAILURE
    except PretrainError as error:
        say("; ".join(filter(None, (f"error: {error}", again))))
        return EXIT_FAILURE
