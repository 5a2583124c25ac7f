"""What is made for and from the Helm chart: its CRD template, the table of its values, manifests/install.yaml."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pretrain_api import crd

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "pretrain-operator"
NAMESPACE = "pretrain-system"

CRD_HEAD = """\
{{{{- /* {note} */}}}}
{{{{- if .Values.crds.enabled }}}}
{{{{- $annotations := merge (ternary (dict "helm.sh/resource-policy" "keep") (dict) .Values.crds.keep) .Values.crds.annotations }}}}
apiVersion: {api_version}
kind: {kind}
metadata:
  name: {name}
  labels:
    {{{{- include "pretrain-operator.labels" . | nindent 4 }}}}
  {{{{- with $annotations }}}}
  annotations:
    {{{{- toYaml . | nindent 4 }}}}
  {{{{- end }}}}
"""

INSTALL_HEAD = """\
# {note}
# The operator of PretrainJobs for all namespaces, as the chart installs it: kubectl apply --server-side -f FILE
# Write the addresses of your images, operator and trainer, into the Deployment first.
---
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""

PAGE_HEAD = """\
<!-- {note} -->
# The chart

## Values

`charts/pretrain-operator` installs the operator; [install](../how-to/install.md) says how. A schema checks every value:
a misspelt one is refused. `helm show values charts/pretrain-operator` prints them as a file.

| value | type | default | |
| --- | --- | --- | --- |
"""


PERMISSIONS_HEAD = """
## What the operator may do

In every namespace, or with `rbac.scope: namespace` in those of its jobs. Secrets are not among it: pods refer to them by
name. A test holds this against what the operator asks an API server for in the life of a job.

| API group | resources | verbs | |
| --- | --- | --- | --- |
"""
PERMISSIONS_TAIL = """
In its own namespace also the Lease `pretrain-operator`, if `leaderElection.enabled`. A job's pods may read one ConfigMap,
the job's world, and read and patch one, its report.
"""


def crd_template(note: str) -> str:
    """charts/pretrain-operator/templates/crd.yaml: the CRD behind the chart's switches."""
    manifest = crd.definition()
    head = CRD_HEAD.format(
        note=note, api_version=manifest["apiVersion"], kind=manifest["kind"], name=manifest["metadata"]["name"]
    )
    body = yaml.safe_dump({"spec": manifest["spec"]}, sort_keys=False, width=120, allow_unicode=True)
    return head + body.replace("{{", '{{ "{{" }}') + "{{- end }}\n"


def install_manifest(note: str) -> str:
    """manifests/install.yaml: the chart with its defaults, for clusters where Helm is not wanted."""
    sys.path.append(str(ROOT / "tests"))
    from support.cluster import programs  # Helm is found where the tests find it

    command = [programs.find("helm"), "template", CHART.name, CHART, "--namespace", NAMESPACE, "--set=crds.keep=false"]
    rendered = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    # Without Helm nobody is to take the objects for Helm's.
    text = re.sub(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n|^# Source: .*\n", "", rendered, flags=re.M)
    return INSTALL_HEAD.format(note=note, namespace=NAMESPACE) + re.sub(r"\n+(?=---)", "\n", text).rstrip() + "\n"


def values_page(note: str) -> str:
    """docs/reference/chart.md: every value and every permission with the comment above it."""
    return (
        PAGE_HEAD.format(note=note) + "".join(_rows()) + PERMISSIONS_HEAD + "".join(_permissions()) + PERMISSIONS_TAIL
    )


def _rows() -> Iterator[str]:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    lines = text.splitlines()
    for path, line, default, node in _values(yaml.compose(text), schema, ()):
        yield _row(f"`{'.'.join(path)}`", _type(node), f"`{json.dumps(default)}`", _comment(lines, line))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _permissions() -> Iterator[str]:
    text = (CHART / "templates" / "_rules.tpl").read_text(encoding="utf-8")
    text = re.sub(r"^\{\{.*\}\}$", "", text, flags=re.MULTILINE)
    lines, rules = text.splitlines(), yaml.safe_load(text)
    for item, rule in zip(yaml.compose(text).value, rules, strict=True):
        groups = ", ".join(group or "core" for group in rule["apiGroups"])
        resources = ", ".join(f"`{resource}`" for resource in rule["resources"])
        yield _row(groups, resources, ", ".join(rule["verbs"]), _comment(lines, item.start_mark.line))


def _values(
    node: Any, schema: dict[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], int, Any, Any]]:
    """Path, line, default and schema of each value. What has no fields in the schema is one value."""
    for key, value in node.value:
        below, at = schema["properties"][key.value], (*path, key.value)
        if "properties" in below:
            yield from _values(value, below, at)
        else:
            yield at, key.start_mark.line, yaml.safe_load(yaml.serialize(value)), below


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    kind = schema["type"]
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _comment(lines: list[str], line: int) -> str:
    """The comment lines directly above a line."""
    first = line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return " ".join(text.strip().removeprefix("#").strip() for text in lines[first:line])
