"""`pretrain completion`: the script that teaches a shell the command's words."""

import click
from click.shell_completion import get_completion_class

_VARIABLE = "_PRETRAIN_COMPLETE"


@click.command(
    epilog="""\b
Examples:
  source <(pretrain completion bash)
  pretrain completion zsh > "${fpath[1]}/_pretrain"
  pretrain completion fish > ~/.config/fish/completions/pretrain.fish"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL."""
    from pretrain_cli.main import cli

    completion_class = get_completion_class(shell)
    assert completion_class is not None  # click knows these three
    click.echo(completion_class(cli, {}, "pretrain", _VARIABLE).source())
