"""Writes what is made from the types, the command line and the chart: manifests and reference pages.

python scripts/generate.py             # write them
python scripts/generate.py --check     # write nothing; exit 1 and name those that are not current
python scripts/generate.py --no-helm   # leave out what Helm renders, where there is no Helm
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import chart
import click
import metrics_page
import order_vectors
import yaml
from monitoring import files, rules

from pretrain_api import crd
from pretrain_api.explain import Explained, everything, explain
from pretrain_api.presets import PRESETS
from pretrain_api.rules import RULES, immutable
from pretrain_cli.main import COMMANDS, cli

ROOT = Path(__file__).resolve().parent.parent
NOTE = "made by `make generate` from the types; do not edit"
MONITORING_NOTE = "made by make generate from scripts/monitoring; do not edit"
CHART_NOTE = NOTE.replace("the types", "the chart")


EXAMPLE = """\
apiVersion: pretrain.dev/v1alpha1
kind: PretrainJob
metadata:
  name: small
spec:
  storage:
    uri: runs/small
  data:
    sources:
      - {name: web, documents: "corpus/web/*.jsonl.zst", weight: 7}
      - {name: code, documents: "corpus/code/*.parquet", weight: 3, maxEpochs: 4}
    prepare:
      quality: {preset: fineweb}
      deduplicate: {exact: {}, minhash: {}}
  tokenizer:
    train: {vocabSize: 32768}
  model:
    preset: llama-125m
  objective:
    causalLM: {}
  training:
    tokens: 10_000_000_000
"""


def crd_manifest() -> str:
    """manifests/crd.yaml."""
    text = yaml.safe_dump(crd.definition(), sort_keys=False, width=120, allow_unicode=True)
    return f"# {NOTE.replace('`', '')}\n{text}"


def api_page() -> str:
    """docs/reference/api.md: every field, the rules between them, the presets."""
    return "\n".join(_api_lines()) + "\n"


def _api_lines() -> Iterator[str]:
    yield f"<!-- {NOTE} -->\n# PretrainJob\n"
    yield "The same YAML is run on one machine by `pretrain run` and on a cluster by the operator. A job needs no more than:\n"
    yield f"```yaml\n{EXAMPLE}```\n"
    yield "`pretrain explain PATH` shows a field in the terminal, `pretrain validate FILE` checks a file.\n"
    yield from _section(explain("metadata"))
    yield from _section(explain("spec"))
    for field in everything(explain("spec")):
        if field.children():
            yield from _section(field)
    yield from _rules()
    yield "## Presets\n\nParameters are counted without the token embeddings, whose size the tokenizer decides.\n"
    yield "| `model.preset` | model |\n| --- | --- |"
    yield from (f"| `{name}` | {preset.summary} |" for name, preset in PRESETS.items())
    yield "\n## What `kubectl get pretrainjobs` shows\n"
    yield "| column | value | with |\n| --- | --- | --- |"
    for name, _, path, priority in crd.COLUMNS:
        yield f"| {name.upper()} | `{path}` | {'`-o wide`' if priority else ''} |"
    yield ""
    yield from _section(explain("status"))
    for field in everything(explain("status")):
        if field.children():
            yield from _section(field)


def _section(field: Explained) -> Iterator[str]:
    yield f"## {field.name}\n\n{_cell(field.description)}\n"
    if not field.children():
        return
    yield "| field | type | default | |\n| --- | --- | --- | --- |"
    for child in field.children():
        notes = [child.description]
        if child.choices:
            notes.append(f"One of {', '.join(f'`{choice}`' for choice in child.choices)}.")
        if child.bounds and not child.choices:
            notes.append(f"{child.bounds[0].upper()}{child.bounds[1:]}.")
        name = f"[`{child.path[-1]}`](#{_anchor(child)})" if child.children() else f"`{child.path[-1]}`"
        yield f"| {name} | {child.type} | {_default(child)} | {_cell(' '.join(notes))} |"
    yield ""


def _anchor(field: Explained) -> str:
    return field.name.lower().replace(".", "")


def _default(field: Explained) -> str:
    if field.required:
        return "required"
    if field.default is None or isinstance(field.default, dict):
        return ""
    return f"`{json.dumps(field.default)}`"


def _cell(text: str) -> str:
    """Text inside a table: no line breaks, signs that Markdown would take for its own kept as they are."""
    return text.replace("\n", " ").replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def _rules() -> Iterator[str]:
    yield "## Rules between fields\n"
    yield "An API server checks those marked with CEL when the job is applied; `pretrain validate` checks all of them.\n"
    yield "| about | rule | CEL |\n| --- | --- | --- |"
    for rule in RULES:
        message = rule.message or f"See [{rule.code}](errors.md#{rule.code})."
        yield f"| `{_yaml_path(rule.at)}` | {_cell(message)} | {'yes' if rule.cel else ''} |"
    yield "\nOnce training began, these fields cannot change (of a source, its `weight` can):\n"
    yield from (f"- `{rule.field}`" for rule in immutable.RULES)
    yield ""


def _yaml_path(at: str) -> str:
    head, *tail = at.split("_")
    return head + "".join(part[0].upper() + part[1:] for part in tail)


def cli_page() -> str:
    """docs/reference/cli.md: the help of every command."""
    top = click.Context(cli, info_name="pretrain", **cli.context_settings)
    parts = [f"<!-- {NOTE.replace('types', 'commands')} -->\n# The `pretrain` command\n", _help(top)]
    for name in COMMANDS:
        command = cli.get_command(top, name)
        assert command is not None, name
        context = click.Context(command, top, info_name=name)
        parts.append(f"## pretrain {name}\n\n{_help(context)}")
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                inside = command.get_command(context, inner)
                assert inside is not None, inner
                parts.append(f"## pretrain {name} {inner}\n\n{_help(click.Context(inside, context, info_name=inner))}")
    parts.append(EXIT_CODES)
    return "\n".join(parts)


def _help(context: click.Context) -> str:
    context.terminal_width = 96  # whatever the terminal is that generates the page
    return f"```text\n{context.get_help()}\n```\n"


EXIT_CODES = """\
## Exit codes

