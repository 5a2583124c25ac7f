from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_api import goodput
from pretrain_api.goodput import Account, Item, account_of, recorded, recovering
from pretrain_api.types.status import Goodput

START = datetime(2026, 11, 29, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def told(since: float, productive: float = 0.0, **others: float) -> dict[str, float]:
    """Figures of a trainer that began `since` seconds after the job; the totals in seconds."""
    zeros = dict.fromkeys(goodput.FIGURES, 0.0)
    return {**zeros, goodput.SINCE: at(since).timestamp(), "productiveSeconds": productive, **others}


def seconds(account: Account) -> dict[Item, float]:
    return {item: amount / 1000 for item, amount in account.spent.items() if amount}


class TestStatesAlone:
    def test_time_belongs_to_what_the_job_was_at(self) -> None:
        account = Account(START).passed(at(5), goodput.QUEUED).passed(at(7), goodput.STARTING)
        assert seconds(account) == {goodput.QUEUED: 5, goodput.STARTING: 2}

    def test_a_clock_that_was_set_back_takes_nothing_away(self) -> None:
        account = Account(START).passed(at(5), goodput.QUEUED)
        assert account.passed(at(3), goodput.STARTING) == account

    def test_suspensions_and_other_stages_do_not_count_against_it(self) -> None:
        account = Account(START).passed(at(50), goodput.OTHER_STAGES).passed(at(90), goodput.SUSPENDED)
        assert account.ratio is None
        assert account.trained(told(90, 8.0, dataWaitSeconds=2.0), at(100), goodput.LOST).ratio == 0.8


class TestTraining:
    def test_the_trainer_says_what_its_time_was_spent_on(self) -> None:
        account = Account(START).trained(told(4, 5.0, dataWaitSeconds=1.0), at(10), goodput.STARTING)
        assert seconds(account) == {goodput.STARTING: 4, goodput.PRODUCTIVE: 5, goodput.DATA_WAIT: 1}
        account = account.trained(told(4, 14.0, dataWaitSeconds=2.0), at(20), goodput.LOST)
        assert seconds(account) == {goodput.STARTING: 4, goodput.PRODUCTIVE: 14, goodput.DATA_WAIT: 2}

    def test_a_step_that_changed_nothing_is_lost(self) -> None:
        account = Account(START).trained(told(0, 7.0), at(10), goodput.STARTING)
        assert seconds(account) == {goodput.PRODUCTIVE: 7, goodput.LOST: 3}

    def test_steps_that_are_made_again_are_lost(self) -> None:
        account = Account(START).trained(told(0, 100.0), at(100), goodput.STARTING)
        # It began again at 110 from a checkpoint that had taken 60 s, and has made steps for 5 s.
        account = account.trained(told(110, 65.0), at(115), recovering("Restore"))
        assert seconds(account) == {goodput.PRODUCTIVE: 65, goodput.LOST: 40, recovering("Restore"): 10}

    def test_steps_that_nobody_had_told_of_and_that_stand_are_productive(self) -> None:
        account = Account(START).trained(told(0, 100.0), at(100), goodput.STARTING)
        account = account.passed(at(108), goodput.LOST)  # it was seen to end there
        # Its last checkpoint held 106 s.
        account = account.trained(told(120, 111.0), at(125), recovering("Restore"))
        assert seconds(account) == {goodput.PRODUCTIVE: 111, goodput.LOST: 2, recovering("Restore"): 12}

    def test_a_restart_in_place_gets_its_phases_out_of_what_seemed_lost(self) -> None:
        account = Account(START).trained(told(0, 100.0), at(100), goodput.STARTING)
        account = account.trained(told(104, 103.0), at(106), goodput.LOST)
        account = account.recovered("Restart", {"stop": 0.5, "start": 1.0, "load": 1.5, "step": 9.0})
        assert seconds(account) == {
            goodput.PRODUCTIVE: 103,
            recovering("Restart", "stop"): 0.5,
            recovering("Restart", "start"): 1.0,
            recovering("Restart", "load"): 1.5,
        }

    def test_it_does_not_matter_whether_the_recovery_or_its_figures_are_told_first(self) -> None:
        before = Account(START).trained(told(0, 100.0), at(100), goodput.STARTING)
        phases = {"stop": 1.0, "load": 2.0}
        first = before.trained(told(104, 103.0), at(106), goodput.LOST).recovered("Restart", phases)
        second = before.passed(at(106), goodput.LOST).recovered("Restart", phases)
        assert seconds(second.trained(told(104, 103.0), at(106), goodput.LOST)) == seconds(first)

    def test_the_time_of_a_checkpoint_is_not_taken_back(self) -> None:
        account = Account(START).trained(told(0, 9.0, checkpointStallSeconds=1.0), at(10), goodput.STARTING)
        # The checkpoint does not know of its own stall.
        account = account.trained(told(12, 10.0), at(13), goodput.STARTING)
        assert seconds(account) == {goodput.PRODUCTIVE: 10, goodput.CHECKPOINT_STALL: 1, goodput.STARTING: 2}

    def test_what_an_earlier_job_trained_does_not_count(self) -> None:
        account = Account(START).trained(told(5, 1003.0), at(8), goodput.STARTING)
        assert seconds(account) == {goodput.PRODUCTIVE: 3, goodput.STARTING: 5}


TOTALS = st.tuples(*[st.floats(0, 50, allow_nan=False)] * len(goodput.FIGURES))
ITEMS = st.sampled_from([goodput.LOST, goodput.QUEUED, goodput.SUSPENDED, recovering("Restore")])
PASSED = st.tuples(st.just("passed"), st.floats(-5, 100), ITEMS)
TRAINED = st.tuples(st.just("trained"), st.floats(-5, 100), ITEMS, st.floats(-100, 100), TOTALS)
RECOVERED = st.tuples(
    st.just("recovered"), st.dictionaries(st.sampled_from(["stop", "load", "step"]), st.floats(0, 60))
)


@given(st.lists(st.one_of(PASSED, TRAINED, RECOVERED), max_size=30))
def test_whatever_is_told_every_second_is_in_the_account_once(history: list[tuple]) -> None:  # type: ignore[type-arg]
    account, now = Account(START), 0.0
    for kind, *rest in history:
        if kind == "passed":
            now += rest[0]
            account = account.passed(at(now), rest[1])
        elif kind == "trained":
            now += rest[0]
            figures = dict(zip(goodput.FIGURES, rest[3], strict=True))
            account = account.trained({**figures, goodput.SINCE: at(now - rest[2]).timestamp()}, at(now), rest[1])
        else:
            account = account.recovered("Restart", rest[0])
        assert account.total == (account.until - START) // timedelta(milliseconds=1)
        assert all(amount >= 0 for amount in account.spent.values())
        assert account.ratio is None or 0 <= account.ratio <= 1
        assert seconds(account_of(recorded(account), START)) == seconds(account)


def test_an_account_begins_with_its_job() -> None:
    assert account_of(Goodput(), START) == Account(START)


@pytest.mark.parametrize(("name", "item"), goodput.FIGURES.items())
def test_each_total_of_the_trainer_has_an_item(name: str, item: Item) -> None:
    account = Account(START).trained({**told(0), name: 3.0}, at(3), goodput.LOST)
    assert seconds(account) == {item: 3}
