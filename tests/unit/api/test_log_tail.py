"""What of a log goes into a message."""

from pretrain_api.log_tail import last_lines


def test_the_last_lines_that_hold_anything() -> None:
    assert last_lines("\n".join(["first", *map(str, range(19)), "", "  ", "last\n"])) == "\n".join(
        [*map(str, range(19)), "last"]
    )
    assert last_lines("") == ""
