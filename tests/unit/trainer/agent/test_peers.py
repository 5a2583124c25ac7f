"""Agents that agree on starting their ranks again, over real connections: the leader here, the others on threads."""

import json
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pretrain_trainer.agent import peers
from pretrain_trainer.agent.peers import Follower, Leader
from pretrain_trainer.agent.place import Place
from pretrain_trainer.agent.restarts import Loss
from pretrain_trainer.process import HEEDED
from pretrain_trainer.stopping import Stop

NODES = 3
LOSS = Loss(rank=1, code=137, node=1)


class World:
    """The agents of three machines."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.pool, self.stop, self.may_go_on = pool, Stop(), True
        self.leader = Leader(self.place(0), self.stop, lambda: self.may_go_on)
        self.followers = [Follower(self.place(node), self.stop) for node in range(1, NODES)]

    def place(self, node: int) -> Place:
        return Place(ranks=1, nodes=NODES, node=node, address="127.0.0.1", port=self.port, world="1-token")

    def others(self, action: Callable[[Follower], object]) -> list["Future[object]"]:
        return [self.pool.submit(action, follower) for follower in self.followers]

    def begin(self, attempt: int) -> int:
        """All begin an attempt; the port, which every one of them was told."""
        told = self.others(lambda follower: follower.begin(attempt))
        begun = self.leader.begin(attempt)
        assert begun is not None
        port, meeting = begun
        assert meeting is not None
        meeting.close()
        assert [future.result(30) for future in told] == [(port, None)] * (NODES - 1)
        return port

    def close(self) -> None:
        for each in (self.leader, *self.followers):
            each.close()


@pytest.fixture
def world() -> Iterator[World]:
    before = {number: signal.getsignal(number) for number in HEEDED}
    with ThreadPoolExecutor(NODES) as pool:
        found = World(pool)
        yield found
        found.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_attempt_begins_when_all_are_ready_and_each_has_a_place_of_its_own(world: World) -> None:
    assert world.begin(0) != world.begin(1)


def test_a_rank_that_is_killed_anywhere_lets_all_begin_again(world: World) -> None:
    world.begin(0)
    told = world.others(lambda f: f.decision(0, LOSS if f is world.followers[0] else None))
    assert world.leader.decision(0, None) == LOSS
    assert [future.result(30) for future in told] == [LOSS] * 2
    world.begin(1)


def test_a_loss_of_the_leader_is_heard_by_those_whose_ranks_still_run(world: World) -> None:
    world.begin(0)
    assert not world.followers[0].call(0)
    assert world.leader.decision(0, LOSS) == LOSS
    for follower in world.followers:
        follower._wait(30)
        assert follower.call(0)
        assert follower.decision(0, None) == LOSS
    world.begin(1)


def test_without_a_killed_rank_everybody_is_on_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_SETTLE_SECONDS", 0.2)
    world.begin(0)
    told = world.others(lambda f: f.decision(0, None))
    assert world.leader.decision(0, None) is None
    assert [future.result(30) for future in told] == [None, None]


def test_after_too_many_losses_nothing_begins_again(world: World) -> None:
    world.begin(0)
    world.may_go_on = False
    told = world.others(lambda f: f.decision(0, LOSS))
    assert world.leader.decision(0, LOSS) is None
    assert [future.result(30) for future in told] == [None, None]


def test_nothing_begins_again_once_an_agent_is_lost(world: World) -> None:
    world.begin(0)
    world.followers[1].close()
    world.leader._wait(30)
    assert world.leader.decision(0, LOSS) is None
    assert world.leader.begin(1) is None
    assert world.followers[0].decision(0, LOSS) is None


def test_nothing_begins_again_once_the_leader_is_lost(world: World) -> None:
    world.begin(0)
    world.leader.close()
    for follower in world.followers:
        assert follower.decision(0, LOSS) is None
        assert follower.begin(1) is None


def test_who_waits_leaves_when_it_is_asked_to_stop(world: World) -> None:
    world.stop.was_asked = True
    assert world.leader.begin(0) is None
    assert world.followers[0].begin(0) is None


@pytest.mark.parametrize(
    "said",
    [b'{"world": "another", "node": 1}\n{"ready": 0}\n', b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b"half a li", b""],
)
def test_strangers_are_not_heard(world: World, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", world.port)) as stranger:
        stranger.sendall(said)
        world.begin(0)
    assert world.leader.decision(0, LOSS) == LOSS


def test_what_comes_in_one_piece_is_taken_apart(world: World) -> None:
    """Name and readiness of an agent may arrive together."""
    with socket.create_connection(("127.0.0.1", world.port)) as other:
        messages = ({"world": "1-token", "node": 2}, {"ready": 0})
        other.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
        told = world.pool.submit(world.followers[0].begin, 0)
        begun = world.leader.begin(0)
        assert begun is not None
        port, meeting = begun
        assert meeting is not None
        meeting.close()
        assert told.result(30) == (port, None)
