"""Following the world: each newer one once, however the API server behaves."""

import itertools
from collections.abc import Iterator

from pretrain_api.cluster import WORLD_KEY
from pretrain_api.world import Member, World
from pretrain_trainer.pod.api_server import ApiServer, Refused
from pretrain_trainer.pod.worlds import told_of_worlds, worlds


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
        for answer in self.left.pop(0) if self.left else [OSError("away")]:
            if isinstance(answer, Exception):
                raise answer
            yield answer


def followed(count: int, *watches: list[dict[str, str] | Exception]) -> tuple[list[int], list[float]]:
    """The generations of so many worlds, and the pauses in between."""
    pauses: list[float] = []
    found = worlds(Answers(*watches), "gpt-world", pauses.append)
    return [world.generation for world in itertools.islice(found, count)], pauses


def test_each_newer_world_is_told_once() -> None:
    watch: list[dict[str, str] | Exception] = [
        a_world(2, "a"),
        {},
        a_world(2, "a"),
        a_world(1, "a"),
        a_world(4, "a", "b"),
    ]
    assert followed(2, watch) == ([2, 4], [])


def test_errors_and_what_cannot_be_read_are_waited_out_with_growing_pauses() -> None:
    found, pauses = followed(
        2, [Refused(403, "forbidden")], [OSError("no route")], [{WORLD_KEY: "{}"}], [a_world(1, "b"), ValueError("cut")],
        [a_world(1, "b"), a_world(2, "b")],
    )  # fmt: skip
    assert found == [1, 2]
    assert all(0.1 <= pause <= 15 for pause in pauses)
    assert len(pauses) == 4


def test_they_come_out_of_a_pipe_until_nobody_reads() -> None:
    with (
        told_of_worlds(Answers([a_world(1, "a"), a_world(2, "a")]), "gpt-world") as pipe,
        open(pipe, closefd=False) as out,
    ):
        assert [World.model_validate_json(out.readline()).generation for _ in range(2)] == [1, 2]
