"""`serve`: the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from broker.cli.exits import WronglySetUp
from broker.cli.local import load, settings_options


@click.command(
    epilog="""\b
Examples:
  gpu-broker serve --simulate
  VASTAI_API_KEY=... gpu-broker serve --config config.yaml --port 8080"""
)
@settings_options
@click.option("--host", help="The address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="The port to listen on; 0: any.  [default: 8080]")
@click.pass_context
def serve(
    context: click.Context,
    config: Path | None,
    database: str | None,
    simulate: str | None,
    host: str | None,
    port: int | None,
) -> None:
    """Run the broker until SIGTERM or Ctrl-C. Rented machines survive that.

    Flags beat the environment, which beats the .env file, which beats the YAML file.
    """
    settings = load(config=config, database=database, simulate=simulate, host=host, port=port)
    if not settings.enabled_providers and not settings.database_path.exists():
        raise WronglySetUp(
            "No provider is configured: set VASTAI_API_KEY or TENSORDOCK_API_TOKEN, "
            "or try the simulated market with --simulate."
        )
    from broker.app import run  # noqa: PLC0415 - keeps `--help` quick
    from broker.errors import StartupError  # noqa: PLC0415

    try:
        context.exit(run(settings))
    except StartupError as error:
        raise WronglySetUp(str(error)) from error
