"""`completion`: the script that teaches a shell this command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from broker.cli.program import COMPLETION_VARIABLE, NAME


@click.command(
    epilog="""\b
Examples:
  gpu-broker completion bash > ~/.local/share/bash-completion/completions/gpu-broker
  eval "$(gpu-broker completion zsh)"
  gpu-broker completion fish > ~/.config/fish/completions/gpu-broker.fish"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell."""
    script = get_completion_class(shell)
    if script is not None:
        root = context.find_root().command
        click.echo(script(root, {}, NAME, COMPLETION_VARIABLE).source())
