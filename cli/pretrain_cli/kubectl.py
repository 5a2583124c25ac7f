"""Completion for `kubectl pretrain ...`: kubectl asks the program `kubectl_complete-pretrain`.

It gives the words after `kubectl pretrain`, the last one unfinished, and reads one candidate a line, a tab before its
description, and at the end a colon with cobra's directive.
"""

import sys
from collections.abc import Sequence

from click.shell_completion import ShellComplete

from pretrain_cli.main import cli

_DEFAULT, _NO_FILES = 0, 4
"""Cobra's directives: complete file names too when there is nothing; never complete file names."""


def complete(words: Sequence[str] | None = None) -> int:
    """Print the candidates for the last of the words."""
    *before, unfinished = words if words is not None else sys.argv[1:] or [""]
    items = ShellComplete(cli, {}, "pretrain", "").get_completions(list(before), unfinished)
    named = [item for item in items if item.type == "plain"]
    for item in named:
        print(f"{item.value}\t{item.help}" if item.help else item.value)
    print(f":{_NO_FILES if named or not items else _DEFAULT}")
    return 0
