"""Which folders and which changed jobs are taken."""

from pathlib import Path

import pytest
from support.jobs import JobBuilder, a_job
from support.stage_runs import NOON

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_operator.bodies.local import accept
from pretrain_operator.bodies.local.workplace import Workplace
from pretrain_operator.brain import stages
from pretrain_operator.brain.lifecycle import opened

CHANGED_TOKENIZER = {"tokenizer": {"train": {"vocabSize": 600}}}


@pytest.fixture
def job(tmp_path: Path) -> JobBuilder:
    return a_job().stored_in(tmp_path / "run")


@pytest.fixture
def workplace(job: JobBuilder) -> Workplace:
    place = Workplace(Storage.of(job.spec.storage))
    place.root.mkdir(parents=True)
    return place


def recorded(workplace: Workplace, job: JobBuilder, state: str, *complete: Stage) -> None:
    """Leave the status of an earlier run of the job."""
    status = stages.listed(opened(job.job.status, NOON, 1), job.spec).model_copy(update={"state": state})
    for stage in complete:
        status = stages.completed(status, stage, "0123", NOON, NOON)
    workplace.write_job(layout.STATUS, job.job.model_copy(update={"status": status}))


class TestFolder:
    def test_that_is_new_empty_or_a_run_is_taken(self, workplace: Workplace, job: JobBuilder) -> None:
        accept.check_folder(workplace)
        accept.accept(job.job, workplace, accept_changes=False)
        workplace.storage.write_bytes("documents/x", b"")
        accept.check_folder(workplace)

    def test_with_remains_of_a_removed_run_is_taken(self, workplace: Workplace) -> None:
        workplace.storage.write_bytes(layout.STATUS, b"{}")
        accept.check_folder(workplace)

    def test_with_something_else_is_refused(self, workplace: Workplace) -> None:
        workplace.storage.write_bytes("thesis.txt", b"")
        with pytest.raises(UserError, match=r"thesis\.txt"):
            accept.check_folder(workplace)


class TestChangedJob:
    def test_that_is_the_same_changes_nothing(self, workplace: Workplace, job: JobBuilder) -> None:
        assert accept.accept(job.job, workplace, accept_changes=False)[1] == []
        assert accept.accept(job.job, workplace, accept_changes=False)[1] == []

    def test_in_how_it_runs_is_taken_and_told(self, workplace: Workplace, job: JobBuilder) -> None:
        accept.accept(job.job, workplace, accept_changes=False)
        recorded(workplace, job, "Suspended", Stage.COLLECT)
        changed = accept.accept(job.with_budget(99).job, workplace, accept_changes=False)[1]
        assert [str(change) for change in changed] == ["spec.recovery.maxFailures: 10 -> 99"]

    def test_in_what_it_makes_is_refused_until_accepted(self, workplace: Workplace, job: JobBuilder) -> None:
        accept.accept(job.job, workplace, accept_changes=False)
        recorded(workplace, job, "Suspended", Stage.COLLECT)
        changed = job.with_spec(**CHANGED_TOKENIZER).job
        before = workplace.storage.read_bytes(layout.RUN)
        with pytest.raises(UserError) as error:
            accept.accept(changed, workplace, accept_changes=False)
        assert error.value.code == "settings-changed"
        assert "spec.tokenizer.train.vocabSize: 512 -> 600" in error.value.what
        assert "Tokenizer, Encode, Train, Evaluate, Export, Report" in error.value.what
        assert workplace.storage.read_bytes(layout.RUN) == before
        assert len(accept.accept(changed, workplace, accept_changes=True)[1]) == 1

    def test_is_taken_as_mended_after_a_failure_before_the_stages_concerned(
        self, workplace: Workplace, job: JobBuilder
    ) -> None:
        accept.accept(job.job, workplace, accept_changes=False)
        recorded(workplace, job, "Failed", Stage.COLLECT, Stage.PREPARE)
        assert len(accept.accept(job.with_spec(**CHANGED_TOKENIZER).job, workplace, accept_changes=False)[1]) == 1

    def test_is_refused_after_a_failure_when_a_stage_concerned_was_complete(
        self, workplace: Workplace, job: JobBuilder
    ) -> None:
        accept.accept(job.job, workplace, accept_changes=False)
        recorded(workplace, job, "Failed", Stage.COLLECT, Stage.PREPARE, Stage.TOKENIZER)
        with pytest.raises(UserError, match="settings-changed"):
            accept.accept(job.with_spec(**CHANGED_TOKENIZER).job, workplace, accept_changes=False)

    def test_may_lie_in_a_folder_that_was_moved(self, workplace: Workplace, job: JobBuilder, tmp_path: Path) -> None:
        accept.accept(job.job, workplace, accept_changes=False)
        recorded(workplace, job, "Suspended", Stage.COLLECT)
        (tmp_path / "run").rename(tmp_path / "moved")
        moved = job.stored_in(tmp_path / "moved")
        assert accept.accept(moved.job, Workplace(Storage.of(moved.spec.storage)), accept_changes=False)[1] == []


class TestWorkers:
    """One core for each of their ranks."""

    @staticmethod
    def on(monkeypatch: pytest.MonkeyPatch, cores: int, gpus: bool = False) -> None:
        monkeypatch.setattr("pretrain_operator.bodies.local.programs.cores", lambda: cores)
        for module in ("crew", "accept"):
            monkeypatch.setattr(f"pretrain_operator.bodies.local.{module}.has_gpus", lambda: gpus)

    @pytest.mark.parametrize(
        "workers", [{"min": 2, "max": 2}, {"min": 4, "max": 9}, {"min": 2, "processesPerWorker": 2}]
    )
    def test_that_fit_are_taken(self, monkeypatch: pytest.MonkeyPatch, workers: dict[str, int]) -> None:
        self.on(monkeypatch, cores=4)
        accept.check_machine(a_job().with_spec(workers={"max": 9, **workers}).job)

    def test_that_do_not_fit_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on(monkeypatch, cores=5)
        job = a_job().with_spec(workers={"min": 3, "max": 3, "processesPerWorker": 2}).job
        with pytest.raises(
            UserError, match=r"3 workers, but this machine has room for 2 .*ranks, and it has 5"
        ) as refused:
            accept.check_machine(job)
        assert refused.value.where == "spec.workers.min"
        assert "min: 2" in refused.value.instead

    def test_share_no_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on(monkeypatch, cores=64, gpus=True)
        with pytest.raises(UserError, match=r"room for 1 \(with GPUs it is one\)"):
            accept.check_machine(a_job().with_spec(workers={"min": 2, "max": 2}).job)
