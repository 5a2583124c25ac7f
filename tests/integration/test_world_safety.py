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
TOLD = (("kill", (1, 0)), ("evict", (0, 1)), ("freeze", (0, 1)), ("unheard", (0, 1)), ("notice", (0, 0)))
"""What one worker of three meets, and what that counts."""
RULES = [TESTS / "unit/operator" / f"test_{name}.py" for name in ("world", "roster", "losses", "replacements", "gang")]

MUTANTS = {
    "a loss that is counted at every look": (losses, "and w.uid not in known", ""),
    "a loss that costs nothing": (losses, "    if not lost:\n        return recorded", "    return recorded"),
    "a disruption that counts as a failure": (losses, "is Verdict.DISRUPTION:", "is None:"),
    "a lost member that stays in the roster": (roster, "return worker.state == \"Lost\" or (", "return False and ("),
    "one end that ends all": (roster, "return any(is_there(w) for w in workers) and", "return False and"),
    "a roster of nobody that goes on": (roster, "return any(is_there(w) for w in workers) and", "return True or"),
    "neighbours that are not believed": (roster, "    workers = tuple(\n        replace(w, state", "    workers = tuple(\n        w if True else replace(w, state"),
    "an old word about a new roster": (roster, "or told.generation != world.generation", ""),
    "a silent member that is asked to change over": (roster, "reason=SILENT, is_alive=False)", "reason=SILENT)"),
    "a lost one that is not replaced": (replacements, "newest + 1 + wanted - there", "newest + 1"),
    "a replacement with the number of the lost one": (replacements, "range(newest + 1, newest + 1 + wanted - there)", "range(newest, newest + wanted - there)"),
    "one that was left out and counts": (replacements, "if roster.is_there(w) and w.uid not in lost", "if roster.is_there(w)"),
    "too many that stay": (replacements, "(*left_out, *outdated, *spare[:excess])", "()"),
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
