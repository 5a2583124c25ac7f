"""What is sent for a job file, and the API server's refusals in the words of `pretrain validate`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pretrain_api.errors import UserError
from pretrain_api.problems import InvalidJob, Path, Problem
from pretrain_api.types import PretrainJob
from pretrain_cli.cluster.connection import CONFLICT, INVALID, NOT_FOUND, ApiRefusal, Json

_CAUSE = re.compile(
    r'(?:Invalid|Required|Unsupported) value: (?:(?:"(?:[^"\\]|\\.)*"|[-+.\w]+): )?(?P<text>.*)\Z', re.DOTALL
)
"""The value stands before the text, or not, as the rule wants it."""
_CODE = re.compile(r" \[(?P<code>[a-z0-9-]+)\]$")
_PART = re.compile(r"[^.\[\]]+|\[(\d+)\]")
_OWNER = re.compile(r'conflicts? with "([^"]+)"')
_SUSPEND = ".spec.suspend"


def manifest(job: PretrainJob, namespace: str) -> Json:
    """What is applied: the fields that were written, and no others, so that defaults stay the cluster's."""
    written: dict[str, Any] = job.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"status"})
    metadata = {key: value for key, value in written["metadata"].items() if value}
    return {
        "apiVersion": job.api_version,
        "kind": job.kind,
        "metadata": metadata | ({"namespace": namespace} if namespace else {}),
        "spec": written["spec"],
    }


def namespace(job: PretrainJob, given: str, otherwise: str, origin: str) -> str:
    """Where the job goes: -n, the file's namespace, the context's. -n and the file must not differ, as in kubectl."""
    own = job.metadata.namespace if "namespace" in job.metadata.model_fields_set else ""
    if given and own and given != own:
        what = f"{own} is not the namespace that -n gives ({given})."
        raise UserError(
            "namespace-differs", f"{origin}: metadata.namespace", what, f"Write -n {own}, or remove the line."
        )
    return own or given or otherwise


def refusal(error: ApiRefusal, origin: str, name: str, place: str) -> UserError:
    """The refusal of an apply, as a message about the job file."""
    details = error.answer.get("details") or {}
    causes = details.get("causes") or []
    if error.status == INVALID and causes:
        return InvalidJob(origin, _problems(causes, origin))
    if error.status == CONFLICT and causes:
        return _conflict(causes, origin, name)
    if error.status == NOT_FOUND and details.get("kind") == "namespaces":
        instead = f"Make it (kubectl create namespace {place}), or give another with -n."
        return UserError("no-such-namespace", f"namespace {place}", "there is none of this name.", instead)
    return error


def _problems(causes: list[Json], origin: str) -> Iterator[Problem]:
    seen = set()
    for cause in causes:
        message = str(cause.get("message", ""))
        match = _CAUSE.match(message)
        text = match["text"] if match else message
        coded = _CODE.search(text)
        code = coded["code"] if coded else "api-refused"
        text = text[: coded.start()] if coded else text
        field = str(cause.get("field", ""))
        if text.startswith(f"{field} "):
            text = text[len(field) + 1 :]
        if (code, field, text) not in seen:
            seen.add((code, field, text))
            yield Problem(code, _path(field), text if text.endswith(".") else f"{text}.", "", origin)


def _path(field: str) -> Path:
    """spec.data.sources[0].name, as the API server writes it."""
    return tuple(int(match[1]) if match[1] else match[0] for match in _PART.finditer(field) if match[0] != "<nil>")


def _conflict(causes: list[Json], origin: str, name: str) -> UserError:
    fields = sorted({str(cause.get("field", "")) for cause in causes})
    owners = sorted({match[1] for cause in causes if (match := _OWNER.search(str(cause.get("message", ""))))})
    if fields == [_SUSPEND]:
        instead = (
            f"Use `pretrain suspend {name}` or `pretrain resume {name}` and remove the line, or add --force-conflicts."
        )
    else:
        instead = "Write their values into the file, or add --force-conflicts to overwrite them."
    shown = ", ".join(field.removeprefix(".") for field in fields)
    what = f"changed by {', '.join(owners) or 'someone else'} since, and the file says something else."
    return UserError("apply-conflict", f"{origin}: {shown}", what, instead)
