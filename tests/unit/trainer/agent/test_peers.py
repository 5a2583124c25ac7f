"""Agents that agree on starting their ranks again, over real connections: the leader here, the others on threads."""

import errno
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from pretrain_trainer.agent import follower as followers
from pretrain_trainer.agent import leader as leaders
from pretrain_trainer.agent.board import Phase
from pretrain_trainer.agent.follower import Follower
from pretrain_trainer.agent.hangs import Seen
from pretrain_trainer.agent.leader import Leader
from pretrain_trainer.agent.peers import Alone, Begun
from pretrain_trainer.agent.place import Place
from pretrain_trainer.agent.restarts import Loss

NODES = 3
LOSS = Loss(rank=1, code=137, node=1)


class Calls:
    """What ends all waiting, here at a word of the test."""

    def __init__(self) -> None:
        self.came = False

    def descriptors(self) -> list[int]:
        return []

    def have_come(self) -> bool:
        return self.came


class World:
    """The agents of three machines."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.pool, self.calls, self.may_go_on = pool, Calls(), True
        self.leader = Leader(self.place(0), self.calls, lambda: self.may_go_on)
        self.followers = [Follower(self.place(node), self.calls) for node in range(1, NODES)]

    def place(self, node: int) -> Place:
        return Place(ranks=1, nodes=NODES, node=node, address="127.0.0.1", port=self.port, world="1-token")

    def others(self, action: Callable[[Follower], object]) -> list["Future[object]"]:
        return [self.pool.submit(action, follower) for follower in self.followers]

    def begin(self, attempt: int) -> int:
        """All begin an attempt; the port, which every one of them was told."""
        told = self.others(lambda follower: follower.begin(attempt, 0))
        port = met(self.leader.begin(attempt, attempt))
        assert [future.result(30) for future in told] == [Begun(port, attempt)] * (NODES - 1)
        return port

    def close(self) -> None:
        for each in (self.leader, *self.followers):
            each.close()


def met(begun: Begun | None) -> int:
    """The port at which ranks would meet."""
    assert begun is not None
    assert begun.meeting is not None
    begun.meeting.close()
    return begun.port


@pytest.fixture
def world() -> Iterator[World]:
    with ThreadPoolExecutor(NODES) as pool:
        found = World(pool)
        yield found
        found.close()


def test_an_attempt_begins_when_all_are_ready_and_each_has_a_place_of_its_own(world: World) -> None:
    assert world.begin(0) != world.begin(1)


def test_breaks_are_counted_on_where_another_machine_leads(world: World) -> None:
    told = [
        world.pool.submit(follower.begin, 0, breaks) for follower, breaks in zip(world.followers, (7, 2), strict=True)
    ]
    port = met(world.leader.begin(0, 0))
    assert [future.result(30) for future in told] == [Begun(port, 7)] * 2


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
    monkeypatch.setattr(leaders, "SETTLE_SECONDS", 0.2)
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


def test_the_loss_of_an_agent_ends_the_world_and_not_the_training(world: World) -> None:
    world.begin(0)
    assert not world.leader.has_lost_one
    world.followers[1].close()
    world.leader._wait(30)
    told = world.pool.submit(world.followers[0].decision, 0, LOSS)
    assert world.leader.decision(0, LOSS) is None
    assert world.leader.begin(1, 1) is None
    assert told.result(30) is None
    assert [each.has_lost_one for each in (world.leader, world.followers[0])] == [True, True]


def test_so_does_the_loss_of_the_leader(world: World) -> None:
    world.begin(0)
    world.leader.close()
    for follower in world.followers:
        assert follower.decision(0, LOSS) is None
        assert follower.has_lost_one
        assert follower.begin(1, 1) is None


def killed(one: Leader | Follower) -> None:
    """Its process ends: the kernel closes what it had open, and nothing is said."""
    links = [*one._strangers, *one._links.values()] if isinstance(one, Leader) else [one._link]
    for link in links:
        assert link is not None
        link.close()


def test_an_agent_that_is_killed_is_gone_and_one_that_leaves_is_not(world: World) -> None:
    world.begin(0)
    killed(world.followers[0])
    world.followers[1].close()
    world.leader._wait(30)
    world.leader._wait(0.1)
    assert (world.leader.gone, world.leader.silent) == ({1}, frozenset())
    assert world.leader.has_lost_one


def test_a_leader_that_is_killed_is_gone(world: World) -> None:
    world.begin(0)
    world.leader._tell({"lost": 0})
    killed(world.leader)
    assert world.followers[0].decision(0, LOSS) is None
    world.followers[0]._wait(1)
    assert world.followers[0].gone == {0}
    assert world.followers[0].has_lost_one


def test_a_leader_that_leaves_is_not_gone(world: World) -> None:
    world.begin(0)
    world.leader.close()
    for follower in world.followers:
        assert follower.decision(0, LOSS) is None
        assert (follower.gone, follower.has_lost_one) == (frozenset(), True)


def test_who_closes_the_door_before_a_world_has_begun_is_not_gone(world: World) -> None:
    """It may have led the world before, and knows nothing of this one."""
    follower = world.followers[0]
    follower._join(float("inf"))
    world.leader._wait(30)
    killed(world.leader)
    follower._wait(30)
    assert follower.gone == frozenset()


def test_a_machine_whose_kernel_does_not_answer_is_silent_and_one_that_closes_is_not(world: World) -> None:
    """Its kernel's silence is what the own kernel ends a connection with, after the probes."""
    world.begin(0)
    vanished = TimeoutError(errno.ETIMEDOUT, "no answer to the probes")
    world.followers[0].close()
    world.leader._wait(30)
    assert (world.leader.has_lost_one, world.leader.silent) == (True, frozenset())
    world.leader._links[2]._lose(vanished)
    assert world.leader.call(0)
    assert world.leader.silent == {2}
    link = world.followers[1]._link
    assert link is not None
    link._lose(vanished)
    assert world.followers[1].call(0)
    assert world.followers[1].silent == {0}


