"""Random schedules of a cluster that misbehaves, the first of many (tests/integration/test_schedules.py), and some that
are told."""

import pytest
from support.schedules import check_a_lost_worker, played, run

from pretrain_api.stages import Stage
from pretrain_operator.bodies.simulated.kubernetes import Fate
from pretrain_operator.brain import stages


def test_every_job_ends_well() -> None:
    for seed in range(40):
        run(seed)


class TestLostWorker:
    @pytest.mark.parametrize("fewest", [1, 3])
    @pytest.mark.parametrize(
        ("fate", "counts"),
        [
            *(((kind, 15.0), (1, 0)) for kind in ("kill", "gone")),
            *(((kind, 15.0), (0, 1)) for kind in ("reset", "evict", "vanish", "freeze", "unheard")),
            (("notice", 15.0), (0, 0)),  # it is relieved before it is evicted
        ],
    )
    def test_costs_no_start_and_nothing_that_was_learned(
        self, fate: Fate, counts: tuple[int, int], fewest: int
    ) -> None:
        check_a_lost_worker(fate, counts, fewest)

    def test_and_the_one_in_its_place_cost_one_each(self) -> None:
        cluster, trained = played(1, {"simulated-w1-1": ("kill", 15.0), "simulated-w3-1": ("evict", 30.0)})
        assert (cluster.status.recovery.failures, cluster.status.recovery.disruptions) == (1, 1)
        assert cluster.workers_made == {1: 5}
        assert trained == sorted(trained)

    def test_as_the_last_one_ends_the_start_and_the_next_goes_on_from_what_is_saved(self) -> None:
        fates: dict[str, Fate] = {f"simulated-w{number}-1": ("vanish", 18.0) for number in range(3)}
        cluster, trained = played(1, fates)
        assert stages.entry(cluster.status, Stage.TRAIN).attempts == 2
        assert trained != sorted(trained)
        assert cluster.status.state == "Succeeded"
