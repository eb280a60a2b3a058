"""`inventory`, `gpus`, `templates`: what can be rented."""

from __future__ import annotations

import click

from broker.cli.client import Body, Client, path_of
from broker.cli.output import (
    JSON,
    Column,
    cell,
    output_option,
    print_fields,
    print_table,
    say,
    show,
)
from broker.cli.output import gpus as gpus_of

_ROWS_FOR_PEOPLE = 20
_SORTS = ("price_per_hour", "price_per_gpu_hour", "reliability", "vram_gb", "gpu_count")


@click.command(
    epilog="""\b
Examples:
  gpu-broker inventory --gpu-type "RTX 4090" --max-price 0.50
  gpu-broker inventory --min-vram 80 --verified --sort=-reliability
  gpu-broker inventory vastai-12345 -o json"""
)
@click.argument("offer", required=False)
@click.option("--provider", help="Only this provider's.")
@click.option("--gpu-type", help="Only this GPU, for example `RTX 4090`.")
@click.option("--location", help="A country code, or part of the place's name.")
@click.option("--min-vram", type=int, help="At least this much memory per GPU, in GB.")
@click.option("--max-price", type=float, help="At most this many USD per hour.")
@click.option("--min-gpu-count", "--gpu-count", type=int, help="At least this many GPUs.")
@click.option("--gpu-count-exact", type=int, help="Exactly this many GPUs.")
@click.option("--min-reliability", type=float, help="At least this reliability, 0 to 1.")
@click.option("--min-availability-confidence", type=float, help="At least this sure, 0 to 1.")
@click.option("--min-cuda", type=float, help="At least this CUDA version.")
@click.option("--template-hash-id", help="Only offers that can run this template.")
@click.option("--verified/--unverified", default=None, help="Only (un)verified machines.")
@click.option(
    "--sort",
    type=click.Choice([*_SORTS, *(f"-{name}" for name in _SORTS)]),
    help="By what; a leading `-` descends (write --sort=-reliability).",
)
@click.option("--limit", type=int, help="At most this many rows (1-1000).  [table: 20]")
@click.option("--offset", type=int, help="Leave out the first so many.")
@output_option
def inventory(offer: str | None, output: str, **filters: object) -> None:
    """What can be rented, the cheapest first.

    With OFFER that one in full.
    """
    client = Client.from_environment()
    if offer is not None:
        _refuse_filters(filters)
        show(client.get(path_of("inventory", offer)), output, print_fields)
        return
    if output != JSON and filters["limit"] is None:
        filters["limit"] = _ROWS_FOR_PEOPLE
    show(client.get(path_of("inventory"), **filters), output, _print_offers)


@click.command(
    epilog="""\b
Examples:
  gpu-broker gpus
  gpu-broker gpus "RTX 4090\""""
)
@click.argument("gpu_type", required=False)
@output_option
def gpus(gpu_type: str | None, output: str) -> None:
    """The GPU models on the market and what they cost.

    With GPU_TYPE that one and its offers.
    """
    client = Client.from_environment()
    if gpu_type is None:
        show(client.get(path_of("gpus")), output, _print_gpus)
    else:
        answer = client.get(path_of("gpus", gpu_type, "availability"))
        show(answer, output, _print_availability)


@click.command(
    epilog="""\b
Examples:
  gpu-broker templates --name ollama
  gpu-broker templates --offer-id vastai-12345
  gpu-broker templates a8a44c7363cbca20056020397e3bf072"""
)
@click.argument("hash_id", required=False)
@click.option("--name", help="Only those with this in their name.")
@click.option("--image", help="Only those with this in the name of their image.")
@click.option("--provider", help="Only this provider's.")
@click.option("--recommended/--not-recommended", default=None, help="What its provider says.")
@click.option("--use-ssh/--no-use-ssh", default=None, help="Only those (without) an SSH server.")
@click.option("--offer-id", help="Only those that this offer can run.")
@output_option
def templates(hash_id: str | None, offer_id: str | None, output: str, **filters: object) -> None:
    """Prepared images of the providers.

    With HASH_ID that one in full.
    """
    is_filtered = any(value is not None for value in filters.values())
    if (hash_id is not None) + (offer_id is not None) + is_filtered > 1:
        raise click.UsageError("HASH_ID, --offer-id and the filters exclude each other.")
    client = Client.from_environment()
    if hash_id is not None:
        show(client.get(path_of("templates", hash_id)), output, print_fields)
    elif offer_id is not None:
        answer = client.get(path_of("inventory", offer_id, "compatible-templates"))
        show(answer, output, _print_templates)
    else:
        show(client.get(path_of("templates"), **filters), output, _print_templates)


def print_offers(offers: list[Body]) -> None:
    """Offers as a table."""
    columns: list[Column] = [
        ("OFFER", "id"),
        ("GPU", gpus_of),
        ("VRAM", lambda row: f"{cell(row.get('vram_gb'))} GB"),
        ("$/H", "price_per_hour"),
        ("PLACE", "location"),
        ("RELIABLE", "reliability"),
        ("VERIFIED", "verified"),
        ("CUDA", "cuda_version"),
    ]
    print_table(columns, offers, empty="No offer fits.")


def _refuse_filters(filters: dict[str, object]) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in filters.items() if value is not None]
    if given:
        raise click.UsageError(f"One OFFER takes no filters: {', '.join(given)}.")


def _print_offers(body: Body) -> None:
    print_offers(body["offers"])
    if body["count"] < body["total"]:
        say(f"{body['count']} of {body['total']} offers; --limit and --offset show others.")


def _print_gpus(body: Body) -> None:
    columns: list[Column] = [
        ("GPU", "gpu_type"),
        ("VRAM", lambda row: f"{cell(row.get('vram_gb'))} GB"),
        ("OFFERS", "offers"),
        ("GPUS", "gpus"),
        ("FROM $/GPU/H", "min_price_per_gpu_hour"),
        ("MEDIAN", "median_price_per_gpu_hour"),
        ("PROVIDERS", "providers"),
    ]
    print_table(columns, body["gpus"], empty="No GPUs are on the market.")


def _print_availability(body: Body) -> None:
    offers = body["offers"]
    print_fields({name: value for name, value in body.items() if name != "offers"})
    click.echo()
    print_offers(offers)


def _print_templates(body: Body) -> None:
    columns: list[Column] = [
        ("HASH ID", "hash_id"),
        ("NAME", "name"),
        ("IMAGE", "image"),
        ("DISK", "recommended_disk_space"),
    ]
    rows: list[Body] = body.get("templates") or body.get("compatible_templates") or []
    print_table(columns, rows, empty="No templates.")
