"""What there is to say about a field: type, bounds, default, purpose, fields below. For people; no printing here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pretrain_api.errors import UserError
from pretrain_api.nouns import counted
from pretrain_api.presets import PRESETS
from pretrain_api.problems import closest
from pretrain_api.schema import Schema, job_schema
from pretrain_api.types import KIND

_TOP = ("apiVersion", "kind", "metadata", "spec", "status")


@dataclass(frozen=True)
class Explained:
    """A field and what to know of it."""

    path: tuple[str, ...]
    """Names in YAML from the top; empty: the job."""
    type: str
    """text, whole number, number, true or false, object, list of ..., map of ..."""
    required: bool
    default: Any
    """None: there is none."""
    bounds: str
    """"1 to 64", "at most 256 entries"; "" where there are none."""
    choices: tuple[str, ...]
    description: str
    """False: the type knows the field, this version cannot do it yet."""
    node: Schema

    @property
    def name(self) -> str:
        return ".".join(self.path) or KIND

    def children(self) -> list["Explained"]:
        """The fields of the object, or of the list's entries."""
        holder = _holder(self.node)
        required = holder.get("required", [])
        return [
            _explained((*self.path, name), node, name in required)
            for name, node in holder.get("properties", {}).items()
        ]

    def examples(self) -> list[tuple[str, str]]:
        """Names that may be written here, with what they stand for, where a list exists."""
        if self.path == ("spec", "model", "preset"):
            return [(name, preset.summary) for name, preset in PRESETS.items()]
        return []


def explain(text: str = "") -> Explained:
    """The field at a path such as `training.optimizer` or `spec.data.sources[0].name`. Raises UserError for others."""
    wanted = [part.split("[")[0] for part in text.split(".") if part]
    if wanted and wanted[0].lower() in (KIND.lower(), "pretrainjobs", "ptj"):
        wanted = wanted[1:]
    if wanted and wanted[0] not in _TOP:
        wanted = ["spec", *wanted]
    found = _explained((), job_schema(), required=True)
    for part in wanted:
        children = {child.path[-1]: child for child in found.children()}
        if part not in children:
            raise UserError("unknown-field", text, f"{found.name} has no field {part}.", _advice(part, list(children)))
        found = children[part]
    return found


def everything(below: Explained) -> Iterator[Explained]:
    """Every field below, parents before children."""
    for child in below.children():
        yield child
        yield from everything(child)


def _advice(part: str, here: list[str]) -> str:
    if meant := closest(part, here):
        return f"Write {meant}."
    elsewhere = [field.name for field in everything(explain("spec")) if field.path[-1] == part]
    if elsewhere:
        return f"Write {' or '.join(elsewhere[:2])}."
    return f"Fields here: {', '.join(here)}." if here else "It has no fields."


def _holder(node: Schema) -> Schema:
    """The object whose fields a node shows: itself or a list's entries."""
    items: Schema = node.get("items", node)
    return items


def _explained(path: tuple[str, ...], node: Schema, required: bool) -> Explained:
    return Explained(
        path=path,
        type=_type(node),
        required=required,
        default=node.get("default"),
        bounds=_bounds(node),
        choices=tuple(str(choice) for choice in node.get("enum") or node.get("items", {}).get("enum", ())),
        description=node.get("description", ""),
        node=node,
    )


_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def _type(node: Schema) -> str:
    if "x-kubernetes-int-or-string" in node:
        return "quantity"
    kind = node["type"]
    if kind == "array":
        return f"list of {_plural(_type(node['items']))}"
    if kind == "object":
        values = node.get("additionalProperties")
        return f"map of {_plural(_type(values))}" if values else "object"
    return "time" if node.get("format") == "date-time" else _WORDS[kind]


def _plural(word: str) -> str:
    return {"text": "texts", "true or false": word, "quantity": "quantities"}.get(word, word + "s")


def _bounds(node: Schema) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if low is not None and high is not None:
        text = f"{low:,} to {high:,}".replace(",", " ")
        excluded = [f"{bound:,}" for bound, is_excluded in ((low, above), (high, below)) if is_excluded]
        return text + (f", without {' and '.join(excluded)}" if excluded else "")
    if low is not None:
        return f"above {low}" if above else f"{low:,} or more".replace(",", " ")
    if high is not None:
        return f"below {high}" if below else f"{high:,} or less".replace(",", " ")
    for least, most, unit in (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "entries")):
        if most in node:
            return f"{node[least]} to {node[most]} {unit}" if node.get(least) else f"at most {node[most]} {unit}"
    return f"at most {counted(node['maxProperties'], 'entry', 'entries')}" if "maxProperties" in node else ""
