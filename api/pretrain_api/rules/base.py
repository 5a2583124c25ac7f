"""The form of a rule between fields, and the rules that come in families. No rule of a particular field lives here."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pretrain_api.problems import Path, Problem, path_text
from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.base import ApiModel

Finding = tuple[Path, str, str]
"""Where (below the job), what is wrong with the value repeated, what to write instead."""


@dataclass(frozen=True)
class Rule:
    """One row of the table: the same rule in Python, and in CEL where CEL can say it."""

    code: str
    at: str
    """The object that the CEL expression is about, `[]` for every entry of a list: spec.data.sources[]."""
    check: Callable[[PretrainJobSpec], Iterable[Finding]]
    cel: str = ""
    """Empty: an API server cannot check it; `pretrain validate` and the operator do."""
    message: str = ""
    """What an API server answers: what is wrong and what to write instead."""
    field: str = ""
    """The field below `at` that the message is about, in YAML names; empty: the object itself."""

    def problems(self, spec: PretrainJobSpec) -> Iterator[Problem]:
        """The rule's problems with a spec."""
        for path, what, instead in self.check(spec):
            yield Problem(self.code, path, what, instead)


def objects(spec: PretrainJobSpec, at: str) -> Iterator[tuple[Path, ApiModel]]:
    """The objects at a dotted path of Python names below spec that are written, `[]` for every entry of a list."""
    found: list[tuple[Path, ApiModel]] = [(("spec",), spec)]
    for part in at.split(".")[1:]:
        name, is_list = part.removesuffix("[]"), part.endswith("[]")
        following: list[tuple[Path, ApiModel]] = []
        for path, item in found:
            value, alias = getattr(item, name), type(item).model_fields[name].alias or name
            if is_list:
                following += [((*path, alias, index), entry) for index, entry in enumerate(value)]
            elif value is not None:
                following.append(((*path, alias), value))
        found = following
    yield from found


def exactly_one(code: str, at: str, example: str, *names: str, texts: tuple[str, ...] = ()) -> Rule:
    """Exactly one of the fields is written. An empty text counts as not written; `texts` names those fields."""

    def check(spec: PretrainJobSpec) -> Iterator[Finding]:
        for path, item in objects(spec, at):
            fields = {info.alias or name: getattr(item, name) for name, info in type(item).model_fields.items()}
            written = [name for name in names if fields[name] not in (None, "")]
            if not written:
                yield path, f"none of {_either(names)} is written.", f"Write one of them: {example}."
            elif len(written) > 1:
                removal = f"--set {path_text((*path, written[0]))}=null removes one that the file has."
                yield path, f"{' and '.join(written)} are written.", f"Write only one of them; {removal}"

    presence = ", ".join(f"has(self.{name})" + f" && self.{name} != ''" * (name in texts) for name in names)
    return Rule(
        code=code,
        at=at,
        check=check,
        cel=f"[{presence}].filter(x, x).size() == 1",
        message=f"Write exactly one of {_either(names)}, for example {example}.",
    )


def _either(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1]


def ordered(code: str, at: str, low: str, high: str) -> Rule:
    """The field `low` is not above the field `high`."""

    def check(spec: PretrainJobSpec) -> Iterator[Finding]:
        for path, item in objects(spec, at):
            fields = {info.alias or name: getattr(item, name) for name, info in type(item).model_fields.items()}
            if fields[low] > fields[high]:
                what = f"{low} is {fields[low]}, above {path_text((*path, high))} ({fields[high]})."
                yield (*path, low), what, f"Write {low}: {fields[high]} or less, or raise {high}."

    return Rule(
        code=code,
        at=at,
        check=check,
        cel=f"self.{low} <= self.{high}",
        message=f"{low} is above {high}. Lower {low} or raise {high}.",
        field=low,
    )
