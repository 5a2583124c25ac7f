"""A module with one word of its source changed, while the block runs or for a run of tests."""

import contextlib
import functools
import importlib
import multiprocessing.context
import os
import sys
import tempfile
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


def compiled(name: str, before: str, after: str) -> types.ModuleType:
    """The module from another source, beside the one that is imported. Raises AssertionError where that does not stand there."""
    source = Path(str(importlib.import_module(name).__file__)).read_text()
    assert before in source, f"{before} does not stand in {name} any more"
    found = types.ModuleType(f"{name}_mutant")
    sys.modules[found.__name__] = found  # where dataclasses look for their module
    try:
        exec(compile(source.replace(before, after), "mutant", "exec"), found.__dict__)
    finally:
        del sys.modules[found.__name__]
    return found


def change(name: str, before: str, after: str) -> dict[str, object]:
    """Give a module's functions another source; what they were."""
    module, changed = importlib.import_module(name), compiled(name, before, after)
    kept = dict(module.__dict__)
    module.__dict__.update({name: value for name, value in changed.__dict__.items() if callable(value)})
    return kept


@contextlib.contextmanager
def changed(name: str, before: str, after: str) -> Iterator[None]:
    """The module is another one meanwhile."""
    kept = change(name, before, after)
    try:
        yield
    finally:
        importlib.import_module(name).__dict__.update(kept)


def is_noticed(tests: Sequence[Path], module: str, before: str, after: str) -> bool:
    """Whether one of these tests fails in a process of its own in which the module is another one."""
    with tempfile.NamedTemporaryFile() as log:
        run = _forks().Process(target=_tested, args=(log.name, list(map(str, tests)), module, before, after))
        run.start()
        run.join(120)
        if run.is_alive():
            run.kill()
        said = Path(log.name).read_text()
    assert run.exitcode in (0, 1), f"{run.exitcode}: {said}"
    return run.exitcode == 1


def _tested(log: str, tests: Sequence[str], module: str, before: str, after: str) -> None:
    with open(log, "wb") as file:
        for standard in (1, 2):
            os.dup2(file.fileno(), standard)
    change(module, before, after)
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    # A mutant may wait for ever.
    sys.exit(pytest.main([*options, f"--rootdir={_ROOT}", "--timeout=30", "--timeout-method=thread", *tests]))


@functools.cache
def _forks() -> multiprocessing.context.ForkServerContext:
    """Processes that have imported what takes longer than most runs of tests."""
    context = multiprocessing.get_context("forkserver")
    changed_ones = ["pretrain_trainer.agent.leader", "pretrain_operator.brain.decide"]
    context.set_forkserver_preload(["pytest", "hypothesis", *changed_ones])
    return context
