"""Edits while a job is at work."""

from typing import Any

import pytest
from support.jobs import a_job
from support.stage_runs import NOON

from pretrain_api.stages import Stage, settings
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import Progress
from pretrain_operator.brain import conditions, edits, stages

ACCEPTED = a_job().spec
TRAINING = stages.listed(PretrainJobStatus(progress=Progress(step=3)), ACCEPTED)
BEFORE = stages.listed(PretrainJobStatus(), ACCEPTED)


def with_training(**changes: Any) -> PretrainJobSpec:
    return a_job().with_spec(training={**a_job().manifest["spec"]["training"], **changes}).spec


class TestDigest:
    def test_does_not_change_with_what_only_the_operator_reads(self) -> None:
        changed = a_job().suspended().with_deadline(60).with_budget(9).spec
        assert edits.digest(changed) == edits.digest(ACCEPTED)

    def test_changes_with_what_programs_read(self) -> None:
        assert edits.digest(with_training(seed=1)) != edits.digest(ACCEPTED)


class TestTaken:
    def test_everything_may_change_before_training(self) -> None:
        found = edits.taken(with_training(seed=7), ACCEPTED, BEFORE)
        assert (found.spec.training.seed, found.refused) == (7, ())

    def test_what_is_learned_may_not_change_once_training_began(self) -> None:
        found = edits.taken(with_training(seed=7), ACCEPTED, TRAINING)
        assert found.spec == ACCEPTED
        assert [change.path for change in found.refused] == ["spec.training.seed"]

    def test_the_rest_of_an_edit_is_followed(self) -> None:
        wanted = with_training(seed=7).model_copy(
            update={"workers": a_job().with_spec(workers={"max": 2}).spec.workers}
        )
        found = edits.taken(wanted, ACCEPTED, TRAINING)
        assert (found.spec.training.seed, found.spec.workers.max) == (ACCEPTED.training.seed, 2)
        assert [change.path for change in found.followed] == ["spec.workers.max"]

    def test_without_an_accepted_spec_the_wanted_one_is(self) -> None:
        assert edits.taken(with_training(seed=7), None, TRAINING).spec.training.seed == 7


class TestConcerns:
    def test_workers_concern_training_alone(self) -> None:
        found = edits.taken(a_job().with_spec(workers={"max": 2}).spec, ACCEPTED, TRAINING)
        assert edits.concerns(found, Stage.TRAIN)
        assert not edits.concerns(found, Stage.PREPARE)

    def test_resources_and_credentials_concern_every_program(self) -> None:
        for part in ({"workers": {"resources": {"limits": {"memory": "1Gi"}}}},
                     {"storage": {"uri": "memory://run", "secretRef": {"name": "s3"}}}):  # fmt: skip
            found = edits.taken(a_job().with_spec(**part).spec, ACCEPTED, TRAINING)
            assert all(edits.concerns(found, stage) for stage in (Stage.PREPARE, Stage.TRAIN))

    def test_a_stage_s_own_settings_concern_it(self) -> None:
        found = edits.taken(a_job().with_spec(tokenizer={"train": {"vocabSize": 600}}).spec, ACCEPTED, BEFORE)
        assert edits.concerns(found, Stage.TOKENIZER)
        assert not edits.concerns(found, Stage.COLLECT)


class TestFollowed:
    def test_stages_whose_result_would_differ_are_asked_anew(self) -> None:
        status = stages.completed(BEFORE, Stage.COLLECT, "c", NOON, NOON)
        status = stages.completed(
            stages.completed(status, Stage.PREPARE, "p", NOON, NOON), Stage.TOKENIZER, "t", NOON, NOON
        )
        found = edits.taken(a_job().with_spec(tokenizer={"train": {"vocabSize": 600}}).spec, ACCEPTED, status)
        status = edits.followed(status, found, ACCEPTED)
        states = {s.name: s.state for s in status.stages}
        assert (states["Collect"], states["Prepare"], states["Tokenizer"]) == ("Complete", "Complete", "Pending")
        assert status.accepted_job == edits.digest(found.spec)

    def test_another_storage_has_nothing_yet(self) -> None:
        status = stages.completed(BEFORE, Stage.COLLECT, "c", NOON, NOON)
        found = edits.taken(a_job().with_spec(storage={"uri": "memory://other"}).spec, ACCEPTED, status)
        assert stages.entry(edits.followed(status, found, ACCEPTED), Stage.COLLECT).state == "Pending"


