"""What pods, Leases and jobs tell of an operator."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pretrain_cli.doctor.operators import running, unseen

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(name: str, ready: bool = True) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": {"name": name, "namespace": "system"}, "status": {"conditions": conditions}}


def lease(seconds_ago: float, holder: str = "operator-1") -> dict[str, Any]:
    renewed = (NOW - timedelta(seconds=seconds_ago)).isoformat()
    return {"spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 10}}


def job(name: str, seconds_ago: float, observed: int, generation: int = 2) -> dict[str, Any]:
    changed = (NOW - timedelta(seconds=seconds_ago)).isoformat()
    fields = [{"manager": "pretrain", "time": changed}]
    # The operator's own write of the status is newer, and no change that it would have to look at.
    fields.append({"manager": "pretrain-operator", "subresource": "status", "time": NOW.isoformat()})
    metadata = {"name": name, "generation": generation, "managedFields": fields}
    metadata["creationTimestamp"] = "2026-01-01T00:00:00+00:00"
    return {"metadata": metadata, "status": {"observedGeneration": observed}}


class TestRunning:
    def test_ready_pods_and_a_fresh_lease_are_well(self) -> None:
        finding = running([pod("a"), pod("b")], [lease(3)], NOW)
        assert (finding.level, finding.message) == ("ok", "2 of 2 pods ready, led by operator-1.")

    def test_outside_of_pods_the_lease_is_enough(self) -> None:
        assert running([], [lease(3)], NOW).level == "ok"

    def test_one_replica_without_leader_election_is_well(self) -> None:
        assert running([pod("a")], [], NOW).level == "ok"

    def test_a_lease_that_nobody_renews_is_a_failure_though_pods_look_well(self) -> None:
        finding = running([pod("a")], [lease(60)], NOW)
        assert finding.level == "failure"
        assert "nobody leads" in finding.message
        assert "kubectl logs -n system a" in finding.advice

    def test_one_ill_replica_is_a_warning_that_names_it(self) -> None:
        finding = running([pod("a"), pod("b", ready=False)], [lease(3)], NOW)
        assert (finding.level, "kubectl logs -n system b" in finding.advice) == ("warning", True)

    def test_ill_pods_are_a_failure(self) -> None:
        assert running([pod("a", ready=False)], [lease(60)], NOW).level == "failure"

    def test_nothing_says_how_to_install_it(self) -> None:
        finding = running([], [], NOW)
        assert (finding.level, "helm install" in finding.advice) == ("failure", True)


class TestUnseen:
    def test_jobs_that_were_looked_at_are_well(self) -> None:
        assert unseen([job("gpt", 3600, observed=2)], "research", NOW).message.startswith("1 job in namespace research")

    def test_a_change_of_a_moment_ago_may_be_unseen(self) -> None:
        assert unseen([job("gpt", 5, observed=1)], "research", NOW).level == "ok"

    def test_one_that_stays_unseen_is_named(self) -> None:
        finding = unseen([job("gpt", 60, observed=1)], "research", NOW)
        assert (finding.level, "looked at gpt" in finding.message) == ("failure", True)
