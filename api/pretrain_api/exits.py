"""Exit codes in both spellings of a signal: minus its number, as a parent sees it, and 128 more, as a shell says it."""

import signal


def signal_of(code: int) -> signal.Signals | None:
    """The signal that an exit code stands for; None where it stands for none."""
    number = -code if code < 0 else code - 128
    try:
        return signal.Signals(number)
    except ValueError:
        return None


def in_words(code: int) -> str:
    """`exit -9 (SIGKILL)`, `exit 3`."""
    number = signal_of(code)
    return f"exit {-number} ({number.name})" if number else f"exit {code}"
