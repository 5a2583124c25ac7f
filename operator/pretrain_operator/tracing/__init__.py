"""Traces of the operator's work, for OpenTelemetry. What is worth a span is decided here and by the callers; `otlp` sends it
and is imported only where somebody asked for traces."""

from collections.abc import Mapping

from pretrain_operator.tracing.settings import is_wanted
from pretrain_operator.tracing.spans import UNTRACED, Span, Traces

__all__ = ["UNTRACED", "Span", "Traces", "configured"]


def configured(environment: Mapping[str, str]) -> Traces:
    """Traces as OpenTelemetry's variables ask for them: without an endpoint none. Raises UserError."""
    if not is_wanted(environment):
        return UNTRACED
    from pretrain_operator.tracing.otlp import started

    return started()