def test_once_the_end_was_told_nobody_is_lost(world: World) -> None:
    world.begin(0)
    world.may_go_on = False
    told = world.others(lambda f: f.decision(0, LOSS))
    assert world.leader.decision(0, LOSS) is None
    assert [future.result(30) for future in told] == [None, None]
    world.leader.close()
    for follower in world.followers:
        follower._hear()
        assert not follower.has_lost_one


def test_who_waits_leaves_at_a_call(world: World) -> None:
    world.calls.came = True
    assert world.leader.begin(0, 0) is None
    assert world.followers[0].begin(0, 0) is None


def test_a_leader_that_knows_of_another_world_lets_the_others_wait_for_it(world: World) -> None:
    world.begin(0)
    told = world.pool.submit(world.followers[0].decision, 0, LOSS)
    world.leader._wait(30)
    world.calls.came = True
    assert world.leader.decision(0, None) is None
    assert told.result(30) is None
    world.followers[0]._wait(1)
    assert world.followers[0].has_lost_one


def test_who_comes_while_the_world_before_still_answers_asks_again(world: World) -> None:
    """The leader's door closes with its old world and opens anew with the next."""
    early = world.followers[0]
    early._place = replace(early._place, world="2-token")
    world.leader.close()
    old = Leader(replace(world.place(0), nodes=2), world.calls, lambda: True)
    told = world.pool.submit(early.begin, 0, 0)
    old._wait(30)
    while old._strangers:
        old._wait(30)
    old.close()
    world.leader = Leader(replace(world.place(0), nodes=2, world="2-token"), world.calls, lambda: True)
    port = met(world.leader.begin(0, 4))
    assert told.result(30) == Begun(port, 4)


