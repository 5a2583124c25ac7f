"""YAML text to plain values with their line numbers, read as kubectl reads it.

kubectl's YAML is version 1.1 with Go's numbers: 3e-4 is a number, 10_000_000_000 an integer, yes/no/on/off are
booleans, dates stay text. Duplicate keys, several documents and tags are refused. Nothing here knows PretrainJob.
"""

import copy
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from pretrain_api.problems import InvalidJob, Path, Problem, shown

MAX_BYTES = 1 << 20
"""An API server takes no larger object (etcd's limit is 1.5 MiB)."""
MAX_DEPTH = 64
MAX_NODES = 100_000
"""Values after aliases are expanded: a small file can stand for billions."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"), False),
}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_INTEGER = re.compile(r"[-+]?(0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_LONGEST_INTEGER = 128
"""Characters; Python refuses to read numbers of thousands of digits, and what is longer fits 64 bits only with zeros."""
_OUT_OF_RANGE = 1 << 64
_NOT_FINITE = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_STRING_TAGS = ("!", "tag:yaml.org,2002:str")


@dataclass
class Composed:
    """A document: its value and the line (from 1) on which each path begins."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Anchor:
    value: Any
    nodes: int


def scalar(text: str) -> Any:
    """An unquoted scalar as kubectl understands it: null, bool, int, float or str. Infinite numbers stay text."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] in "+-.0123456789":
        plain = text.replace("_", "")
        if match := _INTEGER.match(plain):
            digits = match.group(1)
            if len(digits) > _LONGEST_INTEGER:
                return _OUT_OF_RANGE
            octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
            whole = int(digits, 8) if octal else int(digits, 0)
            return -whole if plain[0] == "-" else whole
        if _FLOAT.match(plain) and math.isfinite(number := float(plain)):
            return number
    return text


class _Composer:
    """Builds values from parser events; collects the problems that leave the structure readable."""

    def __init__(self, name: str, events: Iterator[yaml.Event]) -> None:
        self.name, self.events = name, events
        self.problems: list[Problem] = []
        self.lines: dict[Path, int] = {}
        self.anchors: dict[str, _Anchor] = {}
        self.nodes = 0

    def problem(self, event: yaml.Event, code: str, path: Path, what: str, instead: str) -> None:
        self.problems.append(Problem(code, path, what, instead, f"{self.name}:{_line(event)}"))

    def fatal(self, event: yaml.Event, code: str, path: Path, what: str, instead: str) -> InvalidJob:
        self.problem(event, code, path, what, instead)
        return InvalidJob(self.name, self.problems)

    def node(self, event: yaml.Event, path: Path) -> Any:
        self.lines.setdefault(path, _line(event))
        self.nodes += 1
        before = self.nodes
        if len(path) > MAX_DEPTH:
            raise self.fatal(event, "yaml-too-deep", (), f"nested deeper than {MAX_DEPTH} levels.", "Remove brackets.")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path)
        if isinstance(event, yaml.ScalarEvent):
            value = self.scalar(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                value.append(self.node(item, (*path, len(value))))
        else:
            value = self.mapping(path)
        if anchor := getattr(event, "anchor", None):
            self.anchors[anchor] = _Anchor(value, self.nodes - before + 1)
        return value

    def alias(self, event: yaml.AliasEvent, path: Path) -> Any:
        anchor = self.anchors.get(event.anchor or "")
        if anchor is None:
            what = f"*{event.anchor} refers to an anchor that is not written before it."
            raise self.fatal(
                event, "yaml-syntax", path, what, f"Write &{event.anchor} at the value, or quote the text."
            )
        self.nodes += anchor.nodes
        if self.nodes > MAX_NODES:
            what = f"its aliases stand for more than {MAX_NODES} values."
            raise self.fatal(event, "yaml-too-large", path, what, "Write the values out.")
        return copy.deepcopy(anchor.value)

    def scalar(self, event: yaml.ScalarEvent, path: Path) -> Any:
        if event.tag is not None and event.tag not in _STRING_TAGS:
            self.problem(event, "yaml-tag", path, f"the tag {event.tag} is not allowed.", "Remove it.")
            return event.value
        if not event.implicit[0]:  # quoted, a block, or tagged as text
            return event.value
        value = scalar(event.value)
        if _NOT_FINITE.match(event.value):
            self.problem(event, "number-not-finite", path, f"{event.value} is not a finite number.", "Write a number.")
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            said = event.value if len(event.value) <= 40 else f"{event.value[:40]}..."
            self.problem(event, "number-too-large", path, f"{said} does not fit 64 bits.", "Write a smaller number.")
        return value

    def mapping(self, path: Path) -> dict[str, Any]:
        value: dict[str, Any] = {}
        seen: dict[str, int] = {}
        merged: list[Any] = []
        while not isinstance(key := next(self.events), yaml.MappingEndEvent):
            name = self.key(key, path)
            line = _line(key)
            if name == "<<":
                inserted = self.node(next(self.events), (*path, "<<"))
                merging = inserted if isinstance(inserted, list) else [inserted]
                if not all(isinstance(mapping, dict) for mapping in merging):
                    what = f"<< takes the fields of a mapping in, and {shown(inserted)} is none."
                    self.problem(key, "yaml-key", (*path, "<<"), what, "Write *name of a mapping, or remove the line.")
                merged += merging
                continue
            if name in seen:
                what = f"written twice, first on line {seen[name]}."
                self.problem(key, "duplicate-key", (*path, name), what, "Keep one of the two.")
            else:
                seen[name] = self.lines[(*path, name)] = line
            value[name] = self.node(next(self.events), (*path, name))
        for mapping in merged:
            if isinstance(mapping, dict):
                value = {**mapping, **value}
        return value

    def key(self, event: yaml.Event, path: Path) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self.fatal(event, "yaml-key", path, "a key must be text.", "Write name: value.")
        if event.implicit[0] and isinstance(scalar(event.value), bool | None):
            what = f"YAML reads the key {event.value or 'that is empty'} as {shown(scalar(event.value))}."
            self.problem(event, "yaml-key", path, what, f'Quote it: "{event.value}".')
        return str(event.value)


def compose(text: str, name: str) -> Composed:
    """The one document in `text`. Raises InvalidJob with every problem found; `name` is the file's, for messages."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        what = f"larger than {MAX_BYTES} bytes."
        raise InvalidJob(
            name, [Problem("job-too-large", (), what, "A job is a few kilobytes; give the job file.", name)]
        )
    try:
        events = yaml.parse(text, Loader=_LOADER)
        composer = _Composer(name, events)
        next(events)  # the stream's start
        if isinstance(next(events), yaml.StreamEndEvent):
            raise InvalidJob(name, [_empty(name)])
        value = composer.node(next(events), ())
        next(events)  # the document's end
        if not isinstance(further := next(events), yaml.StreamEndEvent):
            what = "a second document begins here."
            raise composer.fatal(further, "several-documents", (), what, "Write one PretrainJob per file.")
    except yaml.YAMLError as error:
        raise InvalidJob(name, [_syntax_problem(name, text, error)]) from None
    if composer.problems:
        raise InvalidJob(name, composer.problems)
    if value is None:
        raise InvalidJob(name, [_empty(name)])
    return Composed(value, composer.lines)


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None  # every event of a text has one
    return event.start_mark.line + 1


def _empty(name: str) -> Problem:
    return Problem(
        "empty-file", (), "the file is empty.", "Write a PretrainJob; docs/reference/api.md shows one.", name
    )


def _syntax_problem(name: str, text: str, error: yaml.YAMLError) -> Problem:
    """What the parser said, with advice for the mistakes that people make most."""
    mark = getattr(error, "problem_mark", None)
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")
    context = str(getattr(error, "context", None) or "")
    line = "".join(text.splitlines()[mark.line : mark.line + 1]) if mark else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        advice = "Indent with spaces, not with tabs."
    elif "alias" in context or "anchor" in context:
        advice = "Quote text that begins with * or &."
    elif "mapping values are not allowed" in said:
        advice = "Quote the text if it contains ': ', and put one field on a line."
    elif "control characters" in said or "special characters" in said:
        advice = "Remove the control character."
    else:
        advice = "Check the brackets, quotes and indentation of this line and the one before."
    origin = f"{name}:{mark.line + 1}" if mark else name
    return Problem("yaml-syntax", (), f"not valid YAML: {said}.", advice, origin)
