"""What is seen of a roster's members, and what their neighbours say of them."""

import pytest
from support.jobs import a_job
from support.stage_runs import NOON
from support.worlds import a_worker, a_world, evicted, killed

from pretrain_api.silence import Silence
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import World as Summary
from pretrain_api.world import World
from pretrain_operator.brain import roster, world
from pretrain_operator.brain.observed import Observed, Worker

THREE = tuple(a_worker(n) for n in range(3))
WORLD = a_world(0, 1, 2)
SPEC = a_job().with_spec(workers={"min": 1, "max": 3}).spec


def heard(*silent: int, generation: int = WORLD.generation) -> Observed:
    names = tuple(THREE[n].pod for n in silent)
    told = Silence(generation=generation, workers=names, why="they do not answer")
    return roster.heard(Observed(NOON, workers=THREE, world=WORLD, silence=told), SPEC)


class TestSilence:
    def test_is_the_loss_of_a_worker_that_looks_well_from_here(self) -> None:
        first, second, third = roster.members(WORLD, heard(1))
        assert [w.state for w in (first, second, third)] == ["Running", "Lost", "Running"]
        assert (second.reason, second.is_alive) == (roster.SILENT, False)

    def test_in_another_roster_is_no_matter(self) -> None:
        assert heard(1, generation=WORLD.generation - 1).workers == THREE

    def test_of_most_others_is_that_of_the_one_who_tells(self) -> None:
        assert heard(1, 2).workers == THREE

    def test_of_nobody_is_nothing(self) -> None:
        assert heard().workers == THREE
        unknown = Silence(generation=WORLD.generation, workers=("another-job-w1",), why="?")
        assert roster.heard(Observed(NOON, workers=THREE, world=WORLD, silence=unknown), SPEC).workers == THREE

    @pytest.mark.parametrize("silence", [None, Silence(generation=1, workers=("x",), why="?")])
    def test_without_a_roster_is_nothing(self, silence: Silence | None) -> None:
        observed = Observed(NOON, workers=THREE, silence=silence)
        assert roster.heard(observed, SPEC) is observed

    def test_adds_nothing_to_a_loss_that_is_seen(self) -> None:
        workers = (THREE[0], evicted(1), THREE[2])
        told = Silence(generation=WORLD.generation, workers=(THREE[1].pod,), why="?")
        assert roster.heard(Observed(NOON, workers=workers, world=WORLD, silence=told), SPEC).workers == workers


def told_of(*gone: int, workers: tuple[Worker, ...] = THREE, spec: PretrainJobSpec = SPEC) -> Observed:
    told = Silence(generation=1, workers=(), gone=tuple(THREE[n].pod for n in gone), why="they do not answer")
    return roster.heard(Observed(NOON, workers=workers, world=WORLD, silence=told), spec)


class TestGone:
    def test_is_lost_before_its_machine_says_so(self) -> None:
        second = told_of(1).workers[1]
        assert (second.state, second.reason, second.is_alive) == ("Lost", roster.GONE, False)

    def test_may_be_most_of_them(self) -> None:
        """Their machines have ended the connections, which whoever is cut off does not see."""
        assert [w.state for w in told_of(1, 2).workers] == ["Running", "Lost", "Lost"]

    def test_adds_nothing_to_an_end_that_is_seen(self) -> None:
        workers = (THREE[0], killed(1), THREE[2])
        assert told_of(1, workers=workers).workers == workers

    def test_is_waited_for_where_the_attempt_ends_of_it(self) -> None:
        """How it ended decides what that is."""
        assert told_of(0, 1, 2).workers == THREE
        failed = a_worker(0, state="Ended", is_alive=False, exit_code=1)
        assert told_of(1, workers=(failed, *THREE[1:])).workers == (failed, *THREE[1:])
        queued = a_job().with_spec(workers={"min": 1, "max": 3}, scheduling={"queueName": "research"}).spec
        assert told_of(1, spec=queued).workers == THREE


def test_a_silent_member_is_left_out_without_asking_it() -> None:
    """The others cannot agree on a step with one that does not answer."""
    status = PretrainJobStatus(world=Summary(generation=1, workers=3))
    following = world.next_world(status, SPEC, heard(0), WORLD.attempt)
    assert isinstance(following, World)
    assert [m.worker for m in following.roster] == [1, 2]
    assert not following.planned
