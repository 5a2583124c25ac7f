"""What the commands about checkpoints have in common."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., int])


def of_run(function: Function) -> Function:
    """Which run, and the form of the answer."""
    output = click.option(
        "-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", help="Form of the result."
    )
    sets = click.option(
        "--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again."
    )
    return click.argument("target", metavar="FILE|STORAGE_URI")(sets(output(function)))


def run(what: str, target: str, sets: Sequence[str], output: str, *arguments: str) -> int:
    """Start the program behind the command; its exit code."""
    from pretrain_cli.target import endpoint_url, workplace
    from pretrain_cli.trainer_program import run

    place = workplace(target, sets)
    options = ["--storage", place.storage.uri(), "--endpoint-url", endpoint_url(place), "--output", output]
    return run("checkpointing", what, *options, *arguments)
