"""What of a log goes into a message."""

from pretrain_api.log_tail import heading, last_lines


def test_the_last_lines_that_hold_anything() -> None:
    assert last_lines("\n".join(["first", *map(str, range(19)), "", "  ", "last\n"])) == "\n".join(
        [*map(str, range(19)), "last"]
    )
    assert last_lines("") == ""


def test_the_newest_attempt_alone() -> None:
    first = f"{heading('Train', 1, '2026-01-01 12:00:00 UTC')}\nTraceback\nValueError: no\n"
    second = f"{heading('ranks', 2)}\n--- Logging error ---\nstep 7\n"
    assert last_lines(first) == "Traceback\nValueError: no"
    assert last_lines(first + second) == "--- Logging error ---\nstep 7"
    assert last_lines(first + heading("ranks", 2)) == ""
