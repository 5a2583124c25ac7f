"""The worlds that an agent is told of, through a real pipe."""

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from pretrain_api.world import Member, World
from pretrain_trainer.agent.place import Place
from pretrain_trainer.agent.worlds import One, Told, is_next
from pretrain_trainer.process import HEEDED
from pretrain_trainer.stopping import Stop


@pytest.fixture
def stop() -> Iterator[Stop]:
    before = {number: signal.getsignal(number) for number in HEEDED}
    yield Stop()
    for number, handler in before.items():
        signal.signal(number, handler)


class Teller:
    """Whoever started the agent."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe()
        self.told = Told(self.out, "b", attempt=2, ranks=4)

    def say(self, generation: int, *uids: str, attempt: int = 2) -> World:
        roster = tuple(Member(worker=n, pod=f"w-{uid}", uid=uid, address=f"10.0.0.{n}") for n, uid in enumerate(uids))
        world = World(generation=generation, attempt=attempt, roster=roster, leader="10.0.0.0")
        os.write(self.into, world.model_dump_json().encode() + b"\n")
        return world


@pytest.fixture
def teller() -> Iterator[Teller]:
    teller = Teller()
    yield teller
    for descriptor in (teller.out, teller.into):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_a_place_is_what_the_roster_says(teller: Teller, stop: Stop) -> None:
    world = teller.say(5, "a", "b")
    assert teller.told.next(None, stop) == Place(4, 2, 1, "10.0.0.0", 29400, f"5-{world.token}", 5, ("w-a", "w-b"))


def test_the_newest_world_counts(teller: Teller, stop: Stop) -> None:
    for generation in (5, 7, 6):
        teller.say(generation, "b")
    place = teller.told.next(None, stop)
    assert place is not None
    assert place.generation == 7
    assert teller.told.newer(place) is None
    teller.say(8, "a")
    newer = teller.told.newer(place)
    assert newer is not None
    assert newer.generation == 8


def test_worlds_of_an_earlier_attempt_or_without_this_machine_are_waited_out(teller: Teller, stop: Stop) -> None:
    teller.say(3, "b", attempt=1)
    teller.say(4, "a")
    os.close(teller.into)  # nobody will say more: the wait is over
    assert teller.told.next(None, stop) is None
    assert teller.told.descriptors() == []


def test_a_later_attempt_without_this_machine_ends_it(teller: Teller, stop: Stop) -> None:
    teller.say(9, "x", "b", attempt=3)
    assert teller.told.next(None, stop) is None


def test_who_waits_leaves_when_it_is_asked_to_stop(teller: Teller, stop: Stop) -> None:
    stop.was_asked = True
    teller.say(5, "b")
    assert teller.told.next(None, stop) is None


def test_what_cannot_be_read_is_passed_over(teller: Teller, stop: Stop) -> None:
    os.write(teller.into, b"{}\nnothing\n")
    teller.say(5, "b")
    assert teller.told.next(None, stop) is not None


def test_a_lone_machine_has_one_world(stop: Stop) -> None:
    place = Place(2, 1, 0, "127.0.0.1", 0, "1")
    worlds = One(place)
    assert worlds.next(None, stop) == place
    assert worlds.newer(place) is None
    assert worlds.next(place, stop) is None


def test_only_the_very_next_world_can_be_changed_over_to() -> None:
    """Where one in between was missed, somebody may have been lost with it."""
    place = Place(2, 1, 0, "10.0.0.0", 29400, "4-token", 4)
    world = World(generation=5, attempt=2, roster=(), leader="10.0.0.0")
    assert is_next(place, world)
    assert not is_next(place, world.model_copy(update={"planned": False}))
    assert not is_next(place, world.model_copy(update={"generation": 6}))
