"""`openapi`: the description of the API, without a broker."""

from __future__ import annotations

import click

from broker.cli.output import JSON, print_raw


@click.command(
    epilog="""\b
Example:
  gpu-broker openapi > openapi.json"""
)
@click.option(
    "-o", "--output", type=click.Choice([JSON]), default=JSON, help="JSON, with or without."
)
def openapi(output: str) -> None:  # noqa: ARG001 (there is no other)
    """Print the OpenAPI document.

    It is what GET /openapi.json answers; no broker is needed.
    """
    from broker.api.http import encode  # noqa: PLC0415 - keeps `--help` quick
    from broker.app import api_document  # noqa: PLC0415

    print_raw(encode(api_document()))
