"""The commit log is safe in every interleaving of a few starts, and would not be without any one of its guards."""

import pytest
from support.log_model import Unsafe, Writer, explored
from support.mutant import compiled

from pretrain_trainer.training import log_protocol

TWO_STARTS = (Writer("A", 2), Writer("B", 1))
THREE_STARTS = (Writer("A", 1), Writer("B", 1), Writer("C", 0))
DAMAGED = (Writer("A", 2), Writer("B", 1, damaged=0))


@pytest.mark.parametrize(
    ("writers", "losses", "least"),
    [(TWO_STARTS, 2, 20_000), (THREE_STARTS, 1, 40_000), (DAMAGED, 2, 5_000)],
    ids=["a late writer", "three starts at once", "a damaged checkpoint"],
)
def test_every_interleaving_leaves_a_log_in_order(writers: tuple[Writer, ...], losses: int, least: int) -> None:
    """With so many answers lost, and what was asked landing at any later time."""
    assert explored(writers, log_protocol, losses) > least


MUTANTS = {
    "a fence of the generation that was there": ("default=0) + 1", "default=0)"),
    "a fence that does not rise above what it meets": ("max(generation, other.generation + 1)", "generation"),
    "a fence that forgets what it met": ("before.append(other)", "pass"),
    "a fence that takes a lost request for a taken slot": (
        "        if other is Found.NOTHING:\n            continue\n        generation",
        "        generation",
    ),
    "a fence that believes to have the slot": (
        "while not (yield Create(fence)):",
        "while not ((yield Create(fence)), True):",
    ),
    "a fence that does not know its own": ("other.nonce == fence.nonce", "False"),
    "a fence over a slot that is not the next": ("sequence=last + 1", "sequence=last + 2"),
    "a writer that takes another's record for its own": (
        "isinstance(other, Found | bool) or other.nonce != record.nonce",
        "False",
    ),
    "a writer that believes to have the slot": (
        "while not (yield Create(record)):",
        "while not ((yield Create(record)), True):",
    ),
    "a writer that takes a lost request for a taken slot": (
        "        if other is Found.NOTHING:  # the request was lost on its way\n            continue\n",
        "",
    ),
    "a writer that does not know its own": ("other.nonce != record.nonce", "True"),
}
"""What is wrong -> what stands there, and what stands there then."""


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_check_would_notice(mutant: str) -> None:
    changed = compiled(log_protocol.__name__, *MUTANTS[mutant])

    def search() -> None:
        for writers in (TWO_STARTS, THREE_STARTS, DAMAGED):
            explored(writers, changed, losses=1)

    with pytest.raises(Unsafe):
        search()
