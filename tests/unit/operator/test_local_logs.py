"""What the local body reads from logs."""

from pathlib import Path

from pretrain_operator.bodies.local import logs


class TestTail:
    def test_begins_with_the_attempt(self, tmp_path: Path) -> None:
        log = tmp_path / "train.log"
        log.write_text("first attempt\nsecond attempt\n")
        assert logs.tail(log, begin=len("first attempt\n")) == "second attempt\n"
        assert logs.tail(tmp_path / "none.log", 0) == ""
