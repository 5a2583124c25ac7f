"""Whose turn it is where several jobs name the same storage."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.jobs import a_job
from support.stage_runs import NOON, a_run, an_ended_run

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_operator.brain import conditions, edits, lifecycle, stages, tenants
from pretrain_operator.brain.decide import decide
from pretrain_operator.brain.observed import Observed, Start, Tenant
from pretrain_operator.brain.plan import Decision, StartStage

SPEC = a_job().with_spec(storage={"uri": "s3://bucket/run"}).spec
OPENED = stages.listed(lifecycle.opened(PretrainJobStatus(), NOON, 1), SPEC).model_copy(
    update={"accepted_job": edits.digest(SPEC), "state": "Pending"}
)
COLLECTING = stages.changed(OPENED, Stage.COLLECT, state="Running", attempts=1, phase="finish", start_time=NOON)
OWN = Tenant("a/own", "own", NOON, is_at_work=False)
OLDER = Tenant("b/other", "other", NOON - timedelta(hours=1), is_at_work=False)
YOUNGER = replace(OLDER, created=NOON + timedelta(hours=1))


def at_work(tenant: Tenant) -> Tenant:
    return replace(tenant, is_at_work=True)


def decided(status: PretrainJobStatus, *found: Tenant, spec: PretrainJobSpec = SPEC, **seen: Any) -> Decision:
    observed = Observed(NOON, is_unattended=True, accepted=SPEC, uid="own", tenants=found, **seen)
    return decide(spec, status, observed)


def starts(decision: Decision) -> bool:
    return any(isinstance(action, StartStage) for action in decision.plan)


class TestOrder:
    @pytest.mark.parametrize(
        ("found", "first"),
        [
            ((OWN, YOUNGER), OWN),
            ((OWN, OLDER), OLDER),
            ((OWN, at_work(YOUNGER)), YOUNGER),
            ((at_work(OWN), OLDER), OWN),
            ((at_work(OWN), at_work(OLDER)), OLDER),
            ((OWN, replace(OWN, uid="a")), replace(OWN, uid="a")),
            ((OLDER,), OLDER),
            ((), OWN),
        ],
    )
    def test_who_works_goes_before_who_is_older(self, found: tuple[Tenant, ...], first: Tenant) -> None:
        other = tenants.in_the_way(Observed(NOON, uid="own", tenants=found))
        assert (other.uid if other else "own") == first.uid


class TestTenancy:
    @pytest.mark.parametrize(
        ("state", "is_deleted", "expected"),
        [
            ("Pending", False, False),
            ("Pending", True, None),
            ("Collecting", False, True),
            ("Recovering", True, True),
            ("Suspended", False, None),
            ("Succeeded", False, None),
            ("Failed", True, None),
        ],
    )
    def test_ends_with_the_work(self, state: str, is_deleted: bool, expected: bool | None) -> None:
        recorded = OPENED.model_copy(update={"state": state})
        found = tenants.tenant("a/own", "own", NOON, is_deleted, recorded)
        assert (found.is_at_work if found else None) is expected


class TestPlace:
    def test_in_a_store_is_the_same_from_every_namespace(self) -> None:
        same = a_job().with_spec(storage={"uri": "s3://bucket/run/"}).spec
        assert tenants.place(SPEC, "a") == tenants.place(same, "b")
        elsewhere = a_job().with_spec(storage={"uri": "s3://bucket/run", "endpointUrl": "http://other"}).spec
        assert tenants.place(SPEC, "a") != tenants.place(elsewhere, "a")

    def test_on_a_volume_is_the_namespace_s_own(self) -> None:
        def on(claim: str, uri: str = "file:///data/run") -> PretrainJobSpec:
            volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
            template = {"volumes": [volume], "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
            return a_job().with_spec(storage={"uri": uri}, workers={"template": template}).spec

        assert tenants.place(on("one"), "a") == tenants.place(on("one", "/data/run/"), "a")
        assert tenants.place(on("one"), "a") != tenants.place(on("one"), "b")
        assert tenants.place(on("one"), "a") != tenants.place(on("two"), "a")


class TestDecision:
    def test_a_job_waits_while_another_works_in_its_storage_and_says_so(self) -> None:
        decision = decided(OPENED, OWN, at_work(YOUNGER))
        assert not starts(decision)
        assert decision.look_again_seconds is not None
        assert decision.recorded.state == "Pending"
        stalled = conditions.condition(decision.recorded, conditions.STALLED)
        assert (stalled.status, stalled.reason) == ("True", "StorageInUse")
        for part in ("s3://bucket/run", "b/other", "spec.storage.uri"):
            assert part in stalled.message

    def test_nothing_is_written_again_while_it_waits(self) -> None:
        waiting = decided(OPENED, OWN, at_work(YOUNGER)).recorded
        assert decided(waiting, OWN, at_work(YOUNGER)).recorded == waiting

    def test_it_goes_on_once_the_other_one_has_left(self) -> None:
        waiting = decided(OPENED, OWN, at_work(YOUNGER)).recorded
        decision = decided(waiting, OWN)
        assert starts(decision)
        assert decision.recorded.state == "Collecting"
        assert conditions.condition(decision.recorded, conditions.STALLED).status == "False"

    def test_what_runs_already_is_left_to_run_and_the_next_stage_waits(self) -> None:
        others = (at_work(OWN), at_work(OLDER))
        alive = frozenset({Start(Stage.COLLECT, 1)})
        running = decided(COLLECTING, *others, runs={Stage.COLLECT: a_run(Stage.COLLECT)}, alive=alive)
        assert running.recorded.state == "Collecting"
        ended = an_ended_run(0, "complete", Stage.COLLECT, words={"fingerprint": "made"})
        decision = decided(running.recorded, *others, runs={Stage.COLLECT: ended})
        assert not starts(decision)
        assert decision.recorded.state == "Pending"

    def test_suspension_needs_no_turn(self) -> None:
        suspended = a_job().with_spec(storage={"uri": "s3://bucket/run"}, suspend=True).spec
        decision = decided(OPENED, OWN, at_work(YOUNGER), spec=suspended)
        assert decision.recorded.state == "Suspended"
