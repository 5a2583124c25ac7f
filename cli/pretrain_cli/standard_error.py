"""Notes and errors for people. What cannot be printed changes no exit code: that says the same."""

import contextlib

import click


def say(line: str) -> None:
    """Print a line on standard error, if anything can be printed there."""
    with contextlib.suppress(OSError):
        click.echo(line, err=True)
