"""`costs [summary]`: what was spent."""

from __future__ import annotations

import click

from broker.cli.client import Client, path_of
from broker.cli.output import output_option, print_fields, show


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  gpu-broker costs --session-id sess-abc2345xyz
  gpu-broker costs --consumer-id me --start-date 2026-01-01 --end-date 2026-01-31
  gpu-broker costs summary""",
)
@click.option("--consumer-id", help="Only this consumer's.")
@click.option("--session-id", help="Of one session.")
@click.option("--start-date", metavar="YYYY-MM-DD", help="From this day.")
@click.option("--end-date", metavar="YYYY-MM-DD", help="Up to this day.")
@click.option("--period", type=click.Choice(["daily", "monthly"]), help="Of this day or month.")
@output_option
@click.pass_context
def costs(context: click.Context, /, output: str, **filters: object) -> None:
    """What was spent, in USD."""
    if context.invoked_subcommand is None:
        show(Client.from_environment().get(path_of("costs"), **filters), output, print_fields)
    elif any(value is not None for value in filters.values()):
        raise click.UsageError(f"Options of {context.invoked_subcommand} stand after its name.")


@costs.command(
    epilog="""\b
Example:
  gpu-broker costs summary --consumer-id me"""
)
@click.option("--consumer-id", help="Only this consumer's.")
@output_option
def summary(consumer_id: str | None, output: str) -> None:
    """What was spent this month, in USD."""
    answer = Client.from_environment().get(path_of("costs", "summary"), consumer_id=consumer_id)
    show(answer, output, print_fields)
