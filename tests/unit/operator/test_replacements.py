"""As many workers are there as are wanted, whatever is lost and however old the view is."""

import pytest
from support.stage_runs import NOON
from support.worlds import a_worker, a_world, after, evicted, killed, noticed, waiting

from pretrain_api.events import Outcome
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import World as Summary
from pretrain_operator.brain import replacements
from pretrain_operator.brain.observed import Observed, Worker

BEGUN = PretrainJobStatus(world=Summary(generation=1, workers=3))
THREE = a_world(0, 1, 2)


def missing(*workers: Worker, roster: tuple[int, ...] = (0, 1, 2)) -> tuple[int, ...]:
    return replacements.missing(BEGUN, Observed(NOON, workers=workers), a_world(*roster), 3)


def surplus(*workers: Worker, roster: tuple[int, ...] = (0, 1, 2)) -> tuple[int, ...]:
    return replacements.surplus(BEGUN, Observed(NOON, workers=workers), a_world(*roster), 3)


def failed(number: int, seconds: float = 0) -> Worker:
    said = Outcome(outcome="failed")
    return a_worker(number, state="Ended", is_alive=False, exit_code=1, outcome=said, ended=after(seconds))


class TestMissing:
    def test_is_nobody_while_all_run_or_will(self) -> None:
        assert missing(a_worker(0), a_worker(1), waiting(2)) == ()

    @pytest.mark.parametrize("lost", [(evicted(1),), (killed(1),), (), (evicted(1, is_alive=True),)])
    def test_is_a_new_number_for_a_lost_worker_even_while_it_leaves(self, lost: tuple[Worker, ...]) -> None:
        assert missing(a_worker(0), *lost, a_worker(2)) == (3,)

    def test_is_asked_for_once(self) -> None:
        assert missing(a_worker(0), evicted(1), a_worker(2), waiting(3)) == ()

    def test_is_the_same_number_in_a_view_that_does_not_show_it_yet(self) -> None:
        assert missing(a_worker(0), evicted(1), a_worker(2)) == missing(a_worker(0), a_worker(1), evicted(2)) == (3,)

    def test_is_above_all_that_were_seen(self) -> None:
        assert missing(a_worker(0), evicted(7)) == (8, 9)
        assert missing(a_worker(0), roster=(0, 9)) == (10, 11)

    def test_is_made_up_for_one_that_never_ran_and_would_be_made_otherwise(self) -> None:
        assert missing(a_worker(0), a_worker(1), waiting(3, is_outdated=True), roster=(0, 1, 2)) == (4,)


class TestLeftOut:
    """A worker whose loss only its neighbours know of runs on, outside of the roster."""

    STATUS = BEGUN.model_copy(update={"world": Summary(generation=2, workers=3, lost=["uid-1"])})
    VIEW = Observed(NOON, workers=(a_worker(0), a_worker(1), a_worker(2)))

    def test_is_replaced_and_ended(self) -> None:
        assert replacements.missing(self.STATUS, self.VIEW, a_world(0, 2), 3) == (3,)
        assert replacements.surplus(self.STATUS, self.VIEW, a_world(0, 2), 3) == (1,)

    def test_is_not_ended_while_the_roster_still_has_it(self) -> None:
        assert replacements.surplus(self.STATUS, self.VIEW, a_world(0, 1, 2), 3) == ()


class TestSurplus:
    def test_is_nobody_of_the_roster(self) -> None:
        assert surplus(*(a_worker(n) for n in range(5)), roster=(0, 1, 2, 3, 4)) == ()

    def test_are_those_that_do_not_run_first(self) -> None:
        assert surplus(a_worker(0), a_worker(1), a_worker(2), a_worker(4), waiting(3)) == (3, 4)

    def test_are_the_newest_first(self) -> None:
        assert surplus(a_worker(0), a_worker(1), waiting(3), waiting(4)) == (4,)

    def test_are_those_that_never_ran_and_would_be_made_otherwise(self) -> None:
        assert surplus(a_worker(0), a_worker(1), waiting(3, is_outdated=True)) == (3,)


class TestNotice:
    """A member whose machine goes soon trains on, and another one is started for its place."""

    def test_is_made_up_for_before_it_goes(self) -> None:
        assert missing(a_worker(0), noticed(1), a_worker(2)) == (3,)

    def test_is_made_up_for_once(self) -> None:
        assert missing(a_worker(0), noticed(1), a_worker(2), waiting(3)) == ()

    def test_of_a_spare_is_made_up_for_as_well(self) -> None:
        view = Observed(NOON, workers=(a_worker(0), a_worker(1), a_worker(3), noticed(2)))
        assert replacements.missing(BEGUN, view, a_world(0, 1, 3), 4) == (4,)

    def test_where_the_new_one_came_too_starts_no_chain_of_others(self) -> None:
        assert missing(a_worker(0), noticed(1), a_worker(2), noticed(3)) == ()

    def test_of_all_members_moves_nobody(self) -> None:
        assert missing(noticed(0), noticed(1), noticed(2)) == ()

    def test_leaves_the_relieved_one_to_go_with_its_machine(self) -> None:
        assert surplus(a_worker(0), noticed(1), a_worker(2), a_worker(3), roster=(0, 2, 3)) == ()

    def test_that_is_taken_back_makes_the_new_one_too_many(self) -> None:
        assert surplus(a_worker(0), a_worker(1), a_worker(2), waiting(3)) == (3,)


class TestPause:
    def pause(self, *workers: Worker, seconds: float = 0, lost: tuple[str, ...] = ()) -> float:
        recorded = BEGUN.model_copy(update={"world": BEGUN.world.model_copy(update={"lost": list(lost)})})
        return replacements.pause_seconds(recorded, Observed(after(seconds), workers=workers), a_world(0, 1))

    def test_is_none_for_a_lost_member(self) -> None:
        assert self.pause(a_worker(0), evicted(1)) == 0
        assert self.pause(a_worker(0), a_worker(1), killed(2), lost=("uid-2",)) == 0

    def test_grows_with_those_that_end_before_they_join(self) -> None:
        ended = [failed(number) for number in range(2, 9)]
        assert [self.pause(*ended[: count + 1]) for count in range(7)] == [1, 2, 4, 8, 16, 30, 30]

    def test_passes(self) -> None:
        assert self.pause(failed(2), failed(3, seconds=10), seconds=11) == 1
        assert self.pause(failed(2), failed(3, seconds=10), seconds=13) < 0

    def test_is_not_longer_when_the_clock_was_set_back(self) -> None:
        assert self.pause(failed(2), seconds=-1000) == 1

    def test_is_over_once_one_has_joined(self) -> None:
        seen = Observed(NOON, workers=(failed(2),))
        assert replacements.pause_seconds(BEGUN, seen, a_world(0, 1, 3)) == 0
