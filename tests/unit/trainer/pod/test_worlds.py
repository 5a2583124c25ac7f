"""Waiting for the world: for the right generation, with the pod in it, however the API server behaves."""

from collections.abc import Iterator

import pytest

from pretrain_api.cluster import WORLD_KEY
from pretrain_api.world import Member, World
from pretrain_trainer.context import Stopped
from pretrain_trainer.pod.api_server import ApiServer, Refused
from pretrain_trainer.pod.worlds import wait_for_world


def a_world(generation: int, *uids: str) -> dict[str, str]:
    roster = tuple(Member(worker=n, pod=f"w{n}", uid=uid, address=f"10.0.0.{n}") for n, uid in enumerate(uids))
    return {
        WORLD_KEY: World(generation=generation, attempt=generation, roster=roster, leader="10.0.0.0").model_dump_json()
    }


class Answers(ApiServer):
    """What each watch brings, in turn: data, or an error at its end."""

    def __init__(self, *watches: list[dict[str, str] | Exception]) -> None:
        self.left = list(watches)

    def watch(self, name: str, seconds: int) -> Iterator[dict[str, str]]:
        for answer in self.left.pop(0):
            if isinstance(answer, Exception):
                raise answer
            yield answer


def waited(*watches: list[dict[str, str] | Exception], generation: int = 2) -> tuple[World, list[float]]:
    pauses: list[float] = []
    world = wait_for_world(Answers(*watches), "gpt-world", "b", generation, pauses.append)
    return world, pauses


def test_earlier_generations_and_rosters_without_the_pod_are_waited_out() -> None:
    world, pauses = waited([a_world(1, "a", "b"), {}, a_world(2, "a"), a_world(2, "a", "b")])
    assert (world.generation, world.rank_of("b"), pauses) == (2, 1, [])


def test_a_later_generation_with_the_pod_will_do() -> None:
    assert waited([a_world(3, "b")])[0].generation == 3


def test_a_later_generation_without_the_pod_ends_it() -> None:
    with pytest.raises(Stopped, match="generation 3"):
        waited([a_world(3, "a")])


def test_errors_and_what_cannot_be_read_are_waited_out_with_growing_pauses() -> None:
    world, pauses = waited(
        [Refused(403, "forbidden")], [OSError("no route")], [{WORLD_KEY: "{}"}], [a_world(1, "b"), ValueError("cut")],
        [a_world(2, "b")],
    )  # fmt: skip
    assert world.generation == 2
    assert all(0.1 <= pause <= 15 for pause in pauses)
    assert len(pauses) == 4
