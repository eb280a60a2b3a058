"""`offer-health`: the offers that failed lately."""

from __future__ import annotations

import click

from broker.cli.client import Body, Client, path_of
from broker.cli.output import Column, output_option, print_table, show


@click.command(
    "offer-health",
    epilog="""\b
Examples:
  gpu-broker offer-health
  gpu-broker offer-health --provider vastai --gpu-type "RTX 4090\"""",
)
@click.option("--provider", help="Only this provider's.")
@click.option("--gpu-type", help="Only this GPU, for example `RTX 4090`.")
@output_option
def offer_health(output: str, **filters: object) -> None:
    """The offers that failed lately, why, and until when they are passed over."""
    show(Client.from_environment().get(path_of("offer-health"), **filters), output, _print_offers)


def _print_offers(body: Body) -> None:
    columns: list[Column] = [
        ("OFFER", "offer_id"),
        ("GPU", "gpu_type"),
        ("FAILURES", "recent_failures"),
        ("LAST REASON", "last_reason"),
        ("PASSED OVER UNTIL", "passed_over_until"),
        ("MACHINE", "machine_id"),
    ]
    print_table(columns, body["offers"], empty="No offer has failed lately.")
