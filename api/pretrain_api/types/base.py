"""The base of every API type: camelCase on the wire, frozen in Python, unknown fields refused."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A part of the API: immutable, documented field by field, strict about unknown names."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        defer_build=True,
    )


def _with_zone(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


Moment = Annotated[datetime, AfterValidator(_with_zone)]
"""A time. One without a zone, as a person's hand may write it, is UTC: it can be compared with all others."""

_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DnsLabel = Annotated[str, StringConstraints(pattern=f"^{_DNS_LABEL}$", min_length=1, max_length=63)]
"""A name as Kubernetes wants it: lower-case letters, digits and '-', 63 characters at most."""
OptionalDnsLabel = Annotated[str, StringConstraints(pattern=f"^({_DNS_LABEL})?$", max_length=63)]
"""The same, or nothing."""

Uri = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
"""A path or any fsspec URL: file://, s3://, gs://, https://, hf://, zip://member::url."""

ShortText = Annotated[str, StringConstraints(max_length=256)]
Text = Annotated[str, StringConstraints(max_length=32768)]
StringMap = Annotated[
    dict[Annotated[str, StringConstraints(max_length=317)], Annotated[str, StringConstraints(max_length=4096)]],
    Field(max_length=256),
]
"""Labels, annotations and the like."""
Ratio = Annotated[float, Field(ge=0, le=1)]
"""A share between 0 and 1."""
