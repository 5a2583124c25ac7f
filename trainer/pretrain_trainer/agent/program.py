"""One run of the agent: import, fork the ranks, watch them, speak for them at the end."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pretrain_api import exits
from pretrain_api.child import ENV_PROGRAM
from pretrain_api.errors import EXIT_FAILURE, EXIT_STOPPED
from pretrain_api.events import ENV_OUTCOME, Outcome, fitted, outcome_at
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJob
from pretrain_trainer import program
from pretrain_trainer.agent import endings
from pretrain_trainer.agent.board import Board, write_to
from pretrain_trainer.agent.peers import Alone, Follower, Leader, Peers
from pretrain_trainer.agent.place import ENV_MEMORY, ENV_STORE, Place, environment
from pretrain_trainer.agent.preload import preload
from pretrain_trainer.agent.ranks import Ended, Ranks
from pretrain_trainer.agent.restarts import Death, Deaths, Loss, is_recoverable, recovery
from pretrain_trainer.process import die_with_parent
from pretrain_trainer.progress import Progress
from pretrain_trainer.stopping import Stop

_LOGGER = logging.getLogger(__name__)
_SETTLE_SECONDS = 0.1
"""After the first fault, the time in which others that ended of the same cause are seen to have."""
_LEAVE_SECONDS = 60.0
"""How long ranks are waited for once one has left as it should."""
_STOPPED = Outcome(outcome="stopped", message="stopped before training began"), EXIT_STOPPED
_NOT_MET = Outcome(outcome="failed", kind="Join", message="the workers did not find each other"), EXIT_FAILURE
_LOOK_SECONDS = 0.1
"""Time between two looks at the board while ranks recover."""


def main(arguments: list[str] | None = None) -> int:
    """Run the training and return the exit code."""
    options = _parser().parse_args(arguments)
    own = options.program[1:] if options.program[:1] == ["--"] else options.program
    die_with_parent()
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("pretrain_trainer").setLevel(logging.INFO)
    host, _, port = options.master.rpartition(":")
    place = Place(options.ranks, options.nodes, options.node_rank, host, int(port), options.world)
    _preloaded(own)
    with tempfile.TemporaryDirectory(prefix="pretrain-agent-") as folder:
        outcome, code = Agent(place, own, Path(folder)).run()
    path = os.environ.get(ENV_OUTCOME)
    if outcome and path:
        Path(path).write_bytes(fitted(outcome))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pretrain_trainer.agent",
        description="Trains with several ranks on this machine.",
        epilog="example: python -m pretrain_trainer.agent --ranks 2 -- --stage Train --job job.json",
    )
    parser.add_argument("--ranks", type=int, default=1, help="how many ranks train on this machine")
    parser.add_argument("--nodes", type=int, default=1, help="how many machines train together")
    parser.add_argument("--node-rank", type=int, default=0, help="which of them this one is, from 0")
    parser.add_argument("--master", default="127.0.0.1:0", metavar="HOST:PORT", help="where they meet: the first one")
    parser.add_argument("--world", default="1", help="a name that all of them give, and nobody else")
    parser.add_argument("program", nargs=argparse.REMAINDER, help="arguments of python -m pretrain_trainer")
    return parser


def _preloaded(own: Sequence[str]) -> None:
    """Whatever is wrong with the arguments or the job, the stage program says it."""
    known = argparse.ArgumentParser(add_help=False)
    known.add_argument("--job", type=Path, default=Path())
    path = known.parse_known_args(own)[0].job
    with contextlib.suppress(OSError, ValueError):  # pydantic's are ValueErrors
        preload(PretrainJob.model_validate_json(path.read_bytes()).spec)


class Agent:
    """The life of a training on this machine: one attempt after the other while a new one can help."""

    def __init__(self, place: Place, own: Sequence[str], folder: Path) -> None:
        self._place, self._own, self._folder, self._stop = place, own, folder, Stop()
        self._memory = [os.memfd_create(f"rank {local}") for local in range(place.ranks)]
        self._progress = Progress(Stage.TRAIN, path=None if place.node == 0 else "")
        self._board, self._deaths = Board(place.ranks), Deaths()

    def run(self) -> tuple[Outcome | None, int]:
        """Until the training has ended; outcome and exit code."""
        with contextlib.closing(self._peers()) as peers:
            attempt, death = 0, None
            ending: tuple[Outcome | None, int] = _NOT_MET
            while not self._stop.was_asked and (begun := peers.begin(attempt)):
                self._board, said = Board(self._place.ranks), self._folder / f"outcome-{attempt}.json"
                ranks = self._started(*begun, said, attempt)
                try:
                    with self._stop.passed_on(ranks.ask_to_stop):
                        ended, at = self._watched(ranks, peers, attempt, death)
                finally:
                    ranks.kill()
                ending = endings.ending(ended, outcome_at(said), self._stop.was_asked)
                if self._stop.was_asked or not any(endings.is_fault(each) for each in ended):
                    return ending
                loss = peers.decision(attempt, self._own_loss(*ending))
                if loss is None:
                    return ending
                self._deaths = self._deaths.and_one(self._board.step)
                death = Death(loss, self._deaths, at, datetime.now(UTC), time.monotonic())
                attempt += 1
            return _STOPPED if self._stop.was_asked else ending

    def _peers(self) -> Peers:
        if self._place.nodes == 1:
            return Alone(self._place, self._may_go_on)
        if self._place.node == 0:
            return Leader(self._place, self._stop, self._may_go_on)
        return Follower(self._place, self._stop)

    def _may_go_on(self) -> bool:
        return not self._deaths.and_one(self._board.step).are_too_many

    def _own_loss(self, outcome: Outcome | None, code: int) -> Loss | None:
        """The rank of this machine that was killed, if that is why the attempt ended."""
        if outcome is None or not is_recoverable(outcome):
            return None
        _LOGGER.error("rank %d: %s", outcome.rank, exits.in_words(code))
        return Loss(outcome.rank, code, self._place.node)

    def _started(self, port: int, meeting: socket.socket | None, said: Path, attempt: int) -> Ranks:
        """The ranks, with a place to meet: rank 0 serves it from a socket that is bound already, so no port can be lost
        to somebody else in between."""
        ranks = Ranks()
        for local in range(self._place.ranks):
            own = environment(self._place, port, local, attempt)
            own |= {ENV_OUTCOME: str(said), ENV_PROGRAM: str(os.getpid()), ENV_MEMORY: ",".join(map(str, self._memory))}
            not_its = []
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
        return program.main(list(self._own))

    def _watched(self, ranks: Ranks, peers: Peers, attempt: int, death: Death | None) -> tuple[list[Ended], float]:
        """Until all ranks have ended: how, and when the first did. A fault, here or elsewhere, ends the others, which
        can do nothing without it."""
        ended: list[Ended] = []
        first = 0.0
        while ranks.are_alive:
            ended += ranks.wait(_LOOK_SECONDS if death else None, [*self._stop.descriptors(), *peers.descriptors()])
            if death and (told := recovery(death, self._board)):
                self._progress.recovered(told)
                death = None
            is_called = not ended and peers.call(attempt)
            first = first or (time.monotonic() if ended or is_called else 0.0)
            if is_called:
                ended += ranks.wait_for_all(0.0)
            elif any(endings.is_fault(each) for each in ended):
                ended += ranks.wait_for_all(_SETTLE_SECONDS)
            elif ended:
                ended += ranks.wait_for_all(_LEAVE_SECONDS)
        return ended, first
