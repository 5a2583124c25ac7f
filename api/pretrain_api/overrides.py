"""`--set PATH=VALUE`: changes to a job's values before they are validated.

PATH is dotted; lists are entered by index, `spec.data.sources[0].weight`, or by a field, `sources[name=web]`; a dot
inside a key is written `\\.`. VALUE is YAML; `null` removes the field.
"""

import re
from typing import Any

from pretrain_api.nouns import counted
from pretrain_api.problems import InvalidJob, Path, Problem, is_encodable, path_text, shown
from pretrain_api.yaml_text import compose

_PART = re.compile(r"((?:\\.|[^.\[\]\\])+)((?:\[[^\]]*\])*)(\.|\Z)")
_INDEX = re.compile(r"[0-9]{1,9}\Z")
_INDICATORS = tuple("*&!%@`")
"""Signs that would begin something else in YAML; a glob such as *.txt begins with one."""


class _BadOverride(Exception):
    """The override cannot be applied; carries the problem."""

    def __init__(self, code: str, path: Path, what: str, instead: str) -> None:
        super().__init__(what)
        self.problem = Problem(code, path, what, instead)


def apply(job: Any, override: str) -> tuple[Path, Problem | None]:
    """Change `job` in place; the path that was changed, and the problem if there is one (nothing changed then)."""
    try:
        return _apply(job, override), None
    except _BadOverride as bad:
        return (), bad.problem.at(f"--set {override}")


def _apply(job: Any, override: str) -> Path:
    if not is_encodable(override):
        what = "holds bytes that are not UTF-8."
        raise _BadOverride("malformed-override", (), what, "Write it in UTF-8, or write the value into the job file.")
    text, equals, value_text = _split(override)
    if not equals or not text:
        raise _BadOverride("malformed-override", (), "not PATH=VALUE.", "Write --set spec.training.steps=100.")
    if not value_text.strip():
        instead = f"Write {text}=VALUE, {text}=null to remove the field, or {text}='\"\"' for an empty text."
        raise _BadOverride("malformed-override", (), "no value.", instead)
    parts = _parts(text)
    value = value_text if value_text.startswith(_INDICATORS) else _value(value_text)
    container: Any = job
    path: Path = ()
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        key = _key(container, part, path)
        path = (*path, key)
        if following is None:
            _put(container, key, value)
        elif isinstance(container, dict):
            if container.get(key) is None:
                container[key] = [] if isinstance(following, int | tuple) else {}
            container = container[key]
        else:
            if key == len(container):
                container.append({})
            container = container[key]
    return path


def _split(override: str) -> tuple[str, str, str]:
    """PATH, "=", VALUE; an '=' inside brackets belongs to the path."""
    depth = 0
    for position, character in enumerate(override):
        depth += (character == "[") - (character == "]")
        if character == "=" and depth == 0:
            return override[:position].strip(), "=", override[position + 1 :]
    return override, "", ""


def _parts(text: str) -> list[str | int | tuple[str, str]]:
    """Keys as str, indexes as int, selections `[name=web]` as ("name", "web")."""
    parts: list[str | int | tuple[str, str]] = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None or (match.end() == len(text) and match.group(3)):
            instead = "Write names divided by dots, and [n] for the n-th entry of a list."
            raise _BadOverride("malformed-override", (), f"{text} is not a path.", instead)
        parts.append(re.sub(r"\\(.)", r"\1", match.group(1)))
        for bracket in re.findall(r"\[([^\]]*)\]", match.group(2)):
            field, equals, wanted = bracket.partition("=")
            if equals:
                parts.append((field, wanted))
            elif _INDEX.match(bracket):
                parts.append(int(bracket))
            else:
                instead = "Write [0] for the first entry, or [name=web]."
                raise _BadOverride("malformed-override", (), f"[{bracket}] is not an index.", instead)
        position = match.end()
    return parts


def _value(text: str) -> Any:
    if text.strip() in ("null", "~"):
        return None
    try:
        return compose(text, "value").value
    except InvalidJob as error:
        raise _BadOverride(error.code, (), error.what, "Quote the value.") from None


def _key(container: Any, part: str | int | tuple[str, str], path: Path) -> str | int:
    """The part as a key of the container; refuses what does not fit it."""
    if isinstance(part, str):
        if isinstance(container, dict):
            return part
        if isinstance(container, list):
            instead = f"Write {path_text(path)}[0] for the first entry."
            raise _BadOverride("malformed-override", path, f"a list has no field {part}.", instead)
        instead = f"Remove .{part}."
        raise _BadOverride("malformed-override", path, f"{shown(container)} has no field {part}.", instead)
    if not isinstance(container, list):
        raise _BadOverride("malformed-override", path, "not a list.", "Remove the brackets.")
    if isinstance(part, tuple):
        field, wanted = part
        found = [i for i, entry in enumerate(container) if isinstance(entry, dict) and str(entry.get(field)) == wanted]
        if not found:
            present = ", ".join(str(entry.get(field)) for entry in container if isinstance(entry, dict)) or "none"
            what = f"no entry has {field}={wanted}."
            raise _BadOverride("override-without-entry", path, what, f"Entries here: {present}.")
        return found[0]
    if part > len(container):
        what = f"[{part}] is beyond the list, which has {counted(len(container), 'entry', 'entries')}."
        raise _BadOverride("override-without-entry", path, what, f"Write [{len(container)}] to add one.")
    return part


def _put(container: Any, key: str | int, value: Any) -> None:
    if isinstance(container, dict):
        if value is None:
            container.pop(key, None)
        else:
            container[key] = value
    elif value is None:
        del container[key : int(key) + 1]
    elif key == len(container):
        container.append(value)
    else:
        container[key] = value