@pytest.mark.parametrize(
    "said",
    [
        b'{"world": "another", "node": 1}\n{"ready": 0, "breaks": 0}\n',
        b"GET / HTTP/1.1\r\n\r\n",
        b"[1]\n",
        b"half a li",
        b"",
    ],
)
def test_strangers_are_not_heard(world: World, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", world.port)) as stranger:
        stranger.sendall(said)
        world.begin(0)
    assert world.leader.decision(0, LOSS) == LOSS


def test_what_comes_in_one_piece_is_taken_apart(world: World) -> None:
    """Name and readiness of an agent may arrive together."""
    with socket.create_connection(("127.0.0.1", world.port)) as other:
        messages = ({"world": "1-token", "node": 2}, {"ready": 0, "breaks": 0})
        other.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
        told = world.pool.submit(world.followers[0].begin, 0, 0)
        port = met(world.leader.begin(0, 0))
        assert told.result(30) == Begun(port, 0)


def test_a_leader_hears_who_is_ready_for_the_next_world(world: World) -> None:
    world.begin(0)
    for node in (1, 1, 2):
        with socket.create_connection(("127.0.0.1", world.port)) as early:
            early.sendall(json.dumps({"world": "2-token", "node": node}).encode() + b"\n")
            world.leader._wait(30)
    world.leader._wait(0.2)
    assert (world.leader.asks_for("2-token"), world.leader.asks_for("3-token")) == (2, 0)
    assert not world.leader.has_lost_one


def seen(node: int, phase: Phase = Phase.TOGETHER, where: str = "loop.py:1 in sum") -> list[Seen]:
    """What a machine's one rank is at."""
    return [Seen(node, node, int(phase), 12.0, where)]


class TestHang:
    def test_is_blamed_on_a_rank_once_all_have_told_what_theirs_are_at(self, world: World) -> None:
        world.begin(0)
        first, second = world.followers
        first.stuck(0)
        world.leader._wait(30)
        assert world.leader.wants_a_look
        world.leader.saw(0, seen(0))
        for follower in world.followers:
            follower._wait(30)
            assert follower.wants_a_look
        first.saw(0, seen(1))
        world.leader._wait(30)
        assert not world.leader.call(0)
        second.saw(0, seen(2, Phase.COMPUTING, "loop.py:7 in _step"))
        world.leader._wait(30)
        assert world.leader.call(0)
        told = world.others(lambda f: f.decision(0, None))
        loss = world.leader.decision(0, None)
        assert loss is not None
        assert (loss.rank, loss.node) == (2, 2)
        assert loss.cause == "rank 2 made no progress for 12 s at loop.py:7 in _step"
        assert [future.result(30) for future in told] == [loss, loss]
        world.begin(1)

    def test_is_none_while_a_rank_waits_for_storage_and_nobody_is_asked_again_at_once(self, world: World) -> None:
        world.begin(0)
        first, second = world.followers
        first.stuck(0)
        world.leader._wait(30)
        world.leader.saw(0, seen(0))
        first.saw(0, seen(1))
        second.saw(0, seen(2, Phase.READING))
        for _ in range(4):
            world.leader._wait(0.2)
        assert not world.leader.call(0)
        world.leader.stuck(0)
        assert not world.leader.wants_a_look
        first.call(0)
        assert first._asked is None

    def test_ends_all_where_there_were_too_many(self, world: World) -> None:
        world.begin(0)
        world.may_go_on = False
        for follower in world.followers:
            follower.saw(0, seen(follower._place.node))
        world.leader.stuck(0)
        world.leader.saw(0, seen(0, where=""))
        while not world.leader.call(0):
            world.leader._wait(0.2)
        for follower in world.followers:
            while not follower.call(0):
                follower._wait(1)
            assert follower.decision(0, None) is None
            assert follower.given_up == world.leader.given_up
        assert world.leader.decision(0, None) is None
        assert world.leader.given_up is not None
        assert world.leader.given_up.hang == "rank 0 does not run"

    def test_of_a_whole_machine_is_its_silence(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leaders, "ANSWER_SECONDS", 0.3)
        world.begin(0)
        world.leader.stuck(0)
        world.leader.saw(0, seen(0))
        world.followers[0].saw(0, seen(1))
        while not world.leader.call(0):
            world.leader._wait(0.1)
        assert world.leader.silent == {2}
        assert world.leader.has_lost_one
        assert world.leader.decision(0, None) is None
        assert world.leader.given_up is None

    def test_of_the_leaders_machine_is_found_out_by_the_others(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(followers, "ANSWER_SECONDS", 0.3)
        world.begin(0)
        follower = world.followers[0]
        while not follower.call(0):
            follower.stuck(0)
            follower._wait(0.1)
        assert follower.silent == {0}
        assert follower.has_lost_one
        assert follower.decision(0, None) is None
        assert follower.begin(1, 0) is None

    def test_of_a_lone_machine_is_its_own_to_judge(self, world: World) -> None:
        may_go_on = [True]
        alone = Alone(world.place(0), lambda: may_go_on[0])
        met(alone.begin(0, 0))
        alone.stuck(0)
        assert alone.wants_a_look
        alone.saw(0, [*seen(0), *seen(1, where="")])
        assert alone.call(0)
        loss = alone.decision(0, None)
        assert loss is not None
        assert (loss.rank, loss.hang) == (1, "rank 1 does not run")
        may_go_on[0] = False
        assert alone.decision(0, None) is None
        assert alone.given_up == loss
        met(alone.begin(1, 1))
        assert not alone.call(1)


class TestNotReadyAgain:
    def test_a_machine_that_froze_between_two_attempts_is_silent(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leaders, "AGAIN_SECONDS", 0.3)
        world.begin(0)
        told = world.pool.submit(world.followers[0].begin, 1, 1)
        assert world.leader.begin(1, 1) is None
        assert world.leader.silent == {2}
        assert world.leader.decision(1, None) is None
        assert told.result(30) is None
        assert world.followers[0].silent == frozenset()

    def test_so_is_a_leader(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(followers, "AGAIN_SECONDS", 0.3)
        monkeypatch.setattr(followers, "ANSWER_SECONDS", 0.0)
        world.begin(0)
        assert world.followers[0].begin(1, 1) is None
        assert world.followers[0].silent == {0}
