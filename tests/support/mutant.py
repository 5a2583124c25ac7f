"""A module with one word of its source changed, while the block runs or, as a plugin of pytest, for a whole run:

PRETRAIN_MUTANT='{"module": "...", "before": "...", "after": "..."}' python -m pytest -p support.mutant ...
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

ENV = "PRETRAIN_MUTANT"


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
    root = Path(__file__).resolve().parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        ENV: json.dumps({"module": module, "before": before, "after": after}),
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "support.mutant", "-p", "no:cacheprovider"]
    command += ["--timeout=30", "--timeout-method=thread", *map(str, tests)]  # a mutant may wait for ever
    done = subprocess.run(command, env=environment, cwd=root.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode == 1


if wanted := os.environ.get(ENV):
    found = json.loads(wanted)
    change(found["module"], found["before"], found["after"])
