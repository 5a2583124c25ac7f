"""What the steps that stand have taken, as a part of the state of training: going back takes back their time. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Spent:
    """Seconds since training began from nothing; the names of `pretrain_api.goodput.FIGURES`, one for one."""

    productive: float = 0.0
    """Steps, without what follows."""
    data_wait: float = 0.0
    checkpoint_stall: float = 0.0
    evaluation: float = 0.0
    compilation: float = 0.0
    """The first steps of a start where something is compiled in them."""

    def plus(self, more: Spent) -> Spent:
        """With more of each."""
        return Spent(*(getattr(self, each.name) + getattr(more, each.name) for each in fields(self)))

    @property
    def seconds(self) -> float:
        """All of them."""
        return self.pauses + self.productive + self.compilation

    @property
    def pauses(self) -> float:
        """Seconds in which no step was at work."""
        return self.data_wait + self.checkpoint_stall + self.evaluation


def of_step(seconds: float, pauses: Spent, *, is_warming: bool, is_finite: bool) -> Spent:
    """What a step took, given all of its seconds and those of its pauses. One that was skipped leaves nothing but them."""
    work = max(0.0, seconds - pauses.pauses)
    if not is_finite:
        return pauses
    return pauses.plus(Spent(compilation=work) if is_warming else Spent(productive=work))
