"""Lines of logs: times, ranks, positions, and how they are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_cli.cluster.log_lines import LogLine, Position, Shown, parsed, rank_of, unread, without_rank

NOON = b"2026-01-01T12:00:00.000000001Z"


def a_line(nanosecond: int, text: str = "") -> LogLine:
    return LogLine(f"2026-01-01T12:00:00.{nanosecond:09}Z".encode(), (text or f"line {nanosecond}").encode())


def position_after(lines: list[LogLine]) -> Position:
    position = Position()
    for line in lines:
        position = position.after(line)
    return position


class TestParsed:
    def test_splits_the_time_from_the_text(self) -> None:
        assert parsed(NOON + b" step 1  loss 2") == LogLine(NOON, b"step 1  loss 2")

    def test_keeps_lines_without_time_whole(self) -> None:
        assert parsed(b"failed to watch file") == LogLine(b"", b"failed to watch file")
        assert parsed(b"") == LogLine(b"", b"")

    def test_comes_back_as_it_was(self) -> None:
        for raw in (NOON + b" x", NOON + b" ", b"no time"):
            assert parsed(raw).raw == raw

    def test_sorts_by_time_whatever_digits_are_written(self) -> None:
        times = [
            b"2026-01-01T12:00:00Z",
            b"2026-01-01T12:00:00.1Z",
            b"2026-01-01T12:00:00.12Z",
            b"2026-01-01T12:00:01Z",
        ]
        assert sorted(times, key=lambda time: LogLine(time, b"").key) == times


class TestUnread:
    def test_is_everything_from_the_beginning(self) -> None:
        lines = [a_line(1), a_line(2)]
        assert list(unread(lines, Position())) == lines

    def test_leaves_out_what_was_read_even_at_the_same_time(self) -> None:
        lines = [a_line(1), a_line(2, "a"), a_line(2, "b"), a_line(2, "c"), a_line(3)]
        assert list(unread(lines, position_after(lines[:3]))) == lines[3:]

    def test_goes_on_where_older_lines_were_rotated_away(self) -> None:
        assert list(unread([a_line(7), a_line(8)], position_after([a_line(1), a_line(2)]))) == [a_line(7), a_line(8)]

    def test_gives_lines_of_a_clock_that_stepped_back(self) -> None:
        lines = [a_line(5), a_line(6), a_line(2), a_line(3)]
        assert list(unread(lines, position_after(lines[:2]))) == lines[2:]

    @given(st.lists(st.integers(0, 5), max_size=30).map(sorted), st.data())
    def test_any_reading_in_pieces_gives_each_line_once(self, times: list[int], data: st.DataObject) -> None:
        lines = [a_line(time, f"{at}") for at, time in enumerate(times)]
        position, read = Position(), list[LogLine]()
        while len(read) < len(lines):
            # A connection breaks anywhere, and the next read begins at a whole second: here at the very beginning.
            upto = data.draw(st.integers(len(read) + 1, len(lines)))
            for line in unread(lines[:upto], position):
                position = position.after(line)
                read.append(line)
        assert read == lines

    def test_the_next_read_begins_at_the_whole_second(self) -> None:
        assert position_after([parsed(b"2026-01-01T12:00:07.99Z x")]).since == "2026-01-01T12:00:07Z"
        assert Position().since == ""


class TestRank:
    @pytest.mark.parametrize(
        ("text", "rank", "rest"),
        [
            (b"[rank3]: Traceback", 3, b"Traceback"),
            (b"[rank12]:[rank12]: RuntimeError", 12, b"RuntimeError"),
            (b"[rank0]:[W1124 12:00:00] Warning", 0, b"[W1124 12:00:00] Warning"),
            (b"step 1", -1, b"step 1"),
            (b" [rank1]: indented", -1, b" [rank1]: indented"),
        ],
    )
    def test_is_what_torch_puts_before_the_line(self, text: bytes, rank: int, rest: bytes) -> None:
        assert (rank_of(text), without_rank(text)) == (rank, rest)


class TestShown:
    def test_has_the_pod_and_the_rank_before_the_line(self) -> None:
        assert Shown().line(LogLine(NOON, b"[rank9]: oops"), "train/1", 1) == b"[train/1 rank 9] oops\n"
        assert Shown().line(LogLine(NOON, b"step 1"), "train/1", 1) == b"[train/1] step 1\n"

    def test_with_timestamps(self) -> None:
        assert Shown(timestamps=True).line(LogLine(NOON, b"x"), "encode", 0) == b"[encode] " + NOON + b" x\n"
        assert Shown(timestamps=True).line(LogLine(b"", b"x"), "encode", 0) == b"[encode] x\n"

    def test_colours_the_prefix_alone(self) -> None:
        shown = Shown(colour=True)
        assert shown.line(LogLine(NOON, b"x"), "train/0", 0) == b"\x1b[36m[train/0]\x1b[0m x\n"
        assert shown.line(LogLine(NOON, b"x"), "train/0", 0) != shown.line(LogLine(NOON, b"x"), "train/0", 1)

    def test_without_prefix_is_the_line_as_it_was_written(self) -> None:
        assert Shown(prefix=False).line(LogLine(NOON, b"[rank9]: oops"), "train/1", 1) == b"[rank9]: oops\n"

    def test_of_one_rank_leaves_out_the_others_and_keeps_lines_of_all(self) -> None:
        shown = Shown(rank=9)
        assert shown.line(LogLine(NOON, b"[rank8]: x"), "train/1", 1) == b""
        assert shown.line(LogLine(NOON, b"[rank9]: x"), "train/1", 1) == b"[train/1 rank 9] x\n"
        assert shown.line(LogLine(NOON, b"x"), "train/1", 1) == b"[train/1] x\n"

    def test_bytes_that_are_no_utf_8_pass(self) -> None:
        assert Shown().line(LogLine(NOON, b"\xff\xfe"), "train/1", 1) == b"[train/1] \xff\xfe\n"
