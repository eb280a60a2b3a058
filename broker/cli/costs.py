"""`costs [summary|daily]`: what was spent."""

from __future__ import annotations

import click

from broker.cli.client import Body, Client, path_of
from broker.cli.output import Column, output_option, print_fields, print_table, show


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  gpu-broker costs --session-id sess-abc2345xyz
  gpu-broker costs --consumer-id me --start-date 2026-01-01 --end-date 2026-01-31
  gpu-broker costs summary
  gpu-broker costs daily""",
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


@costs.command(
    epilog="""\b
Examples:
  gpu-broker costs daily
  gpu-broker costs daily --consumer-id me --start-date 2026-01-01 --end-date 2026-01-31
  gpu-broker costs daily --session-id sess-abc2345xyz"""
)
@click.option("--consumer-id", help="Only this consumer's.")
@click.option("--session-id", help="Of one session, by default its whole life.")
@click.option("--start-date", metavar="YYYY-MM-DD", help="From this day.")
@click.option("--end-date", metavar="YYYY-MM-DD", help="Up to this day.")
@output_option
def daily(output: str, **filters: object) -> None:
    """What was spent on each UTC day, in USD; by default of this month so far."""
    answer = Client.from_environment().get(path_of("costs", "daily"), **filters)
    show(answer, output, _print_days)


def _print_days(body: Body) -> None:
    columns: list[Column] = [
        ("DAY", "date"),
        ("COST", "total_cost"),
        ("SESSIONS", "session_count"),
        ("HOURS", "hours_used"),
        ("PROVIDERS", "by_provider"),
        ("GPUS", "by_gpu_type"),
    ]
    total = {"date": "total", "total_cost": body["total_cost"]}
    print_table(columns, [*body["days"], total], empty="No days.")
