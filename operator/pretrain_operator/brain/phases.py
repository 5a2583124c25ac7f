"""Which part of a stage is next. Where only one pod or process may work, the last part alone does everything."""

from pretrain_api import objectives
from pretrain_api.stages import FINISH, PHASES, Phase, Stage
from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.status import StageStatus


def parts(spec: PretrainJobSpec, stage: Stage, most: int) -> int:
    """Into how many parts a stage may be divided: into one where it works on documents and every source is ready shards,
    or where it only reads the indexes of images."""
    idle = stage in (Stage.COLLECT, Stage.PREPARE) and not any(source.documents for source in spec.data.sources)
    idle = idle or (stage is Stage.ENCODE and not objectives.learns_text(spec))
    return 1 if idle else most


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
