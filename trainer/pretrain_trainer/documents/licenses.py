"""Which licences may be trained on. Pure: names in, decision out."""

from __future__ import annotations

from collections.abc import Sequence

from pretrain_api.errors import UserError
from pretrain_api.types.data import Source

NONE_STATED = "(none stated)"


def check_source(source: Source, allowed: Sequence[str], where: str) -> None:
    """UserError when the source as a whole may not be used. `where` is the source's field path."""
    if not allowed or source.license in allowed or (not source.license and source.fields.license):
        return
    stated = f"has the licence {source.license!r}" if source.license else "states no licence"
    raise UserError(
        "license-refused",
        f"{where}.license",
        f"The source {source.name!r} {stated}; spec.data.allowedLicenses permits {', '.join(allowed)}.",
        "Remove the source, or add its licence to spec.data.allowedLicenses.",
    )


def refused(document_license: str, source_license: str, allowed: Sequence[str]) -> str:
    """The licence for which a document is refused; "" when it may be used."""
    license = document_license or source_license
    return "" if not allowed or license in allowed else license or NONE_STATED
