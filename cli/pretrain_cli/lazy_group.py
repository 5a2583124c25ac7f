"""A command with subcommands in sections, each imported only when it is used.

A subcommand is the module `<package>.<name>` with a click command called `command`.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """Listing and completing the names of the subcommands imports none of them."""

    def __init__(self, *args: Any, package: str, sections: Mapping[str, Mapping[str, str]], **kwargs: Any) -> None:
        """`sections`: title -> subcommand -> what the help says about it."""
        super().__init__(*args, **kwargs)
        self._package, self._sections = package, sections
        self._said = {name: said for section in sections.values() for name, said in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._said)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._said:
            return None
        command: click.Command = importlib.import_module(f"{self._package}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._said and not name.startswith("-"):
            from pretrain_api.problems import closest

            meant = closest(name, self._said)
            hint = f"Did you mean {meant}?" if meant else f"Commands: {', '.join(self._said)}."
            raise click.UsageError(f'"{name}" is no command. {hint}', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, self._said))
        for title, commands in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{widest}}", said) for name, said in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [CompletionItem(n, help=h) for n, h in self._said.items() if n.startswith(incomplete)]
        return names or click.Command.shell_complete(self, ctx, incomplete)
