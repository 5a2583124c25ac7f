"""What was worked out of an object is kept for as long as the object lives."""

import gc
import weakref

from pretrain_api.once import once_per_object


class Thing:
    """Something that equals all others, and so has no hash."""

    def __eq__(self, _: object) -> bool:
        return True


def test_each_object_is_asked_about_once() -> None:
    asked: list[int] = []

    @once_per_object
    def number(thing: Thing) -> int:
        asked.append(id(thing))
        return len(asked)

    one, other = Thing(), Thing()
    assert [number(one), number(other), number(one), number(other)] == [1, 2, 1, 2]


def test_one_that_is_gone_is_not_taken_for_one_in_its_place() -> None:
    asked: list[int] = []

    @once_per_object
    def number(_: Thing) -> int:
        asked.append(0)
        return len(asked)

    for expected in range(1, 100):
        assert number(Thing()) == expected


def test_nobody_is_kept_alive_by_it() -> None:
    thing = Thing()
    once_per_object(str)(thing)
    watched = weakref.ref(thing)
    del thing
    gc.collect()
    assert watched() is None
