"""What the commands share that work beside the broker's files: its settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from broker.cli.exits import WronglySetUp, on_interrupt

if TYPE_CHECKING:
    from broker.config import Settings

T = TypeVar("T")

_GOES_ON = (
    "Interrupted. What was already asked of the marketplaces goes on there; the same command "
    "again does what is left."
)

_OPTIONS = (
    click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="The YAML file to read."
    ),
    click.option("--database", metavar="PATH_OR_URL", help="Where sessions are remembered."),
    click.option(
        "--simulate",
        is_flag=False,
        flag_value="",
        metavar="[FILE]",
        help="Add the simulated market, or one made from FILE: a recorded Vast.ai search.",
    ),
)


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--config`, `--database` and `--simulate`, as `load` takes them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def database_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--config` and `--database` alone."""
    for option in reversed(_OPTIONS[:2]):
        command = option(command)
    return command


def load(
    *,
    config: Path | None,
    database: str | None,
    simulate: str | None,
    host: str | None = None,
    port: int | None = None,
    deployment: str | None = None,
) -> Settings:
    """The settings of this machine; raises WronglySetUp with a line for every mistake."""
    from broker.app import provider_problems  # noqa: PLC0415 - slow to import
    from broker.config import ConfigurationError, load_settings  # noqa: PLC0415

    flags = {
        "server.host": host,
        "server.port": port,
        "database.url": database,
        "lifecycle.deployment_id": deployment,
        "providers.simulator.enabled": None if simulate is None else True,
        "providers.simulator.market_file": simulate or None,
    }
    try:
        return load_settings(
            file=config, environment=os.environ, flags=flags, further=provider_problems
        )
    except ConfigurationError as error:
        raise WronglySetUp("\n".join(map(str, error.problems))) from error


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do what needs no server; raises WronglySetUp where it cannot even begin."""
    import asyncio  # noqa: PLC0415 - slow to import

    from broker.errors import StartupError  # noqa: PLC0415

    try:
        with on_interrupt(lambda: _GOES_ON):
            return asyncio.run(work)
    except StartupError as error:
        raise WronglySetUp(str(error)) from error
