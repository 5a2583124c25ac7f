"""Reading `manifest.json` of whichever kind: token shards of the Encode stage, or samples that others wrote."""

from __future__ import annotations

import json

from pydantic import ValidationError

from pretrain_api.errors import UserError
from pretrain_api.samples import SampleManifest
from pretrain_api.shards import Manifest

_VERSION = 1


def parse(content: bytes, where: str) -> Manifest | SampleManifest:
    """The manifest with that content; `where` says in an error which one it is. UserError for anything else."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _broken(where, f"it is no JSON: {error}") from error
    if not isinstance(value, dict) or "version" not in value:
        raise _broken(where, "it has no field version, so it is no manifest of shards")
    if value["version"] != _VERSION:
        raise UserError(
            "manifest-version",
            where,
            f"it is of version {value['version']!r}; this program reads version {_VERSION}.",
            "Index the shards again with `pretrain index`, or use the version of pretrain-operator that wrote it.",
        )
    kind = SampleManifest if value.get("kind") == "samples" else Manifest
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        # What a rule of ours says; pydantic puts words of its own before it.
        why = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
        raise _broken(where, ": ".join(filter(None, (place, why)))) from error


def _broken(where: str, why: str) -> UserError:
    return UserError(
        "manifest-broken",
        where,
        f"{why}.",
        "Write the address of a manifest.json that `pretrain index` or Encode wrote.",
    )
