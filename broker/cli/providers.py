"""`providers`: which marketplaces can be used, and why not."""

from __future__ import annotations

import click

from broker.cli.client import Body, Client, path_of
from broker.cli.output import Column, dollars, output_option, print_table, show


@click.command(
    epilog="""\b
Example:
  gpu-broker providers"""
)
@output_option
def providers(output: str) -> None:
    """The marketplaces, and the machines in each account."""
    show(Client.from_environment().get(path_of("providers")), output, _print_providers)


def _print_providers(body: Body) -> None:
    columns: list[Column] = [
        ("PROVIDER", "name"),
        ("STATE", "state"),
        ("OFFERS", "offers"),
        ("COVERAGE", _coverage),
        ("BALANCE", lambda row: dollars(row.get("balance"))),
        ("OURS", lambda row: machines(row, "ours")),
        ("ORPHANED", lambda row: machines(row, "orphaned")),
        ("FOREIGN", lambda row: machines(row, "foreign")),
        ("REFRESHED", "last_refresh"),
        ("REASONS", "reasons"),
    ]
    print_table(columns, body["providers"], empty="No provider is configured.")


def _coverage(provider: Body) -> str | None:
    """How much of the market is listed; None while not known."""
    coverage = provider.get("coverage")
    if not coverage:
        return None
    detail = (coverage["detail"] or "more than listed").rstrip(".")
    extent = "all" if coverage["complete"] else f"partly: {detail}"
    return f"{extent}; {coverage['dropped']} not understood" if coverage["dropped"] else extent


def machines(provider: Body, kind: str) -> int | None:
    """How many machines of a kind the provider's account holds; None while not known."""
    count: int | None = (provider.get("machines") or {}).get(kind)
    return count
