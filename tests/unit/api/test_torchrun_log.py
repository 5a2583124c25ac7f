"""What torchrun's log tells of the ranks that failed."""

from pretrain_api import torchrun_log
from pretrain_api.torchrun_log import RootCause

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
        assert torchrun_log.root_cause(text) == RootCause(rank=1, exit_code=2)

    def test_is_the_killed_rank_where_another_failed_in_the_same_moment(self) -> None:
        text = TORCHRUN.format(first=3, first_code=-9, root=0, root_code=1)
        assert torchrun_log.root_cause(text) == RootCause(rank=3, exit_code=-9)

    def test_is_not_a_rank_that_torchrun_itself_ended(self) -> None:
        text = TORCHRUN.format(first=3, first_code=-15, root=0, root_code=1)
        assert torchrun_log.root_cause(text) == RootCause(rank=0, exit_code=1)

    def test_is_none_without_torchrun_s_summary(self) -> None:
        assert torchrun_log.root_cause("Traceback ...\nValueError: exitcode : 3") is None


class TestLastLines:
    def test_last_lines_leave_out_what_torchrun_adds(self) -> None:
        text = "ValueError: x\nE1123 torch/distributed/elastic/multiprocessing/api.py:1002] failed\nTraceback\n"
        assert torchrun_log.last_lines(text) == "ValueError: x"