| code | meaning |
| --- | --- |
| 0 | done |
| 1 | something failed, or the result could not be written to standard output; the message says what, and whether the same command goes on where it was |
| 2 | a mistake in the job, its inputs or the command line; [errors](errors.md) lists them |
| 130, 143 | stopped by Ctrl-C or SIGTERM with everything saved; the same command goes on |

Results go to standard output, everything else to standard error. What standard error does not take changes no exit code.
"""

PAGES: dict[str, Callable[[], str]] = {
    "manifests/crd.yaml": crd_manifest,
    "charts/pretrain-operator/templates/crd.yaml": lambda: chart.crd_template(NOTE),
    "docs/reference/chart.md": lambda: chart.values_page(CHART_NOTE),
    "docs/reference/api.md": api_page,
    "docs/reference/cli.md": cli_page,
    "charts/pretrain-operator/files/rules.yaml": lambda: rules.rules_file(MONITORING_NOTE),
    "manifests/monitoring/rules.yaml": lambda: rules.rules_file(MONITORING_NOTE),
    "manifests/monitoring/dashboards.yaml": lambda: files.config_maps(MONITORING_NOTE, chart.NAMESPACE),
    **files.dashboards(),
    "docs/reference/metrics.md": lambda: metrics_page.page(NOTE.replace("types", "declarations")),
    "docs/reference/data-order-vectors.json": order_vectors.vectors,
}
RENDERED: dict[str, Callable[[], str]] = {
    # Last: it renders the template above.
    "manifests/install.yaml": lambda: chart.install_manifest(CHART_NOTE.replace("`", "")),
}


def main(arguments: list[str]) -> int:
    """Write the files, or name those that are not current."""
    stale = 0
    for name, page in (PAGES if "--no-helm" in arguments else PAGES | RENDERED).items():
        path, text = ROOT / name, page()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if "--check" in arguments:
            print(f"{name} is not current: run make generate", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
