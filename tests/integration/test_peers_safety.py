"""What agents tell each other is needed, every word: without any of these guards a test of their agreement fails."""

from pathlib import Path

import pytest
from support import mutant

from pretrain_trainer.agent import follower, leader

pytestmark = pytest.mark.slow
TESTS = [Path(__file__).resolve().parents[1] / "unit/trainer/agent/test_peers.py"]

MUTANTS = {
    "a lost agent that nobody misses": (leader, "self.has_lost_one |= not link.is_open", "pass"),
    "a loss that the leader keeps to itself": (leader, 'self._tell({"again": attempt', 'dict({"again": attempt'),
    "a loss elsewhere that is forgotten": (leader, "self._loss = self._loss or Loss(", "Loss("),
    "an attempt without those that are not ready": (leader, "self._ready.get(n) != attempt", "n not in self._ready"),
    "a stranger that is let in": (leader, 'if first.get("world") == self._place.world:', 'if "world" in first:'),
    "breaks that the leader counts alone": (leader, "breaks = max([breaks, *self._breaks.values()])", "pass"),
    "another attempt after too many": (leader, "not self._world_is_over() and self._may_go_on()", "not self._world_is_over()"),
    "a world that goes on after it is over": (leader, "not self._world_is_over() and self._may_go_on()", "self._may_go_on()"),
    "a machine that is silent and counts": (leader, "if link.is_silent and node not in self.silent:", "if False:"),
    "a machine that does not say what it is at": (leader, "        if missing:\n            self._miss(missing)\n        else:", "        if True:"),
    "a leader that is silent and counts": (follower, "if self._link.is_silent:", "if False:"),
    "a leader that is gone and not missed": (follower, "is_gone = self._link is not None and not self._link.is_open", "is_gone = False"),
    "a leader that does not answer": (follower, "if self._asked is not None and time.monotonic()", "if False and time.monotonic()"),
    "a world that is over and nobody hears it": (follower, "self._was_told_of_a_loss = True", "pass"),
    "an agent that is killed and seems to leave": (leader, "if link.has_ended and node not in self._left", "if False"),
    "an agent that leaves and seems to be killed": (leader, "self._left.add(node)", "pass"),
    "a leader that goes without a word": (leader, "self._tell(LEAVING)", "pass"),
    "a leader of the world before that is taken for this one's": (follower, "is_gone = self._begun is not None and", "is_gone ="),
    "ranks that are not ended for a loss elsewhere": (follower, "return has_begun_again or", "return"),
}  # fmt: skip
"""What is wrong -> where, what stands there, and what stands there then."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_guard_is_missed(name: str) -> None:
    module, before, after = MUTANTS[name]
    assert mutant.is_noticed(TESTS, module.__name__, before, after)
