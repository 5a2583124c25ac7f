"""Events one after the other, some two at once, until the time is over; training has to go on behind each."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence

from support.chaos.events import Event
from support.chaos.place import Place
from support.chaos.timeline import Happened
from support.eventually import eventually

TWO_AT_ONCE = 0.25
"""Share of the turns in which two things break together."""
SLOW_SECONDS = 25.0
"""Of whatever takes longer the logs are shown."""
_PATIENCE_SECONDS = 240.0
"""How long training may take to go on behind an event: a start of the stage with its pods may lie in between."""


def turns(chance: random.Random, events: Sequence[Event]) -> Sequence[tuple[Event, ...]]:
    """Every event once, in an order of its own, some with another one beside them."""
    order = chance.sample(events, len(events))
    partners = [each for each in events if not each.alone]
    return [
        (event, chance.choice(others))
        if chance.random() < TWO_AT_ONCE and (others := [p for p in partners if p is not event])
        else (event,)
        for event in order
    ]


def play(place: Place, events: Sequence[Event], seconds: float, tell: Callable[[str], object]) -> list[Happened]:
    """What happened. Raises AssertionError when training does not go on, or what was committed is not as it should be."""
    happened: list[Happened] = []
    until_steps(place, 3)
    while place.seconds < seconds:
        for together in turns(place.chance, events):
            if place.seconds >= seconds:
                break
            happened.append(broken(place, together))
            tell(_told(place, happened[-1]))
            if happened[-1].went_on - happened[-1].began > SLOW_SECONDS:
                tell(place.job.logs())
    return happened


def _told(place: Place, event: Happened) -> str:
    """An event and what the job's status says behind it."""
    status = place.status()
    attempts = next((s["attempts"] for s in status.get("stages", []) if s["name"] == "Train"), "?")
    last = status.get("recovery", {}).get("lastRecovery", {})
    return (
        f"{event.began:6.1f} s {event.name}: went on {event.went_on - event.began:.1f} s later; start {attempts}, "
        f"{status.get('world', {}).get('summary', '?')} workers, newest recovery {last.get('kind', 'none')} "
        f"{last.get('seconds', '')} ({last.get('cause', '')})"
    )


def broken(place: Place, together: Sequence[Event]) -> Happened:
    """One turn: break, wait, mend, and wait until training goes on."""
    name = " + ".join(event.name for event in together)
    with contextlib.ExitStack() as stack:
        # What needs API server and kubelets begins before they go away.
        for event in sorted(together, key=lambda each: (each.alone, each.seconds > 0)):
            stack.enter_context(event.broken(place))
        began, before = place.seconds, place.look()
        longest = max(event.seconds for event in together)
        steps = _seen_for(place, longest, before)
    mended = place.seconds
    if steps <= before + 1:  # one more may have been on its way
        until_steps(place, 2)
    return Happened(name, began, mended, next((s.seconds for s in place.seen if s.step > before + 1), place.seconds))


def _seen_for(place: Place, seconds: float, before: int) -> int:
    """Look for so long; the newest committed step."""
    end = place.seconds + seconds
    eventually(place.look, lambda step: place.seconds >= end, seconds + 30, every_seconds=0.3)
    return place.look()


def until_steps(place: Place, more: int) -> None:
    """Wait for some more committed steps."""
    before = place.look()
    try:
        eventually(place.look, lambda step: step >= before + more, _PATIENCE_SECONDS, every_seconds=0.3)
    except AssertionError:
        print(place.status(), place.job.logs())
        raise
