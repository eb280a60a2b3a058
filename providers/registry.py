"""Every marketplace by its name. Adapters are imported only when they are needed."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from providers.base import Provider
from providers.errors import BadResponse

_KEY = re.compile(r"[!-~]+")
"""What can stand in a header."""

Now = Callable[[], datetime]
Options = Mapping[str, Any]
Factory = Callable[[Options, Path, Now], Awaitable[Provider]]


async def _simulator(options: Options, data_dir: Path, now: Now) -> Provider:
    from providers.simulator import SimulatorOptions, open_simulator, parse_fault

    known = ("boot_time", "drift", "seed", "offers", "ssh", "market_file")
    chosen = {name: options[name] for name in known}
    faults = tuple(parse_fault(fault) for fault in options["faults"])
    return await open_simulator(SimulatorOptions(data_dir=data_dir, faults=faults, **chosen), now)


async def _vastai(options: Options, data_dir: Path, now: Now) -> Provider:  # noqa: ARG001
    from providers.vastai import VastaiOptions, open_vastai

    chosen = {name: options[name] for name in ("api_url", "pace", "searches_per_day")}
    return await open_vastai(VastaiOptions(options["api_key"].get_secret_value(), **chosen), now)


async def _tensordock(options: Options, data_dir: Path, now: Now) -> Provider:  # noqa: ARG001
    from providers.tensordock import TensordockOptions, TensordockProvider

    known = ("api_url", "default_image", "pace", "balance_floor")
    secrets = {name: options[name] for name in ("api_token", "auth_id")}
    told = {name: value and value.get_secret_value() for name, value in secrets.items()}
    return TensordockProvider(
        TensordockOptions(**told, **{name: options[name] for name in known}), now
    )


def _tensordock_problems(options: Options) -> Iterator[tuple[str, str]]:
    for name in ("api_token", "auth_id"):
        secret = options[name]
        if secret is not None and not _KEY.fullmatch(secret.get_secret_value()):
            yield name, "holds characters that no key has"


def _vastai_problems(options: Options) -> Iterator[tuple[str, str]]:
    if options["api_key"] is None:
        return
    from providers.vastai import has_sdk

    if not _KEY.fullmatch(options["api_key"].get_secret_value()):
        yield "api_key", "holds characters that no key has"
    if not has_sdk():
        yield "api_key", "needs the official client: pip install 'gpu-broker[vastai]'"


def _simulator_problems(options: Options) -> Iterator[tuple[str, str]]:
    if not (options["faults"] or options["market_file"]):
        return
    from providers.simulator import FaultInvalid, parse_fault, read_market

    for number, fault in enumerate(options["faults"]):
        try:
            parse_fault(fault)
        except FaultInvalid as error:
            yield from ((f"faults.{number}.{field}", why) for field, why in error.problems)
    if options["market_file"] is not None:
        try:
            read_market(options["market_file"])
        except BadResponse as error:
            yield "market_file", str(error).removesuffix(".")


FACTORIES: Mapping[str, Factory] = {
    "vastai": _vastai,
    "tensordock": _tensordock,
    "simulator": _simulator,
}

CONSOLES: Mapping[str, str] = {
    "vastai": "https://cloud.vast.ai/instances/",
    "tensordock": "https://dashboard.tensordock.com/",
}
"""Where a person sees the machines of an account, and can destroy them by hand."""

_CHECKS: Mapping[str, Callable[[Options], Iterator[tuple[str, str]]]] = {
    "vastai": _vastai_problems,
    "tensordock": _tensordock_problems,
    "simulator": _simulator_problems,
}


def option_problems(name: str, options: Options) -> Iterator[tuple[str, str]]:
    """What is wrong with the section of `name`, as far as only its adapter knows.

    Pairs of a key (`faults.0.delay`) and a message.
    """
    check = _CHECKS.get(name)
    return check(options) if check else iter(())


async def open_provider(name: str, options: Options, data_dir: Path, now: Now) -> Provider:
    """The adapter called `name`, built from its section of the settings; KeyError if unknown."""
    return await FACTORIES[name](options, data_dir, now)
