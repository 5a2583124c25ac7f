"""What changed between two versions of a job, and which stages run again because of it. Pure.

`pretrain run` shows it when a folder holds an earlier run; the operator refuses what cannot change.
"""

import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pretrain_api.problems import shown
from pretrain_api.stages import UPSTREAM, Stage, planned, settings
from pretrain_api.types import PretrainJob, PretrainJobSpec

_UNTIL_TRAINING = frozenset((Stage.COLLECT, Stage.PREPARE, Stage.TOKENIZER, Stage.ENCODE, Stage.TRAIN))


@dataclass(frozen=True)
class Change:
    """One field that differs. None stands for a field that is not there."""

    path: str
    """spec.training.seed; entries of data.sources by name: spec.data.sources[name=web].weight."""
    old: Any
    new: Any
    stages: tuple[Stage, ...]
    """Stages whose own settings the field is part of; empty: it decides only how, not what."""

    @property
    def mutable(self) -> bool:
        """Whether the field may change once training began: what is learned stays the same."""
        return not self.path.startswith("spec.storage.uri") and _UNTIL_TRAINING.isdisjoint(self.stages)

    @property
    def is_weight(self) -> bool:
        """Whether it is the weight of a source."""
        return self.path.startswith("spec.data.sources[") and self.path.endswith("].weight")

    def __str__(self) -> str:
        old, new = ("not written" if value is None else shown(value) for value in (self.old, self.new))
        return f"{self.path}: {old} -> {new}"


def changed_fields(old: PretrainJob, new: PretrainJob) -> list[Change]:
    """The fields of spec that differ, in the order of the new job's fields."""
    before, after = (job.spec.model_dump(mode="json", by_alias=True) for job in (old, new))
    found = []
    for keys, old_value, new_value in _differences(before, after, ()):
        one_changed = copy.deepcopy(before)
        _put(one_changed, after, keys)
        stages = _own_changes(old.spec, PretrainJobSpec.model_validate(one_changed))
        found.append(Change(_text(keys), old_value, new_value, stages))
    return found


def with_initial_weights(job: PretrainJob, begun: PretrainJob) -> PretrainJob:
    """The job with the weights at which `begun` began, where it writes none: another weight is then another mixture from
    now on, and not another run."""
    starts = {source.name: source.weight_at_start for source in begun.spec.data.sources}
    sources = [
        source.model_copy(update={"initial_weight": starts.get(source.name)})
        if source.initial_weight is None
        else source
        for source in job.spec.data.sources
    ]
    data = job.spec.data.model_copy(update={"sources": sources})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"data": data})})


def with_changes(old: PretrainJob, new: PretrainJob, wanted: Collection[Change]) -> PretrainJob:
    """The old job with only some of the changes that lead to the new one."""
    paths = {change.path for change in wanted}
    before, after = (job.spec.model_dump(mode="json", by_alias=True) for job in (old, new))
    mixed = copy.deepcopy(before)
    for keys, _, _ in _differences(before, after, ()):
        if _text(keys) in paths:
            _put(mixed, after, keys)
    return new.model_copy(update={"spec": PretrainJobSpec.model_validate(mixed)})


def stages_to_rerun(old: PretrainJob, new: PretrainJob) -> tuple[Stage, ...]:
    """The stages whose identity differs: their own settings changed, or those of a stage they read from."""
    changed = set(_own_changes(old.spec, new.spec))
    for stage in Stage:
        if not changed.isdisjoint(UPSTREAM[stage]):
            changed.add(stage)
    return tuple(stage for stage in planned(new.spec) if stage in changed)


def _own_changes(old: PretrainJobSpec, new: PretrainJobSpec) -> tuple[Stage, ...]:
    either = {*planned(old), *planned(new)}
    return tuple(stage for stage in Stage if stage in either and settings(stage, old) != settings(stage, new))


_Keys = tuple[str, ...]
_SOURCES = ("data", "sources")


def _differences(old: Any, new: Any, keys: _Keys) -> Iterator[tuple[_Keys, Any, Any]]:
    """(path below spec, old value, new value) of what differs. Entries of sources go by their name."""
    if keys == _SOURCES:
        names, old_names = ([source["name"] for source in sources] for sources in (new, old))
        if names != old_names and set(names) == set(old_names):
            yield keys, old_names, names
        old, new = ({source["name"]: source for source in sources} for sources in (old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(key for key in old if key not in new)]:
            yield from _differences(old.get(key), new.get(key), (*keys, key))
    elif old != new:
        yield keys, old, new


def _put(spec: Any, other: Any, keys: _Keys) -> None:
    """Give one field of `spec` the value that it has in `other`. A source that came or went brings all sources."""
    for position, key in enumerate(keys[:-1]):
        if keys[:position] == _SOURCES:
            spec, other = ({source["name"]: source for source in sources} for sources in (spec, other))
        spec, other = spec[key], other[key]
    if keys[:-1] == _SOURCES:
        spec[:] = other
    elif keys[-1] in other:
        spec[keys[-1]] = other[keys[-1]]
    else:
        del spec[keys[-1]]


def _text(keys: _Keys) -> str:
    """The path as `--set` takes it."""
    text = "spec"
    for position, key in enumerate(keys):
        text += f"[name={key}]" if keys[:position] == _SOURCES else f".{key}"
    return text
