"""Rules of the workers' pods: what the operator puts into them itself, and what Kubernetes takes only in pairs."""

import re
from collections.abc import Iterator

from pretrain_api import cluster
from pretrain_api.problems import Path
from pretrain_api.rules.base import Finding, Rule
from pretrain_api.types import PretrainJobSpec

_TEMPLATE: Path = ("spec", "workers", "template")
_RESOURCES: Path = ("spec", "workers", "resources")


def _variables(spec: PretrainJobSpec) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, entry in enumerate(spec.workers.template.env):
        path, name = (*_TEMPLATE, "env", index, "name"), entry.get("name")
        if not isinstance(name, str) or not name:
            yield path, "the variable has no name.", "Write name: NAME beside its value or valueFrom."
        elif name in seen:
            yield path, f"{name} is the name of env[{seen[name]}] too.", "Remove one of the two."
        elif name.startswith(cluster.RESERVED_PREFIXES) or name in cluster.RESERVED_VARIABLES:
            yield path, f"{name} is set by the operator or by the workers' agent.", "Remove it, or use another name."
        elif spec.storage.secret_ref and name in (*cluster.CREDENTIAL_KEYS, *cluster.OPTIONAL_CREDENTIAL_KEYS):
            where = f"Write {name} into Secret {spec.storage.secret_ref.name}, or remove storage.secretRef."
            yield path, f"{name} comes from the Secret in spec.storage.secretRef.", where
        else:
            seen[name] = index


def _labels(spec: PretrainJobSpec) -> Iterator[Finding]:
    template = spec.workers.template
    for field, pairs in (("labels", template.labels), ("annotations", template.annotations)):
        for key in pairs:
            if key.startswith(f"{cluster.GROUP}/") or (field == "labels" and key in cluster.RESERVED_LABELS):
                yield (*_TEMPLATE, field, key), "it is set by the operator.", "Remove it, or use another key."


def _devices(spec: PretrainJobSpec) -> Iterator[Finding]:
    """Extended resources: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/"""
    limits, requests = spec.workers.resources.limits, spec.workers.resources.requests
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if _is_device(name) and _A_PART.search(str(amount)):
                yield (*_RESOURCES, kind, name), f"{amount} is no whole number of devices.", "Write a whole number."
    for name, amount in requests.items():
        if _is_device(name) and str(limits.get(name)) != str(amount):
            what = f"{name} is requested without an equal limit."
            yield (*_RESOURCES, "requests", name), what, f"Write {name}: {amount} into limits as well, or there alone."


_A_PART = re.compile(r"\.[0-9]*[1-9]|[num]$")
"""In a Kubernetes quantity: decimal places, or a suffix of parts."""


def _is_device(name: str) -> bool:
    """Whether only whole ones of it are given to a pod, as GPUs are."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")


RULES = (
    Rule("template-variable", "spec.workers", _variables),
    Rule("template-label", "spec.workers", _labels),
    Rule("device-amount", "spec.workers", _devices),
)
