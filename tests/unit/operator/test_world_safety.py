"""The rules of the world are needed, every one: without any of them some schedule, or one of the told ones, ends badly."""

import types
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support.schedules import run
from test_schedules import TestLostWorker

from pretrain_operator.brain import gang, losses, replacements, roster, world

SCHEDULES = 400
"""So many random ones are searched for a broken promise."""

MUTANTS: dict[str, tuple[ModuleType, str, str]] = {
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
    "a roster without those that came later": (world, "candidates = [*(m for m in published.roster if m.uid not in lost), *(_member(w) for w in joiners)]", "candidates = [m for m in published.roster if m.uid not in lost]"),
    "a roster with those that do not run yet": (world, 'return worker.state == "Running" and bool(worker.address)', "return True"),
    "fewer than may train": (world, "if size < fewest(recorded, spec) or", "if size < 1 or"),
    "a number that was there before": (world, "generation=before + 1", "generation=max(1, before)"),
    "a first roster of any attempt": (world, "if observed.world and observed.world.attempt > attempt:", "if False:"),
    "an end that is counted twice": (gang, "is_counted=decisive.uid in recorded.world.lost", "is_counted=False"),
}  # fmt: skip
"""What is wrong -> where, what stands there, and what stands there then."""


@pytest.fixture
def mutated(request: pytest.FixtureRequest) -> Iterator[None]:
    module, before, after = MUTANTS[request.param]
    source = Path(str(module.__file__)).read_text()
    assert before in source, f"{before} does not stand in {module.__name__} any more"
    changed = types.ModuleType(module.__name__)
    exec(compile(source.replace(before, after), "mutant", "exec"), changed.__dict__)
    kept = dict(module.__dict__)
    module.__dict__.update({name: value for name, value in changed.__dict__.items() if callable(value)})
    yield
    module.__dict__.update(kept)


def told() -> Iterator[Callable[[], None]]:
    """The schedules that are told, with what they promise."""
    lost = TestLostWorker()
    for fewest in (1, 3):
        for kind, counts in (("kill", (1, 0)), ("evict", (0, 1)), ("freeze", (0, 1)), ("unheard", (0, 1))):
            yield lambda f=fewest, k=kind, c=counts: lost.test_costs_no_start_and_nothing_that_was_learned(
                (k, 15.0), c, f
            )
    yield lost.test_and_the_one_in_its_place_cost_one_each
    yield lost.test_as_the_last_one_ends_the_start_and_the_next_goes_on_from_what_is_saved


@pytest.mark.parametrize("mutated", MUTANTS, indirect=True)
def test_is_noticed(mutated: None) -> None:
    def search() -> None:
        for each in told():
            each()
        for seed in range(SCHEDULES):
            run(seed)

    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever breaks, it is noticed
        search()
