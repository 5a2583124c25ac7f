"""Which part of a stage is next. Where only one pod or process may work, the last part alone does everything."""

from pretrain_api.stages import FINISH, PHASES, Phase, Stage
from pretrain_api.types.status import StageStatus


def at(entry: StageStatus, parts: int) -> Phase:
    """The phase that a start of the stage begins with: the one where it was left, or the first."""
    phases = PHASES[Stage(entry.name)]
    if parts <= 1:
        return FINISH
    return next((phase for phase in phases if phase.name == entry.phase), phases[0])


def named(stage: Stage, name: str) -> Phase:
    """The phase of that name; the last one when there is none."""
    return next((phase for phase in PHASES[stage] if phase.name == name), FINISH)


def following(stage: Stage, name: str) -> Phase | None:
    """The phase after the one of that name; None after the last."""
    phases = PHASES[stage]
    names = [phase.name for phase in phases]
    return phases[names.index(name) + 1] if name in names[:-1] else None
