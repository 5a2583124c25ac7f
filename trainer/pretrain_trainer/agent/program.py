"""One run of the agent: import, fork the ranks, watch them, follow the worlds, speak for the ranks at the end."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from pretrain_api.child import ENV_PROGRAM
from pretrain_api.errors import EXIT_FAILURE, EXIT_STOPPED
from pretrain_api.events import ENV_OUTCOME, Outcome, fitted, outcome_at
from pretrain_api.log_tail import heading
from pretrain_api.recoveries import Recovery
from pretrain_api.silence import Silence
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJob
from pretrain_api.world import World
from pretrain_trainer import models, program
from pretrain_trainer.agent import endings, stacks
from pretrain_trainer.agent.board import Board, write_to
from pretrain_trainer.agent.follower import Follower
from pretrain_trainer.agent.hangs import Seen, Watch
from pretrain_trainer.agent.leader import Leader
from pretrain_trainer.agent.peers import Alone, Begun, Peers
from pretrain_trainer.agent.place import ENV_MEMORY, ENV_RECOVERIES, ENV_RESTARTS, ENV_STORE, Place, environment
from pretrain_trainer.agent.preload import preload
from pretrain_trainer.agent.ranks import Ended, Ranks
from pretrain_trainer.agent.restarts import Break, Deaths, Loss, changed, is_recoverable, recovery
from pretrain_trainer.agent.stacks import Stack, innermost
from pretrain_trainer.agent.worlds import One, Told, Worlds, is_next, name_of
from pretrain_trainer.metrics import meters
from pretrain_trainer.process import die_with_parent
from pretrain_trainer.progress import Progress
from pretrain_trainer.stopping import Stop

_LOGGER = logging.getLogger(__name__)
_SETTLE_SECONDS = 0.1
"""After the first fault, the time in which others that ended of the same cause are seen to have."""
_LEAVE_SECONDS = 60.0
"""How long ranks are waited for once one has left as it should."""
_Ending = tuple[Outcome | None, int]
"""Outcome and exit code."""
_STOPPED: _Ending = Outcome(outcome="stopped", message="stopped while it waited for the others"), EXIT_STOPPED
_NOT_MET: _Ending = (
    Outcome(outcome="failed", kind="Join", message="the workers did not find each other"),
    EXIT_FAILURE,
)
_NOTICE_SECONDS = 2.0
"""How long after a stop was asked for a world without this machine is waited for."""
_JOINERS_SECONDS = 120.0
"""How long training goes on without those that a planned world takes in and that do not come."""
_LOOK_SECONDS = 0.1
"""Time between two looks at the board while ranks recover."""
_WATCH_SECONDS = 0.5
"""And otherwise."""
_SPEAKERS = 3
"""So many followers tell the operator that their leader is silent; more of them would only repeat it."""


def main(arguments: list[str] | None = None) -> int:
    """Run the training and return the exit code."""
    options = _parser().parse_args(arguments)
    own = options.program[1:] if options.program[:1] == ["--"] else options.program
    die_with_parent()
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("pretrain_trainer").setLevel(logging.INFO)
    if options.worlds is None:
        worlds: Worlds = One(Place(options.ranks, 1, 0, "127.0.0.1", 0, "1"))
    else:
        worlds = Told(options.worlds, options.uid, options.attempt, options.ranks)
    stop = Stop()
    job = _preloaded(own)
    with tempfile.TemporaryDirectory(prefix="pretrain-agent-") as folder:
        outcome, code = Agent(worlds, options.ranks, own, Path(folder), stop, job).run()
    path = os.environ.get(ENV_OUTCOME)
    if outcome and path:
        Path(path).write_bytes(fitted(outcome))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pretrain_trainer.agent",
        description="Trains with several ranks on this machine, alone or with the agents of other machines.",
        epilog="example: python -m pretrain_trainer.agent --ranks 2 -- --stage Train --job job.json",
    )
    parser.add_argument("--ranks", type=int, default=1, help="how many ranks train on this machine")
    parser.add_argument(
        "--worlds",
        type=int,
        metavar="DESCRIPTOR",
        help="pipe that tells who trains together; without it this machine alone",
    )
    parser.add_argument("--uid", default="", help="with --worlds: what this machine is called in them")
    parser.add_argument(
        "--attempt", type=int, default=1, help="with --worlds: the start of training that it belongs to"
    )
    parser.add_argument("program", nargs=argparse.REMAINDER, help="arguments of python -m pretrain_trainer")
    return parser


def _preloaded(own: Sequence[str]) -> PretrainJob | None:
    """Import what the job needs; the job. Whatever is wrong with the arguments or the job, the stage program says it."""
    known = argparse.ArgumentParser(add_help=False)
    known.add_argument("--job", type=Path, default=Path())
    path = known.parse_known_args(own)[0].job
    with contextlib.suppress(OSError, ValueError):  # pydantic's are ValueErrors
        job = PretrainJob.model_validate_json(path.read_bytes())
        models.import_lean(job.spec)
        preload(job.spec)
        return job
    return None


@dataclass(frozen=True)
class _Calls:
    """What ends the waiting for peers."""

    stop: Stop
    worlds: Worlds
    place: Place

    def descriptors(self) -> list[int]:
        return [*self.stop.descriptors(), *self.worlds.descriptors()]

    def have_come(self) -> bool:
        return self.stop.was_asked or self.worlds.newer(self.place) is not None


class Agent:
    """The life of a training on this machine: one world after the other, and in each one attempt after the other, while
    a new one can help."""

    def __init__(
        self, worlds: Worlds, ranks: int, own: Sequence[str], folder: Path, stop: Stop, job: PretrainJob | None
    ) -> None:
        """`job`: None where it cannot be read."""
        self._worlds, self._own, self._folder, self._stop = worlds, own, folder, stop
        self._hang_seconds = job.spec.recovery.hang_timeout_seconds if job else 0
        self._meters = meters.of_agent((job.metadata.namespace, job.metadata.name)) if job else None
        self._recoveries = folder / "recoveries.jsonl"
        self._memory = [os.memfd_create(f"rank {local}") for local in range(ranks)]
        self._stacks = [Stack(local) for local in range(ranks)]
        self._board, self._deaths = Board(ranks), Deaths()
        self._starts = 0
        """How often ranks were started."""
        self._reached = -1
        """Steps done before the break that training has not come back from yet."""
        self._broken_at: float | None = None
        """When the newest world's training was broken off."""
        self._joiners_since: float | None = None
        """Since when those that come to the next world are waited for."""
        self._told_of: frozenset[int] = frozenset()
        """Machines of this world that the operator was told of."""

    def run(self) -> _Ending:
        """Until the training has ended; outcome and exit code."""
        before, ending = None, _STOPPED
        while place := self._worlds.next(before, self._stop):
            past = None if before is None or self._board.step < 0 else self._changed(before, place)
            self._place, self._broken_at, self._joiners_since, self._told_of = place, None, None, frozenset()
            self._progress = Progress(Stage.TRAIN, path=None if place.node == 0 else "")
            ending, is_over = self._trained(past)
            if is_over:
                return ending
            before = place
        return _STOPPED if self._stop.was_asked else ending

    def _trained(self, past: Break | None) -> tuple[_Ending, bool]:
        """Train in a world: how it ended, and whether that is the end. Otherwise another world may follow."""
        with contextlib.closing(self._peers()) as peers:
            attempt, ending = 0, _NOT_MET
            while not self._stop.was_asked and (begun := peers.begin(attempt, self._deaths.count)):
                self._deaths = replace(self._deaths, count=max(self._deaths.count, begun.breaks))
                said = self._folder / f"outcome-{self._place.generation}-{attempt}.json"
                self._board = board = Board(self._place.ranks)
                ranks = self._started(begun, said, attempt)
                try:
                    ended, at = self._watched(ranks, peers, attempt, past)
                finally:
                    ranks.kill()
                ending, self._broken_at = endings.ending(ended, outcome_at(said), self._stop.was_asked), at
                if self._stop.was_asked or _is_final(ending[0]):
                    return ending, True
                if not any(endings.is_fault(each) for each in ended):
                    return ending, not self._worlds.may_change  # they left, and this agent was not asked to
                loss = peers.decision(attempt, self._own_loss(*ending))
                if loss is None:
                    ending = _hung(peers.given_up) if peers.given_up else ending
                    break
                self._deaths = self._deaths.and_one(board.step)
                past = self._killed(loss, at)
                attempt += 1
            self._tell_of(peers)
            goes_on = self._worlds.may_change and (peers.has_lost_one or self._worlds.newer(self._place) is not None)
            return (_STOPPED if self._stop.was_asked else ending), not goes_on

    def _changed(self, before: Place, after: Place) -> Break:
        """The break between two worlds in which this machine was."""
        kind, worker = changed(before, after)
        self._deaths = self._deaths.and_a_change(self._board.step)
        now, world = time.monotonic(), self._worlds.newer(before)
        cause = world.reason if world else ""
        self._reached = max(self._reached, self._board.step)
        self._tell_of_a_break("roster")
        at = self._broken_at or now
        lost = datetime.now(UTC) - timedelta(seconds=now - at)
        return Break(kind, cause, self._deaths, at, lost, self._reached, now, worker=worker)

    def _killed(self, loss: Loss, at: float) -> Break:
        now, self._reached = time.monotonic(), max(self._reached, self._board.step)
        self._tell_of_a_break("hang" if loss.hang else "killed")
        return Break(
            "Restart",
            loss.cause,
            self._deaths,
            at - loss.stood,
            datetime.now(UTC) - timedelta(seconds=loss.stood),
            self._reached,
            now,
            rank=loss.rank,
            node=loss.node,
        )

    def _peers(self) -> Peers:
        calls = _Calls(self._stop, self._worlds, self._place)
        if not self._worlds.may_change:
            return Alone(self._place, self._may_go_on)
        if self._place.node == 0:
            return Leader(self._place, calls, self._may_go_on)
        return Follower(self._place, calls)

    def _may_go_on(self) -> bool:
        return not self._deaths.and_one(self._board.step).are_too_many

    def _own_loss(self, outcome: Outcome | None, code: int) -> Loss | None:
        """The rank of this machine that was killed, if that is why the attempt ended."""
        if outcome is None or not is_recoverable(outcome):
            return None
        loss = Loss(outcome.rank, code, self._place.node)
        _LOGGER.error("rank %d: %s", loss.rank, loss.cause)
        return loss

    def _started(self, begun: Begun, said: Path, attempt: int) -> Ranks:
        """The ranks, with a place to meet: rank 0 serves it from a socket that is bound already, so no port can be lost
        to somebody else in between."""
        ranks, meeting = Ranks(), begun.meeting
        self._starts += 1
        if self._starts > 1:
            print(heading("ranks", self._starts), file=sys.stderr)  # noqa: T201 - the log of all attempts is one
        for local in range(self._place.ranks):
            own = environment(self._place, begun.port, local, attempt)
            own |= {ENV_OUTCOME: str(said), ENV_PROGRAM: str(os.getpid()), ENV_MEMORY: ",".join(map(str, self._memory))}
            own |= {ENV_RECOVERIES: str(self._recoveries), ENV_RESTARTS: str(self._deaths.count)}
            not_its = self._worlds.descriptors()
            if meeting and local == 0:
                own[ENV_STORE] = str(meeting.fileno())
            elif meeting:
                not_its.append(meeting.fileno())
            ranks.start(self._place.first_rank + local, own, partial(self._be, local), not_its)
        if meeting:
            meeting.close()
        return ranks

    def _be(self, local: int) -> int:
        """In the child: the stage program as one rank."""
        write_to(self._board, local)
        self._stacks[local].answer()
        return program.main(list(self._own))

    def _watched(self, ranks: Ranks, peers: Peers, attempt: int, past: Break | None) -> tuple[list[Ended], float]:
        """Until all ranks have ended: how, and when the first did. A fault, here or elsewhere, ends the others, which
        can do nothing without it."""
        ended: list[Ended] = []
        first, notice = 0.0, _Notice(self._stop, ranks, _NOTICE_SECONDS if self._worlds.may_change else 0.0)
        watch = Watch(self._board, self._hang_seconds)
        while ranks.are_alive:
            others = [*self._stop.descriptors(), *self._worlds.descriptors(), *peers.descriptors()]
            is_due = past or notice.is_given or self._joiners_since is not None
            ended += ranks.wait(_LOOK_SECONDS if is_due else _WATCH_SECONDS, others)
            if watch.look(time.monotonic()):
                peers.stuck(attempt)
            if peers.wants_a_look:
                peers.saw(attempt, self._seen(ranks, watch))
            if past and (told := recovery(past, self._board)):
                self._tell(told)
                past, self._reached = None, -1
            newer = self._worlds.newer(self._place)
            is_planned = newer is not None and is_next(self._place, newer)
            if newer and is_planned and not self._board.calls_together and self._is_time_for(newer, peers):
                first = first or time.monotonic()
                self._board.call_together()
            is_called = not ended and (peers.call(attempt) or bool(newer and not is_planned))
            self._tell_of(peers)
            first = first or (time.monotonic() if ended or is_called else 0.0)
            if is_called:
                ended += ranks.wait_for_all(0.0)
            elif any(endings.is_fault(each) for each in ended):
                ended += ranks.wait_for_all(_SETTLE_SECONDS)
            elif ended:
                ended += ranks.wait_for_all(_LEAVE_SECONDS)
            elif not newer:
                notice.heed()
        return ended, first

    def _seen(self, ranks: Ranks, watch: Watch) -> list[Seen]:
        """What the ranks of this machine are at, by their own word; their stacks go to the log."""
        for stack in self._stacks:
            stack.clear()
        ranks.ask_for_stacks()
        stacks.wait_for(self._stacks)
        seen = []
        for local, stack in enumerate(self._stacks):
            rank, text = self._place.first_rank + local, stack.read()
            seconds, phase = watch.seconds(local), self._board.phase(local)
            what = text or "it does not run: no stack"
            _LOGGER.warning("rank %d made no progress for %.0f s (%s):\n%s", rank, seconds, phase.name.lower(), what)
            seen.append(Seen(rank, self._place.node, int(phase), round(seconds, 1), innermost(text)))
        return seen

    def _tell(self, told: Recovery) -> None:
        """Tell the operator, and the first rank, which writes it into the history of the steps."""
        with open(self._recoveries, "a", encoding="utf-8") as file:
            file.write(told.model_dump_json() + "\n")
        self._progress.recovered(told)

    def _tell_of_a_break(self, reason: str) -> None:
        if self._meters:
            self._meters.broke_off(reason)

    def _tell_of(self, peers: Peers) -> None:
        """Tell the operator of machines that it may still see run: the leader does, and of the leader some others."""
        silent, gone = peers.silent, peers.gone
        lost = silent | gone
        if lost != self._told_of and (self._place.node == 0 or (0 in lost and self._place.node <= _SPEAKERS)):
            workers, ended = (tuple(self._place.machines[node] for node in sorted(nodes)) for nodes in (silent, gone))
            why = f"{self._place.machines[self._place.node]} has lost them"
            told = Silence(generation=self._place.generation, workers=workers, gone=ended, why=why)
            Progress(Stage.TRAIN).silent(told)
            self._told_of = lost

    def _is_time_for(self, newer: World, peers: Peers) -> bool:
        """Whether to change over to a planned world now. Where the leader stays it is its to say, once those that come have
        imported what they need and ask for the world: until then training goes on."""
        if newer.roster[0].pod != self._place.machines[0]:
            return True
        if self._place.node:
            return False
        self._joiners_since = self._joiners_since or time.monotonic()
        come = sum(member.pod not in self._place.machines for member in newer.roster)
        waited = time.monotonic() - self._joiners_since
        return peers.asks_for(name_of(newer)) >= come or waited > _JOINERS_SECONDS


class _Notice:
    """A stop that was asked for. Where the roster may change, whoever asks this machine to leave may have told the others
    to go on without it: then they change over at the end of a step and nothing need be saved, so it is heeded later."""

    def __init__(self, stop: Stop, ranks: Ranks, seconds: float) -> None:
        self._stop, self._ranks, self._seconds = stop, ranks, seconds
        self._since: float | None = None
        self._is_passed_on = False

    @property
    def is_given(self) -> bool:
        return self._stop.was_asked and not self._is_passed_on

    def heed(self) -> None:
        """Ask the ranks to save and leave once it is time."""
        if not self.is_given:
            return
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since >= self._seconds:
            self._is_passed_on = True
            self._ranks.ask_to_stop()


def _hung(loss: Loss) -> _Ending:
    return Outcome(outcome="failed", kind="Hang", rank=loss.rank, message=loss.hang), EXIT_FAILURE


def _is_final(outcome: Outcome | None) -> bool:
    """Whether another world would end in the same way."""
    return outcome is not None and outcome.outcome in ("complete", "userError")
