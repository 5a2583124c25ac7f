"""The CustomResourceDefinition of PretrainJob, made from the types and the rules."""

import copy
from typing import Any

from pydantic.alias_generators import to_camel

from pretrain_api.rules import RULES, immutable
from pretrain_api.rules.base import Rule
from pretrain_api.schema import Schema, job_schema
from pretrain_api.types import API_VERSION, KIND

GROUP, VERSION = API_VERSION.split("/")
PLURAL = "pretrainjobs"

COLUMNS: tuple[tuple[str, str, str, int], ...] = (
    ("State", "string", ".status.state", 0),
    ("Step", "string", ".status.progress.steps", 0),
    ("Loss", "string", ".status.progress.loss", 0),
    ("Throughput", "string", ".status.progress.throughput", 0),
    ("Workers", "string", ".status.world.summary", 0),
    ("Checkpoint", "date", ".status.checkpoint.time", 0),
    ("ETA", "string", ".status.progress.timeLeft", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Tokens", "integer", ".status.progress.tokens", 1),
    ("Samples", "integer", ".status.progress.samples", 1),
    ("MFU", "string", ".status.progress.mfuRatio", 1),
    ("Data wait", "string", ".status.progress.dataWaitRatio", 1),
    ("Goodput", "string", ".status.goodputRatio", 1),
    ("Failures", "integer", ".status.recovery.failures", 1),
    ("Disruptions", "integer", ".status.recovery.disruptions", 1),
    ("Generation", "integer", ".status.world.generation", 1),
    ("Preset", "string", ".spec.model.preset", 1),
    ("Storage", "string", ".spec.storage.uri", 1),
)
"""What `kubectl get pretrainjobs` shows: name, type, JSON path, priority (1: only with -o wide)."""


def definition() -> dict[str, Any]:
    """The CRD as a manifest."""
    schema = copy.deepcopy(job_schema())
    # An API server owns metadata; only the name's length may be narrowed.
    name = schema["properties"]["metadata"]["properties"]["name"]
    schema["properties"]["metadata"] = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": name["maxLength"], "pattern": name["pattern"]}},
    }
    schema["properties"]["spec"].pop("default", None)
    schema["properties"]["status"].pop("default", None)
    for rule in (*RULES, *immutable.RULES):
        if rule.cel:
            _object_at(schema, rule.at).setdefault("x-kubernetes-validations", []).append(_validation(rule))
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["ptj"],
                "categories": ["all", "pretrain"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path} | ({"priority": priority} if priority else {})
                        for name, kind, path, priority in COLUMNS
                    ],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _object_at(schema: Schema, at: str) -> Schema:
    """The schema of the object that a rule is about."""
    for part in at.split(".") if at else []:
        schema = schema["properties"][to_camel(part.removesuffix("[]"))]
        if part.endswith("[]"):
            schema = schema["items"]
    return schema


def _validation(rule: Rule) -> dict[str, str]:
    place = {"fieldPath": f".{rule.field}"} if rule.field else {}
    return {"rule": rule.cel, "message": f"{rule.message} [{rule.code}]", **place, "reason": "FieldValueInvalid"}
