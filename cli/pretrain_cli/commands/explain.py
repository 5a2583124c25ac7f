"""`pretrain explain`: what a field of a PretrainJob is for, like `kubectl explain`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from pretrain_api.explain import Explained


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Paths below what is typed so far."""
    from pretrain_api.errors import UserError
    from pretrain_api.explain import explain

    parent, _, start = incomplete.rpartition(".")
    try:
        children = explain(parent or "spec").children()
    except UserError:
        return []
    prefix = f"{parent}." if parent else ""
    return [
        CompletionItem(prefix + child.path[-1], help=child.description)
        for child in children
        if child.path[-1].startswith(start)
    ]


@click.command(
    epilog="""\b
Examples:
  pretrain explain training.optimizer
  pretrain explain data.sources.documents
  pretrain explain model.preset
  pretrain explain data.prepare --recursive"""
)
@click.argument("path", default="", shell_complete=_complete)
@click.option("--recursive", is_flag=True, help="Show every field below, with its type and default.")
def command(path: str, recursive: bool) -> None:
    """Show type, bounds, default and purpose of the field at PATH, and the fields below it.

    PATH begins at spec unless it names another part: training.optimizer is spec.training.optimizer.
    """
    from pretrain_api.explain import everything, explain

    field = explain(path)
    click.echo(click.style(field.name, bold=True) + f"  {_facts(field)}")
    _paragraph(field.description, indent=2)
    if field.bounds:
        _paragraph(f"Bounds: {field.bounds}.", indent=2)
    if field.choices:
        _paragraph(f"One of: {', '.join(field.choices)}.", indent=2)
    for name, summary in field.examples():
        click.echo(f"  {click.style(f'{name:<14}', bold=True)}{summary}")
    children = field.children()
    if children:
        click.echo("\nFields:")
    if recursive:
        for child in everything(field):
            indent = "  " * (len(child.path) - len(field.path))
            click.echo(f"{indent}{click.style(child.path[-1], bold=True)}  {_facts(child)}")
        return
    for child in children:
        click.echo(f"  {click.style(child.path[-1], bold=True)}  {_facts(child)}")
        _paragraph(child.description, indent=6)


def _facts(field: Explained) -> str:
    facts = [field.type]
    if field.required:
        facts.append("required")
    if field.default is not None:
        facts.append(f"default {json.dumps(field.default)}" if not isinstance(field.default, dict) else "has a default")
    return ", ".join(facts)


def _paragraph(text: str, indent: int) -> None:
    import shutil

    width = min(shutil.get_terminal_size().columns, 100)
    click.echo(click.wrap_text(text, width, " " * indent, " " * indent))
