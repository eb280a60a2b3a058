"""Shell completion: the script that teaches a shell this command line, and ids of sessions."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

from broker.cli.client import Client, path_of
from broker.cli.exits import CommandFailed
from broker.cli.program import COMPLETION_VARIABLE, NAME

_LIVE = "pending,provisioning,running,stopping"
_PATIENCE_SECONDS = 1.0
"""Whoever presses the tab key does not wait for a broker that is away."""


def live_sessions(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """The ids of sessions with a machine, that begin as somebody has `begun`; none in trouble."""
    try:
        client = Client.from_environment(patience=_PATIENCE_SECONDS)
        sessions = client.get(path_of("sessions"), status=_LIVE).body["sessions"]
    except (CommandFailed, KeyError):
        return []
    ids = [str(session["id"]) for session in sessions]
    return [CompletionItem(session_id) for session_id in ids if session_id.startswith(begun)]


session_argument = click.argument("session", shell_complete=live_sessions)


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
