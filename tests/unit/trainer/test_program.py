"""One run of a stage program: skip, outcome, exit code, clean scratch."""

import errno
import importlib
import json
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from support.eventually import eventually

from pretrain_api import layout
from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_STOPPED, EXIT_USER_ERROR, UserError
from pretrain_api.events import ENV_OUTCOME, Outcome
from pretrain_api.stages import PHASES, CompletionRecord, Flow, Stage
from pretrain_api.storage import Storage
from pretrain_trainer import program, working_time
from pretrain_trainer.context import Share, StageContext, StageResult, Stopped

JOB = {
    "metadata": {"name": "t"},
    "spec": {
        "data": {"sources": [{"name": "a", "documents": "/a/*.txt"}]},
        "tokenizer": {"train": {}},
        "model": {"preset": "llama-tiny"},
        "objective": {"causalLM": {}},
        "training": {"steps": 1},
    },
}


class Run:
    """Runs the Collect program with a body of our own in the stage's place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = Storage(str(folder / "run"))
        self.outcomes = 0

    def __call__(self, body: Callable[[StageContext], StageResult], inputs: str = "") -> tuple[int, Outcome]:
        stage: Any = ModuleType("pretrain_trainer.stages.collect")
        stage.run, stage.inputs = body, lambda context: inputs
        sys.modules["pretrain_trainer.stages.collect"] = stage
        job = self.folder / "job.json"
        job.write_text(json.dumps({**JOB, "spec": {**JOB["spec"], "storage": {"uri": self.storage.root}}}))
        self.outcomes += 1
        outcome = self.folder / f"outcome-{self.outcomes}.json"
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(ENV_OUTCOME, str(outcome))
            code = program.main(["--stage", "Collect", "--job", str(job)])
        return code, Outcome.model_validate_json(outcome.read_text())

    def scratch(self) -> list[str]:
        return self.storage.names(layout.SCRATCH)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setattr(program, "die_with_parent", lambda: None)  # the parent is pytest here
    before = sys.modules.get("pretrain_trainer.stages.collect")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Run(tmp_path)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    sys.modules.pop("pretrain_trainer.stages.collect")
    if before:
        sys.modules["pretrain_trainer.stages.collect"] = before


def collects(context: StageContext) -> StageResult:
    (context.scratch / "spill").write_text("x")
    return StageResult(flow=Flow(documents_out=3), message="3 documents")


def after(
    work: Callable[[float], None], seconds: float, body: Callable[[StageContext], StageResult]
) -> Callable[[StageContext], StageResult]:
    """A stage that works so long first."""

    def whole(context: StageContext) -> StageResult:
        work(seconds)
        return body(context)

    return whole


def raises(error: BaseException) -> Callable[[StageContext], StageResult]:
    def body(context: StageContext) -> StageResult:
        raise error

    return body


class TestComplete:
    def test_the_record_is_written_and_the_outcome_names_it(self, run: Run) -> None:
        code, outcome = run(collects)
        assert (code, outcome.outcome, outcome.skipped) == (EXIT_OK, "complete", False)
        record = CompletionRecord.model_validate(
            run.storage.read_json(layout.record(Stage.COLLECT, outcome.fingerprint))
        )
        assert record.flow.documents_out == 3
        assert run.scratch() == []

    def test_the_second_time_the_work_is_skipped(self, run: Run) -> None:
        _, first = run(collects)
        code, second = run(raises(AssertionError("not run")))
        assert (code, second.skipped, second.fingerprint) == (EXIT_OK, True, first.fingerprint)

    def test_other_inputs_are_other_work(self, run: Run) -> None:
        _, first = run(collects, inputs="one file")
        _, second = run(collects, inputs="two files")
        assert first.fingerprint != second.fingerprint
        assert not second.skipped


class TestNotComplete:
    def test_a_users_mistake_exits_2_with_its_code_and_no_record(self, run: Run) -> None:
        code, outcome = run(raises(UserError("no-such-file", "a.txt", "does not exist.", "Write another.")))
        assert (code, outcome.outcome, outcome.code) == (EXIT_USER_ERROR, "userError", "no-such-file")
        assert outcome.message == "a.txt: does not exist. Write another. [no-such-file]"
        assert run.storage.names("stages") == []

    def test_a_stop_exits_75(self, run: Run) -> None:
        assert run(raises(Stopped()))[0] == EXIT_STOPPED

    def test_a_fault_exits_1_with_the_end_of_its_traceback(self, run: Run) -> None:
        code, outcome = run(raises(RuntimeError("x" * 10_000 + " the end")))
        assert (code, outcome.outcome, outcome.kind) == (EXIT_FAILURE, "failed", "Runtime")
        assert outcome.message.endswith("the end\n")
        assert len(outcome.model_dump_json()) < 4096

    @pytest.mark.parametrize(
        ("number", "code"),
        [
            (errno.ENOSPC, "disk-full"),
            (errno.EFBIG, "process-limit"),
            (errno.EMFILE, "process-limit"),
            (errno.EROFS, "no-permission"),
            (errno.EACCES, "no-permission"),
        ],
    )
    def test_a_disk_or_limit_that_takes_nothing_is_the_users_to_mend(self, run: Run, number: int, code: str) -> None:
        wrapped = RuntimeError("a library's wrapping")
        wrapped.__cause__ = OSError(number, "no", "/data/x")
        exit_code, outcome = run(raises(wrapped))
        assert (exit_code, outcome.code) == (EXIT_USER_ERROR, code)
        assert "/data/x" in outcome.message


class TestWorkingTime:
    """Seconds and attempts of a stage that is interrupted."""

    @pytest.fixture
    def work(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
        """Lets the clock of working time go on."""
        clock = [100.0]
        monkeypatch.setattr(working_time, "time", SimpleNamespace(monotonic=lambda: clock[0]))

        def work(seconds: float) -> None:
            clock[0] += seconds

        return work

    def test_the_record_sums_up_attempts_whatever_ended_them(self, run: Run, work: Callable[[float], None]) -> None:
        ends = (Stopped(), RuntimeError("no memory"), UserError("disk-full", "/", "is full.", "Free space."))
        for seconds, error in zip((5.0, 7.0, 11.0), ends, strict=True):
            run(after(work, seconds, raises(error)))
        _, outcome = run(after(work, 2.0, collects))
        record = CompletionRecord.model_validate(
            run.storage.read_json(layout.record(Stage.COLLECT, outcome.fingerprint))
        )
        assert (record.seconds, record.attempts) == (25.0, 4)
        assert run.storage.names(f"{layout.ATTEMPTS}/collect") == []

    def test_a_long_attempt_that_a_mistake_ends_counts_and_a_short_one_leaves_nothing(
        self, run: Run, work: Callable[[float], None]
    ) -> None:
        mistake = raises(UserError("disk-full", "/", "is full.", "Free space."))
        run(after(work, 1.0, mistake), inputs="short")
        assert run.storage.names(f"{layout.ATTEMPTS}/collect") == []
        run(after(work, 3600.0, mistake), inputs="long")
        assert len(run.storage.names(f"{layout.ATTEMPTS}/collect")) == 1

    def test_what_was_written_last_counts_when_a_program_is_killed(
        self, run: Run, work: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(working_time, "_BEAT_SECONDS", 0.01)
        kept: dict[str, Any] = {}

        def body(context: StageContext) -> StageResult:
            work(30.0)
            path = layout.attempts(Stage.COLLECT, context.fingerprint)
            eventually(lambda: run.storage.read_json(path)["seconds"] == 30.0)
            kept[path] = run.storage.read_json(path)
            return collects(context)

        run(body, inputs="killed")
        ((path, content),) = kept.items()
        fingerprint = Path(path).stem
        run.storage.remove(layout.record(Stage.COLLECT, fingerprint))  # as if it had been killed then
        run.storage.write_json(path, content)
        _, outcome = run(after(work, 12.0, collects), inputs="killed")
        assert outcome.fingerprint == fingerprint
        record = CompletionRecord.model_validate(run.storage.read_json(layout.record(Stage.COLLECT, fingerprint)))
        assert (record.seconds, record.attempts, record.started) == (
            42.0,
            2,
            datetime.fromisoformat(content["started"]),
        )

    @pytest.mark.parametrize("damaged", [b"", b"\xff", b"[]", b'{"seconds": "many"}'])
    def test_a_damaged_file_counts_as_none(self, run: Run, damaged: bytes) -> None:
        _, outcome = run(collects)
        run.storage.remove(layout.record(Stage.COLLECT, outcome.fingerprint))
        run.storage.write_bytes(layout.attempts(Stage.COLLECT, outcome.fingerprint), damaged)
        assert run(collects)[0] == EXIT_OK


class TestPhases:
    @pytest.mark.parametrize("stage", list(Stage))
    def test_every_phase_but_the_last_has_a_function_of_its_stage(self, stage: Stage) -> None:
        module = importlib.import_module(f"pretrain_trainer.stages.{stage.lower()}")
        assert list(getattr(module, "PHASES", {})) == [phase.name for phase in PHASES[stage][:-1]]

    @pytest.mark.parametrize("wrong", [["--phase", "write"], ["--index", "2", "--parts", "2"]])
    def test_a_share_that_cannot_be_is_refused(self, tmp_path: Path, wrong: list[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            program.main(["--stage", "Collect", "--job", str(tmp_path / "job.json"), *wrong])


class TestShare:
    @pytest.mark.parametrize("parts", [1, 2, 3, 20])
    def test_every_item_belongs_to_one_share(self, parts: int) -> None:
        items = list(range(10))
        shares = [Share(index, parts).of(items) for index in range(parts)]
        assert sorted(item for share in shares for item in share) == items
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
