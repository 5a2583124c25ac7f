"""Which stage is next, and what becomes of a stage's entry."""

from datetime import timedelta

from support.jobs import a_job
from support.stage_runs import NOON

from pretrain_api.stages import Flow, Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain import stages
from pretrain_operator.brain.observed import Finished

OF_SHARDS = a_job().with_spec(data={"sources": [{"name": "ours", "shards": "/run/manifest.json"}]}).spec
FLOW = Flow(documents_in=7, bytes_in=700, documents_out=5, bytes_out=450)
LISTED = stages.listed(PretrainJobStatus(), a_job().spec)


class TestNextStage:
    def test_is_the_first_that_is_not_complete(self) -> None:
        status = stages.completed(LISTED, Stage.COLLECT, "c", NOON, NOON)
        assert stages.next_stage(LISTED, a_job().spec) is Stage.COLLECT
        assert stages.next_stage(status, a_job().spec) is Stage.PREPARE

    def test_is_none_when_all_are_complete(self) -> None:
        status = LISTED
        for stage in Stage:
            status = stages.completed(status, stage, stage.lower(), NOON, NOON)
        assert stages.next_stage(status, a_job().spec) is None
        assert stages.upstream(status, Stage.TRAIN, a_job().spec) == {
            Stage.TOKENIZER: "tokenizer",
            Stage.ENCODE: "encode",
        }

    def test_has_no_documents_to_work_on_where_every_source_is_shards(self) -> None:
        listed = stages.listed(PretrainJobStatus(), OF_SHARDS)
        assert [entry.name for entry in listed.stages] == [stage.value for stage in Stage][2:]
        assert stages.next_stage(listed, OF_SHARDS) is Stage.TOKENIZER
        assert stages.upstream(listed, Stage.TOKENIZER, OF_SHARDS) == {}

    def test_follows_a_spec_that_had_documents_before(self) -> None:
        status = stages.completed(LISTED, Stage.TOKENIZER, "t", NOON, NOON)
        assert stages.entry(stages.listed(status, OF_SHARDS), Stage.TOKENIZER).fingerprint == "t"
        assert stages.listed(stages.listed(LISTED, OF_SHARDS), a_job().spec) == LISTED


class TestCompleted:
    def test_keeps_the_time_of_the_same_identity(self) -> None:
        once = stages.completed(LISTED, Stage.COLLECT, "c", NOON, NOON)
        later = NOON + timedelta(days=1)
        assert (
            stages.entry(stages.completed(once, Stage.COLLECT, "c", NOON, later), Stage.COLLECT).completion_time == NOON
        )
        assert (
            stages.entry(stages.completed(once, Stage.COLLECT, "d", NOON, later), Stage.COLLECT).completion_time
            == later
        )

    def test_begins_its_clock_anew_with_another_identity(self) -> None:
        begun = stages.changed(LISTED, Stage.COLLECT, start_time=NOON - timedelta(days=1))
        once = stages.completed(begun, Stage.COLLECT, "c", NOON, NOON)
        assert stages.entry(once, Stage.COLLECT).start_time == NOON - timedelta(days=1)
        again = stages.completed(once, Stage.COLLECT, "d", NOON + timedelta(days=1), NOON + timedelta(days=2))
        assert stages.entry(again, Stage.COLLECT).start_time == NOON + timedelta(days=1)

    def test_takes_the_times_of_a_record_that_was_found(self) -> None:
        entry = stages.entry(stages.found(LISTED, Stage.TRAIN, Finished("t", NOON, NOON, "done", FLOW)), Stage.TRAIN)
        assert (entry.state, entry.fingerprint, entry.start_time, entry.message) == ("Complete", "t", NOON, "done")
        assert (entry.documents_in, entry.documents_out, entry.bytes_in, entry.bytes_out) == (7, 5, 700, 450)

    def test_says_what_went_through_the_stage(self) -> None:
        entry = stages.entry(stages.completed(LISTED, Stage.PREPARE, "p", NOON, NOON, flow=FLOW), Stage.PREPARE)
        assert (entry.documents_in, entry.documents_out, entry.bytes_in, entry.bytes_out) == (7, 5, 700, 450)
