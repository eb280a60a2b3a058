"""The command line: `gpu-broker`.

It speaks HTTP to the broker at GPU_BROKER_URL and never to its insides; only what runs
the broker or works without it (serve, demo, check-config, doctor, openapi, sweep,
cleanup-orphans, backup, restore) imports more, and only when it runs.
"""

from __future__ import annotations

import click

from broker import __version__
from broker.cli.backup import backup, restore
from broker.cli.completion import completion
from broker.cli.config import check_config
from broker.cli.costs import costs
from broker.cli.cp import cp
from broker.cli.demo import demo
from broker.cli.doctor import doctor
from broker.cli.inventory import gpus, inventory, templates
from broker.cli.offer_health import offer_health
from broker.cli.openapi import openapi
from broker.cli.operate import cleanup_orphans, sweep
from broker.cli.program import Program
from broker.cli.providers import providers
from broker.cli.rent import rent
from broker.cli.serve import serve
from broker.cli.sessions import sessions
from broker.cli.ssh import ssh, ssh_config

__all__ = ["main"]


@click.group(
    cls=Program,
    epilog="""\b
Examples:
  gpu-broker demo
  gpu-broker serve --simulate
  gpu-broker rent --gpu-type "RTX 4090" --wait""",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Rent GPUs from several marketplaces, and be sure that they are gone afterwards.

    Commands speak to the broker at GPU_BROKER_URL (default http://127.0.0.1:8080).
    Exit codes: 0 done, 1 the request failed, 2 wrong usage or configuration, 3 no broker
    can be reached.
    """


for _command in (
    serve,
    demo,
    inventory,
    gpus,
    templates,
    offer_health,
    rent,
    sessions,
    ssh,
    cp,
    ssh_config,
    costs,
    providers,
    sweep,
    cleanup_orphans,
    backup,
    restore,
    check_config,
    doctor,
    openapi,
    completion,
):
    main.add_command(_command)
main.add_command(rent, "provision")
