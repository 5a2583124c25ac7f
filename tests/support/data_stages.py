"""Runs Collect and Prepare through the stage program, in this process, on a storage of its own."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pretrain_api import layout
from pretrain_api.events import ENV_OUTCOME, Outcome
from pretrain_api.stages import PHASES, CompletionRecord, Stage
from pretrain_api.storage import Storage
from pretrain_trainer import program
from pretrain_trainer.documents import parts
from pretrain_trainer.documents.parts import Document


def a_source(documents: Path | str, name: str = "web", **fields: Any) -> dict[str, Any]:
    return {"name": name, "documents": str(documents), **fields}


class DataStages:
    """The stages before training, for the given `data` part of a job."""

    def __init__(self, folder: Path, data: dict[str, Any], parallelism: int = 1, storage: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.storage = Storage(str(storage or folder / "run"))
        self.upstream: dict[Stage, str] = {}
        self.job = folder / "job.json"
        prepare = {**data.get("prepare", {}), "parallelism": parallelism}
        spec = {
            "storage": {"uri": self.storage.root},
            "data": {**data, "prepare": prepare},
            "tokenizer": {"train": {}},
            "model": {"preset": "llama-tiny"},
            "objective": {"causalLM": {}},
            "training": {"steps": 1},
        }
        self.job.write_text(json.dumps({"metadata": {"name": "t"}, "spec": spec}))

    def arguments(self, stage: Stage) -> list[str]:
        """What the stage program is called with."""
        upstream = [f"--upstream={name.value}={fingerprint}" for name, fingerprint in self.upstream.items()]
        return ["--stage", stage.value, "--job", str(self.job), *upstream]

    def run(self, stage: Stage, *more: str) -> tuple[int, Outcome]:
        """Exit code and outcome; `more` arguments of the program."""
        path = self.folder / f"{stage.value}-outcome.json"
        path.unlink(missing_ok=True)
        with pytest.MonkeyPatch.context() as environment, _signals_kept():
            environment.setenv(ENV_OUTCOME, str(path))
            code = program.main([*self.arguments(stage), *more])
        outcome = Outcome.model_validate_json(path.read_text())
        if "--phase" not in more or outcome.fingerprint:
            self.upstream[stage] = outcome.fingerprint
        return code, outcome

    def run_phase(self, stage: Stage, phase: str, index: int = 0, parts: int = 1) -> Outcome:
        """One of the programs that share a phase; it must end well."""
        code, outcome = self.run(stage, "--phase", phase, "--index", str(index), "--parts", str(parts))
        assert (code, outcome.outcome) == (0, "complete"), outcome.message
        return outcome

    def succeed_in_phases(self, stage: Stage, parts: int) -> CompletionRecord:
        """Run a stage as a cluster does, with so many programs for each indexed phase, one after the other."""
        for phase in PHASES[stage]:
            shared = parts if phase.indexed else 1
            for index in range(shared):
                self.run_phase(stage, phase.name, index, shared)
        return self.record(stage)

    def succeed(self, *stages: Stage) -> CompletionRecord:
        """Run stages that must succeed; the record of the last one."""
        for stage in stages:
            code, outcome = self.run(stage)
            assert (code, outcome.outcome) == (0, "complete"), outcome.message
        return self.record(stages[-1])

    def record(self, stage: Stage) -> CompletionRecord:
        return CompletionRecord.model_validate(self.storage.read_json(layout.record(stage, self.upstream[stage])))

    def documents(self, stage: Stage, source: str = "web") -> list[Document]:
        """What a stage left of a source."""
        names = parts.names(self.storage, self.upstream[stage], source)
        return [document for name in names for document in parts.read(self.storage, name)]

    def texts(self, stage: Stage, source: str = "web") -> list[str]:
        return [document.text for document in self.documents(stage, source)]

    def left(self) -> list[str]:
        """Everything that lies in the storage, as relative paths."""
        root = Path(self.storage.root)
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def recorded_writes(patch: pytest.MonkeyPatch, stop_after: int = 1 << 30) -> list[str]:
    """The names of files that a stage writes from here on, its working time aside; writing fails after so many."""
    written: list[str] = []
    create = Storage.create

    def record(self: Storage, relative: str) -> Any:
        if relative.startswith(f"{layout.ATTEMPTS}/"):
            return create(self, relative)
        if len(written) == stop_after:
            raise KeyError("enough")
        written.append(relative)
        return create(self, relative)

    patch.setattr(Storage, "create", record)
    return written


@contextmanager
def _signals_kept() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
