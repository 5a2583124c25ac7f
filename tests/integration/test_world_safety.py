"""The rules of the world are needed, every one: without any of them a simulated schedule ends badly, or a rule's own test
fails."""

from pathlib import Path

import pytest
from support import mutant
from support.schedules import check_a_lost_worker, run

from pretrain_operator.brain import gang, losses, replacements, roster, world

pytestmark = pytest.mark.slow
TESTS = Path(__file__).resolve().parents[1]
SCHEDULES = 60
"""So many random ones are searched for a broken promise."""
TOLD = (("kill", (1, 0)), ("gone", (1, 0)), ("reset", (0, 1)), ("evict", (0, 1)), ("freeze", (0, 1)), ("unheard", (0, 1)),
        ("notice", (0, 0)))  # fmt: skip
"""What one worker of three meets, and what that counts."""
RULES = [TESTS / "unit/operator" / f"test_{name}.py" for name in ("world", "roster", "losses", "replacements", "gang")]

MUTANTS = {
    "a loss that is counted at every look": (losses, "and w.uid not in known", ""),
    "a loss that costs nothing": (losses, "    if not lost:\n        return status", "    return status"),
    "a disruption that counts as a failure": (losses, "case Verdict.DISRUPTION:", "case None:"),
    "a lost member that stays in the roster": (roster, "return worker.state == \"Lost\" or (", "return False and ("),
    "one end that ends all": (roster, "return any(is_there(w) for w in workers) and", "return False and"),
    "a roster of nobody that goes on": (roster, "return any(is_there(w) for w in workers) and", "return True or"),
    "neighbours that are not believed": (roster, "    workers = tuple(\n        replace(w, state", "    workers = tuple(\n        w if True else replace(w, state"),
    "an old word about a new roster": (roster, "or told.generation != world.generation", ""),
    "a silent member that is asked to change over": (roster, "reason=reason, is_alive=False)", "reason=reason)"),
    "one that is gone and not believed to be": (roster, "_without(observed, gone, GONE)", "observed"),
    "one that is gone and counted before its end is seen": (losses, "if worker.reason != roster.GONE:", "if True:"),
    "one that is gone and never counted": (losses, "left_out=[*status.world.left_out, *gone]", "left_out=[]"),
    "one that is gone and comes back": (roster, ", *(each.uid for each in recorded.world.left_out)", ""),
    "one that is said to be gone and runs on for ever": (losses, "if runs and timedelta() <= observed.now - each.since < _DOUBT:", "if runs:"),
    "one that is gone and forgotten in the next roster": (world, "lost, known.left_out)", "lost)"),
    "an attempt that ends of one that is gone": (roster, "if is_elastic(spec) and goes_on(members(world, without)) else", "if True else"),
    "a lost one that is not replaced": (replacements, "newest + 1 + wanted - there", "newest + 1"),
    "a replacement with the number of the lost one": (replacements, "range(newest + 1, newest + 1 + wanted - there)", "range(newest, newest + wanted - there)"),
    "one that was left out and counts": (replacements, "if roster.is_there(w) and w.uid not in lost", "if roster.is_there(w)"),
    "one that may yet say how it ended and is deleted": (replacements, "roster.is_there(w) and w.uid in lost]", "roster.is_there(w) and w not in there]"),
    "too many that stay": (replacements, "(*run_on, *outdated, *spare[:excess])", "()"),
    "a roster without those that came later": (world, "candidates = [*(w for w in members if w.uid not in lost), *joiners]", "candidates = [w for w in members if w.uid not in lost]"),
    "a roster with those that do not run yet": (world, 'return worker.state == "Running" and bool(worker.address)', "return True"),
    "fewer than may train": (world, "if size < fewest(recorded, spec) or", "if size < 1 or"),
    "a number that was there before": (world, "generation=before + 1", "generation=max(1, before)"),
    "a first roster of any attempt": (world, "if observed.world and observed.world.attempt > attempt:", "if False:"),
    "a notice that nobody heeds": (roster, "if stays else set()", "if False else set()"),
    "a notice to all that leaves nobody with the state": (roster, "if stays else set()", ""),
    "a member that is not relieved": (world, "key=lambda w: w.uid in leaving", "key=lambda w: False"),
    "a member that is told to go and counts": (replacements, "and (w.uid not in leaving or", "and (True or"),
    "a chain of those that come to a node that goes": (replacements, "or (w.uid not in members and w.worker > newest)", ""),
    "an end that is counted twice": (gang, "is_counted=decisive.uid in recorded.world.lost", "is_counted=False"),
}  # fmt: skip
"""What is wrong -> where, what stands there, and what stands there then."""


def is_noticed_by_the_simulation() -> bool:
    try:
        for fewest in (1, 3):
            for kind, counts in TOLD:
                check_a_lost_worker((kind, 15.0), counts, fewest)
        for seed in range(SCHEDULES):
            run(seed)
    except Exception:  # noqa: BLE001 - whatever breaks, it is noticed
        return True
    return False


@pytest.mark.parametrize("name", MUTANTS)
def test_a_rule_is_missed(name: str) -> None:
    module, before, after = MUTANTS[name]
    with mutant.changed(module.__name__, before, after):
        is_noticed = is_noticed_by_the_simulation()
    assert is_noticed or mutant.is_noticed(RULES, module.__name__, before, after)


def test_with_all_of_them_nothing_is() -> None:
    assert not is_noticed_by_the_simulation()
