"""`check-config`: what `serve` would run with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from broker.cli.local import load, settings_options
from broker.cli.output import output_option, print_card, show_report, warn


@click.command(
    "check-config",
    epilog="""\b
Example:
  gpu-broker check-config --config config.yaml""",
)
@settings_options
@output_option
def check_config(
    config: Path | None, database: str | None, simulate: str | None, output: str
) -> None:
    """Print every setting, or every mistake.

    Secrets are masked. Mistakes end with exit code 2.
    """
    settings = load(config=config, database=database, simulate=simulate)
    from broker.config import present_settings  # noqa: PLC0415 - keeps `--help` quick

    show_report(present_settings(settings), output, lambda tree: print_card(flatten(tree)))
    if not settings.enabled_providers:
        warn(
            "No provider is configured: without --simulate `serve` will refuse to start, unless "
            "its database has sessions that still live."
        )


def flatten(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested settings as dotted paths and their values."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value).lower() if isinstance(value, bool) else value
