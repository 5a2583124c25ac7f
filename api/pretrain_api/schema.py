"""The types as a Kubernetes structural schema: no references, no null, descriptions and defaults in place.

The CRD, the reference pages and `pretrain explain` are made from it. Rules between fields are not in it.
"""

import functools
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from pretrain_api.fields import description
from pretrain_api.types import PretrainJob
from pretrain_api.types.base import ApiModel

Schema = dict[str, Any]

LIST_KEYS = {("spec", "data", "sources"): "name", ("status", "conditions"): "type", ("status", "stages"): "name"}
"""Lists that are merged by a key; the others are replaced as a whole."""

_EMPTY: tuple[Any, ...] = (None, "", [], {})
_COPIED = (
    "type", "format", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "maxProperties",
)  # fmt: skip


@functools.cache
def job_schema() -> Schema:
    """The schema of a PretrainJob. Callers must not change it."""
    raw = PretrainJob.model_json_schema(by_alias=True)
    definitions = raw["$defs"]
    models = {model.__name__: model for model in _models(ApiModel)}
    job = _object(raw, PretrainJob, definitions, models, ())
    job["properties"] = {
        "apiVersion": {"type": "string", "description": "pretrain.dev/v1alpha1"},
        "kind": {"type": "string", "description": "PretrainJob"},
        **{name: job["properties"][name] for name in ("metadata", "spec", "status")},
    }
    job["required"] = ["metadata", "spec"]
    return job


def _models(model: type[ApiModel]) -> Iterator[type[ApiModel]]:
    for child in model.__subclasses__():
        yield child
        yield from _models(child)


def _object(
    raw: Schema,
    model: type[ApiModel],
    definitions: dict[str, Schema],
    models: dict[str, type[ApiModel]],
    path: tuple[str, ...],
) -> Schema:
    """A model: its fields with descriptions and defaults."""
    properties: Schema = {}
    for name, info in model.model_fields.items():
        alias = info.alias or name
        node = _node(raw["properties"][alias], definitions, models, (*path, alias))
        own, of_type = description(model, name), node.pop("description", "")
        node = {"description": _joined(own, of_type), **node}
        default = _default(info)
        if default is not None:
            node["default"] = default
        properties[alias] = node
    schema: Schema = {"description": description(model), "type": "object", "properties": properties}
    if required := [name for name in raw.get("required", []) if name in properties]:
        schema["required"] = required
    return schema


def _joined(of_field: str, of_type: str) -> str:
    """What a field is for and what its type says, without saying it twice."""
    if not of_type or of_field.startswith(of_type.rstrip(".")):
        return of_field
    return of_type if of_type.startswith(of_field.rstrip(".")) else f"{of_field} {of_type}"


def _default(info: FieldInfo) -> Any:
    """The default as it would be written; None where leaving the field out is the only way to say it."""
    default = info.default
    if isinstance(default, ApiModel):
        # With its own defaults: an API server checks CEL rules on a default before it fills in nested ones.
        return _without_empty(default.model_dump(mode="json", by_alias=True, exclude_none=True))
    if info.is_required() or default in _EMPTY:
        return None
    return default


def _without_empty(value: Schema) -> Schema:
    return {
        key: _without_empty(item) if isinstance(item, dict) else item
        for key, item in value.items()
        if item not in _EMPTY
    }


def _node(
    raw: Schema, definitions: dict[str, Schema], models: dict[str, type[ApiModel]], path: tuple[str, ...]
) -> Schema:
    """Any schema of pydantic's as a structural one."""
    if "$ref" in raw:
        name = raw["$ref"].rsplit("/", 1)[1]
        return _object(definitions[name], models[name], definitions, models, path)
    if "anyOf" in raw:
        branches = [branch for branch in raw["anyOf"] if branch.get("type") != "null"]
        if len(branches) == 1:
            return _node(branches[0], definitions, models, path)
        text = next(branch for branch in branches if branch["type"] == "string")
        bounds = {key: text[key] for key in ("pattern", "maxLength")}
        return {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}], **bounds}
    node: Schema = {key: raw[key] for key in _COPIED if key in raw}
    if "const" in raw:
        node["enum"] = [raw["const"]]
    for bound, inward in (("Minimum", 1), ("Maximum", -1)):
        limit = raw.get(f"exclusive{bound}")
        if isinstance(limit, int) and node["type"] == "integer":
            node[bound.lower()] = limit + inward
        elif limit is not None:
            node |= {bound.lower(): limit, f"exclusive{bound}": True}
    if node.get("type") == "integer":
        node["format"] = "int64"
    if node.get("type") == "array":
        node["items"] = _node(raw["items"], definitions, models, path)
        node["x-kubernetes-list-type"] = "atomic"
        if key := LIST_KEYS.get(path):
            node |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    if node.get("type") == "object":
        values = raw.get("additionalProperties", True)
        if values is True:
            node["x-kubernetes-preserve-unknown-fields"] = True
        else:
            node["additionalProperties"] = _node(values, definitions, models, path)
    return node
