"""Whether traces are wanted, by the variables that OpenTelemetry has for it. Values that only its SDK reads are its own.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from pretrain_api.errors import UserError

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_EXPORTER = "OTEL_TRACES_EXPORTER"


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether there is somewhere to send traces to. Raises UserError for a place or a way that cannot be."""
    endpoint = _first(environment, _ENDPOINTS)
    exporter = environment.get(_EXPORTER, "") or "otlp"
    if endpoint is None or exporter == "none" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if exporter != "otlp":
        raise _refused(
            _EXPORTER, f"{exporter} is no way to send traces that the operator knows.", "Write otlp or none."
        )
    name, address = endpoint
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _refused(
            name,
            f"{address} is not the address of an OTLP receiver over HTTP.",
            "Write http://HOST:4318, or https://.",
        )
    if (protocol := _first(environment, _PROTOCOLS)) and protocol[1] != _PROTOCOL:
        raise _refused(
            protocol[0],
            f"the operator does not speak {protocol[1]}.",
            f"Write {_PROTOCOL} and the port that the receiver has for it, by default 4318.",
        )
    return True


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str] | None:
    """The first of these variables that has a value, which OpenTelemetry takes for unset when it is empty."""
    return next(((name, value) for name in names if (value := environment.get(name, ""))), None)


def _refused(name: str, what: str, instead: str) -> UserError:
    return UserError("bad-traces-setting", name, what, instead)
