"""The commit log and the collection of checkpoints are safe in every interleaving of a few starts, and would not be without
any one of their guards."""

import pytest
from support.log_model import Unsafe, Writer, explored
from support.mutant import compiled

from pretrain_trainer.training import collection, log_protocol

TWO_STARTS = (Writer("A", 2), Writer("B", 1))
THREE_STARTS = (Writer("A", 1), Writer("B", 1), Writer("C", 0))
DAMAGED = (Writer("A", 2), Writer("B", 1, damaged=0))
ONE_KEPT = (Writer("A", 2, keeps=1), Writer("B", 1, keeps=1))
FALLING_BACK = (Writer("A", 3, keeps=2), Writer("B", 1, damaged=0, keeps=2))
FROZEN = (Writer("A", 1, keeps=1), Writer("B", 0, keeps=1), Writer("C", 1, keeps=1))


@pytest.mark.parametrize(
    ("writers", "losses", "least"),
    [
        (TWO_STARTS, 2, 20_000),
        (THREE_STARTS, 1, 40_000),
        (DAMAGED, 2, 5_000),
        (ONE_KEPT, 0, 500),
        (FALLING_BACK, 0, 1_000),
        (FROZEN, 0, 20_000),
    ],
    ids=["a late writer", "three starts at once", "a damaged checkpoint", "a late collection",
         "one that goes back behind a late collection", "a start that was frozen behind its fence"],
)  # fmt: skip
def test_every_interleaving_leaves_a_log_in_order(writers: tuple[Writer, ...], losses: int, least: int) -> None:
    """With so many answers lost, and what was asked landing at any later time."""
    assert explored(writers, losses) > least


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
            explored(writers, 1, protocol=changed)

    with pytest.raises(Unsafe):
        search()


COLLECTION_MUTANTS = {
    "a collection by one that was told of a newer start": ("is not Found.NOTHING", "is None"),
    "a damaged one that counts among those kept": ("if c.sequence not in damaged", ""),
    "the newest that does not stay": ("newest_first[:keep_last]", "newest_first[1 : keep_last + 1]"),
    "one less that stays": ("newest_first[:keep_last]", "newest_first[: keep_last - 1]"),
    "a committed payload that is taken for abandoned": ("folder not in named and", ""),
    "what a later start writes that is taken for abandoned": ("< fenced.generation]", "!= fenced.generation]"),
}
"""What is wrong -> what stands there, and what stands there then."""


@pytest.mark.parametrize("mutant", COLLECTION_MUTANTS)
def test_the_check_would_notice_a_collection(mutant: str) -> None:
    changed = compiled(collection.__name__, *COLLECTION_MUTANTS[mutant])

    def search() -> None:
        for writers in (ONE_KEPT, FALLING_BACK, FROZEN):
            explored(writers, 0, collection=changed)

    with pytest.raises(Unsafe):
        search()
