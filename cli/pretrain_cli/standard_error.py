"""Notes and errors for people. What cannot be printed changes no exit code: that says the same."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

import click


def say(line: str) -> None:
    """Print a line on standard error, if anything can be printed there."""
    with lasting():
        click.echo(line, err=True)


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """Whatever standard error does not take is lost, now and at exit."""
    try:
        yield
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Let a stream lead nowhere. What is left in its buffer would be written at exit, and the failure of that become the
    exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
