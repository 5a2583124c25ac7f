"""Whether the CustomResourceDefinition in a cluster is this program's. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pretrain_api import crd
from pretrain_api.findings import Finding, Level

_INSTALL = "kubectl apply --server-side -f manifests/crd.yaml, or the Helm chart"
_MOST_NAMED = 4


def judged(found: Mapping[str, Any] | None) -> Finding:
    """The finding about the definition as the API server shows it; None: there is none."""
    if found is None:
        return _finding("failure", f"no {crd.PLURAL}.{crd.GROUP} here.", f"Install it: {_INSTALL}.")
    conditions = found.get("status", {}).get("conditions", [])
    if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
        reasons = "; ".join(c["message"] for c in conditions if c["status"] == "False") or "it has just been made"
        return _finding("failure", f"it is not served: {reasons}.", "Remove what it collides with, or wait a moment.")
    ours, theirs = _schema(crd.definition()), _schema(found)
    if theirs is None:
        return _finding("failure", f"it does not serve {crd.VERSION}.", f"Update it: {_INSTALL}.")
    if ours == theirs:
        return _finding("ok", f"{crd.PLURAL}.{crd.GROUP}/{crd.VERSION}, the same as this program's.")
    wanted, known = set(_fields(ours, "")), set(_fields(theirs, ""))
    if lacking := sorted(wanted - known):
        return _finding(
            "failure", f"it is older than this program and lacks {_named(lacking)}.", f"Update it: {_INSTALL}."
        )
    if more := sorted(known - wanted):
        return _finding("warning", f"it is newer than this program and has {_named(more)} besides.", "Update pretrain.")
    return _finding(
        "warning", "its fields are this program's, bounds or rules differ.", f"Update the older one: {_INSTALL}."
    )


def _schema(definition: Mapping[str, Any]) -> Any:
    versions = definition["spec"]["versions"]
    return next(
        (_kept(v["schema"]["openAPIV3Schema"]) for v in versions if v["name"] == crd.VERSION and v["served"]), None
    )


def _kept(schema: Any) -> Any:
    """A schema as an API server keeps it: without empty properties."""
    if isinstance(schema, Mapping):
        return {key: _kept(value) for key, value in schema.items() if (key, value) != ("properties", {})}
    return [_kept(value) for value in schema] if isinstance(schema, list) else schema


def _fields(schema: Mapping[str, Any], at: str) -> Iterator[str]:
    """Every field's path: spec.training.steps."""
    for name, below in schema.get("properties", {}).items():
        path = f"{at}.{name}" if at else name
        yield path
        yield from _fields(below, path)
    if isinstance(items := schema.get("items"), Mapping):
        yield from _fields(items, at)


def _named(fields: list[str]) -> str:
    more = f" and {len(fields) - _MOST_NAMED} more" if len(fields) > _MOST_NAMED else ""
    return ", ".join(fields[:_MOST_NAMED]) + more


def _finding(level: Level, message: str, advice: str = "") -> Finding:
    return Finding("Cluster", "crd", level, message, advice)
