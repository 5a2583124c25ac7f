"""What the local body reads from logs and event files."""

from pathlib import Path

from pretrain_operator.bodies.local import logs
from pretrain_operator.bodies.local.events import EventTail

TORCHRUN = """
Failures:
[1]:
  time      : 2026-11-23_12:39:55
  host      : localhost
  rank      : {first} (local_rank: 0)
  exitcode  : {first_code} (pid: 1284)
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-23_12:39:55
  host      : localhost
  rank      : {root} (local_rank: 1)
  exitcode  : {root_code} (pid: 1285)
"""


class TestRootCause:
    def test_is_the_rank_that_torchrun_saw_first(self) -> None:
        text = TORCHRUN.format(first=0, first_code=1, root=1, root_code=2)
        assert logs.root_cause(text) == logs.RootCause(rank=1, exit_code=2)

    def test_is_the_killed_rank_where_another_failed_in_the_same_moment(self) -> None:
        text = TORCHRUN.format(first=3, first_code=-9, root=0, root_code=1)
        assert logs.root_cause(text) == logs.RootCause(rank=3, exit_code=-9)

    def test_is_not_a_rank_that_torchrun_itself_ended(self) -> None:
        text = TORCHRUN.format(first=3, first_code=-15, root=0, root_code=1)
        assert logs.root_cause(text) == logs.RootCause(rank=0, exit_code=1)

    def test_is_none_without_torchrun_s_summary(self) -> None:
        assert logs.root_cause("Traceback ...\nValueError: exitcode : 3") is None


class TestTail:
    def test_begins_with_the_attempt(self, tmp_path: Path) -> None:
        log = tmp_path / "train.log"
        log.write_text("first attempt\nsecond attempt\n")
        assert logs.tail(log, begin=len("first attempt\n")) == "second attempt\n"
        assert logs.tail(tmp_path / "none.log", 0) == ""

    def test_last_lines_leave_out_what_torchrun_adds(self) -> None:
        text = "ValueError: x\nE1123 torch/distributed/elastic/multiprocessing/api.py:1002] failed\nTraceback\n"
        assert logs.last_lines(text) == "ValueError: x"


class TestEvents:
    def test_are_read_as_they_grow_and_only_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        tail = EventTail(path)
        assert tail.read() == []
        path.write_text('{"time": 1, "stage": "Train", "figures": {"step": 1}}\n{"time": 2, "sta')
        assert [event.time for event in tail.read()] == [1]
        with path.open("a") as file:
            file.write('ge": "Train", "message": "saved"}\nnot an event\n')
        assert [event.message for event in tail.read()] == ["saved"]
        assert tail.newest_step is not None
        assert tail.newest_step.figures == {"step": 1}