class TestStated:
    def test_a_refusal_names_the_field_with_both_values_and_what_to_do(self) -> None:
        found = edits.taken(with_training(seed=7), ACCEPTED, TRAINING)
        said = conditions.condition(edits.stated(TRAINING, found, "", NOON), conditions.ACCEPTED)
        assert (said.status, said.reason) == ("False", "Immutable")
        assert "spec.training.seed: 42 -> 7" in said.message
        assert "another name" in said.message

    def test_it_is_taken_back_once_the_old_value_is_there_again(self) -> None:
        refused = edits.stated(TRAINING, edits.taken(with_training(seed=7), ACCEPTED, TRAINING), "", NOON)
        mended = edits.stated(refused, edits.taken(ACCEPTED, ACCEPTED, refused), "", NOON)
        assert conditions.condition(mended, conditions.ACCEPTED).status == "True"

    def test_nothing_is_said_when_nothing_was_refused(self) -> None:
        assert edits.stated(TRAINING, edits.Edits(ACCEPTED, edits.digest(ACCEPTED)), "", NOON) == TRAINING


def with_weights(*weights: float, **extra: Any) -> PretrainJobSpec:
    sources = [{"name": f"s{n}", "documents": "x", "weight": weight, **extra} for n, weight in enumerate(weights)]
    return a_job().with_spec(data={"sources": sources}).spec


class TestWeight:
    OLD = with_weights(7, 3)

    def test_before_training_makes_another_run(self) -> None:
        found = edits.taken(with_weights(1, 3), self.OLD, BEFORE)
        assert found.spec == with_weights(1, 3)
        assert [stage for change in found.followed for stage in change.stages] == [Stage.TOKENIZER, Stage.TRAIN]

    def test_while_training_is_followed_and_leaves_every_identity_alone(self) -> None:
        found = edits.taken(with_weights(1, 3), self.OLD, TRAINING)
        assert ([str(c) for c in found.followed], found.refused) == (
            ["spec.data.sources[name=s0].weight: 7.0 -> 1.0"],
            (),
        )
        assert [s.weight for s in found.spec.data.sources] == [1, 3]
        assert all(settings(stage, found.spec) == settings(stage, self.OLD) for stage in Stage)
        assert edits.concerns(found, Stage.TRAIN)
        assert not edits.concerns(found, Stage.EVALUATE)
        assert edits.followed(TRAINING, found, self.OLD).accepted_job == edits.digest(found.spec)

    def test_that_was_followed_is_not_followed_again(self) -> None:
        accepted = edits.taken(with_weights(1, 3), self.OLD, TRAINING).spec
        found = edits.taken(with_weights(1, 3), accepted, TRAINING)
        assert (found.spec, found.followed, found.digest) == (accepted, (), edits.digest(accepted))

    def test_goes_back_and_on(self) -> None:
        accepted = self.OLD
        for weights in ((1, 3), (7, 3), (7, 2)):
            found = edits.taken(with_weights(*weights), accepted, TRAINING)
            assert [c.path for c in found.followed if not c.is_weight] == []
            assert len(found.followed) == 1
            accepted = found.spec
            assert settings(Stage.TRAIN, accepted) == settings(Stage.TRAIN, self.OLD)

    def test_is_followed_beside_an_edit_that_is_refused(self) -> None:
        wanted = with_weights(1, 3).model_copy(update={"training": with_training(seed=7).training})
        found = edits.taken(wanted, self.OLD, TRAINING)
        assert [c.path for c in found.refused] == ["spec.training.seed"]
        assert [s.weight for s in found.spec.data.sources] == [1, 3]
        assert found.spec.training.seed == self.OLD.training.seed
        assert settings(Stage.TRAIN, found.spec) == settings(Stage.TRAIN, self.OLD)

    @pytest.mark.parametrize("accepted", [OLD, with_weights(7, 3, initialWeight=5)], ids=["plain", "edited before"])
    def test_comes_too_late_once_training_is_complete(self, accepted: PretrainJobSpec) -> None:
        trained = stages.completed(TRAINING, Stage.TRAIN, "t", NOON, NOON)
        found = edits.taken(with_weights(1, 3), accepted, trained)
        assert "spec.data.sources[name=s0].weight" in [c.path for c in found.refused]
        assert found.spec == accepted

    def test_at_the_start_cannot_change(self) -> None:
        found = edits.taken(with_weights(7, 3, initialWeight=5), self.OLD, TRAINING)
        assert {c.path.rsplit(".", 1)[-1] for c in found.refused} == {"initialWeight"}
