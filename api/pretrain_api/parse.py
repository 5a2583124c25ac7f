"""A job file to a PretrainJob: the one place where YAML becomes types. All problems of a file are raised together.

Steps: YAML text to values (`pretrain_api.yaml_text`), `--set` (`pretrain_api.overrides`), the types' shape and bounds,
then the rules between fields (`pretrain_api.rules`).
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from pretrain_api import overrides, rules
from pretrain_api.errors import UserError
from pretrain_api.problems import InvalidJob, Path, Problem, closest
from pretrain_api.types import API_VERSION, KIND, PretrainJob
from pretrain_api.yaml_text import MAX_BYTES, compose

FREE_FORM: tuple[Path, ...] = (("spec", "model", "config"), ("spec", "workers", "template"))
"""Below these, null is a value like any other: the words are those of transformers and of Kubernetes."""
_IGNORED: tuple[Path, ...] = (("metadata",), ("status",))
"""What an API server fills in; its nulls are dropped."""


class _Origins:
    """Where each value was written: a line of the file, or a --set."""

    def __init__(self, name: str, lines: dict[Path, int]) -> None:
        self.name, self.lines = name, lines
        self.set: dict[Path, str] = {}

    def overridden(self, path: Path, override: str) -> None:
        """The value at the path, and all below it, now comes from --set."""
        for below in [p for p in (*self.lines, *self.set) if p[: len(path)] == path]:
            self.lines.pop(below, None)
            self.set.pop(below, None)
        self.set[path] = f"--set {override}"

    def placed(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems with their places, in the order of the file; those of --set first."""
        found = {(problem.code, problem.path): problem.at(self.of(problem.path)) for problem in problems}
        return sorted(found.values(), key=lambda problem: _line(problem.origin))

    def of(self, path: Path) -> str:
        """The place of the value, or of the nearest parent that is written; what --set wrote directly below counts."""
        while True:
            for changed, origin in self.set.items():
                below = changed[: len(path)] == path
                if changed == path or changed[:-1] == path or (below and path not in self.lines):
                    return origin
            if path in self.lines:
                return f"{self.name}:{self.lines[path]}"
            if not path:
                return self.name
            path = path[:-1]


def load(path: str, sets: Sequence[str] = ()) -> PretrainJob:
    """The job in a file ("-": standard input), changed by `--set` options. Raises UserError; InvalidJob lists all problems."""
    name = "standard input" if path == "-" else path
    try:
        if path == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = closest(os.path.basename(path), _yaml_names(os.path.dirname(path)))
        instead = f"Write {os.path.join(os.path.dirname(path), near)}." if near else "Give the path of a job file."
        raise UserError("job-not-found", name, "no such file.", instead) from None
    except IsADirectoryError:
        raise UserError("job-not-found", name, "a folder, not a file.", "Give the path of a job file.") from None
    except OSError as error:
        raise UserError("job-unreadable", name, f"{error.strerror}.", "Make the file readable.") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        instead = "Save the file as UTF-8."
        raise UserError("job-not-utf8", f"{name}:{line}", f"byte {error.start} is not UTF-8.", instead) from None
    return parse(text, name, sets)


def _yaml_names(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder or ".") if name.endswith((".yaml", ".yml"))]
    except OSError:
        return []


def parse(text: str, name: str = "job.yaml", sets: Sequence[str] = ()) -> PretrainJob:
    """The job in YAML text. `name` stands for the file in messages. Raises InvalidJob with every problem found."""
    composed = compose(text, name)
    origins = _Origins(name, composed.lines)
    value = composed.value
    if not isinstance(value, dict):
        instead = "Begin with apiVersion: pretrain.dev/v1alpha1"
        raise InvalidJob(name, [Problem("not-a-mapping", (), "not a mapping of fields.", instead, origins.of(()))])
    refused = []
    for override in sets:
        changed, problem = overrides.apply(value, override)
        if problem is not None:
            refused.append(problem)
        else:
            origins.overridden(changed, override)
    if refused:
        raise InvalidJob(name, refused)
    if stranger := _another_object(value):
        raise InvalidJob(name, origins.placed([stranger]))
    problems = list(_shape_problems(value))
    job, errors = _validated(value)
    if errors:
        from pretrain_api import translate

        known = {problem.path for problem in problems}
        problems += [problem for problem in translate.problems(errors) if problem.path not in known]
    if not problems and job is not None:
        problems = list(rules.problems(job))
    if problems or job is None:
        raise InvalidJob(name, origins.placed(problems))
    return job


def _line(origin: str) -> int:
    """The line in "job.yaml:14"; 0 for other places."""
    line = origin.rpartition(":")[2]
    return int(line) if line.isdigit() and not origin.startswith("--set") else 0


def _another_object(value: dict[str, Any]) -> Problem | None:
    """What is wrong where the file is about something else. Its fields are then not those of a job, and no word is lost
    about them."""
    is_ours = str(value.get("apiVersion", API_VERSION)).partition("/")[0] == API_VERSION.partition("/")[0]
    for field, wanted, code in (("kind", KIND, "wrong-kind"), ("apiVersion", API_VERSION, "wrong-api-version")):
        found = value.get(field)
        if found is not None and found != wanted:
            advice = f"Write {field}: {wanted}." if is_ours or field != "kind" else f"Give the file of a {KIND}."
            return Problem(code, (field,), f"{found} is not {wanted}.", advice)
    return None


def _shape_problems(value: dict[str, Any]) -> Iterator[Problem]:
    """What the types cannot say: the first two fields must be written, and null is not a value."""
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if field not in value:
            yield Problem("missing-field", (field,), "required, but not written.", f"Write {field}: {wanted}.")
    yield from _nulls(value, ())


def _nulls(value: Any, path: Path) -> Iterator[Problem]:
    if path in FREE_FORM:
        return
    if isinstance(value, dict):
        for key in list(value):
            if value[key] is not None:
                yield from _nulls(value[key], (*path, key))
            elif (*path, key)[:1] in _IGNORED:
                del value[key]
            else:
                yield _null((*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if item is None:
                yield _null((*path, index))
            else:
                yield from _nulls(item, (*path, index))


def _null(path: Path) -> Problem:
    from pretrain_api import fields

    node = fields.find([part for part in path if isinstance(part, str)])
    if node is not None and node.model is not None and isinstance(path[-1], str):
        instead = f"Write {path[-1]}: {{}} to ask for it with its defaults, or remove the line."
    else:
        instead = "Write a value after the colon, or remove the line."
    return Problem("null-value", path, "nothing is written here, which YAML reads as null.", instead)


def _validated(value: dict[str, Any]) -> tuple[PretrainJob | None, list[Any]]:
    """The job, or pydantic's errors. As on an API server, text is no number, and 1e9 is a whole number."""
    for _ in range(2):
        try:
            return PretrainJob.model_validate_json(json.dumps(value), strict=True), []
        except ValidationError as error:
            errors = error.errors(include_url=False)
            if not sum(_made_whole(value, e) for e in errors):
                break
    return None, errors


def _made_whole(value: Any, error: Any) -> bool:
    """Write 1e9 as 1000000000 where a whole number is wanted; whether that was the error."""
    if error["type"] not in ("int_type", "int_from_float"):
        return False
    number = error["input"]
    if not isinstance(number, float) or not number.is_integer() or abs(number) >= 1 << 63:
        return False
    *parents, last = error["loc"]
    for part in parents:
        value = value[part]
    value[last] = int(number)
    return True
