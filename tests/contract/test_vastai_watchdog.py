"""The dead-man's switch of a machine at Vast.ai: real machines, and nobody who ends them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from broker.clock import utcnow
from providers.base import WATCHDOG_FILE
from providers.vastai import VastaiOptions, VastaiProvider, open_vastai
from tests.contract.conftest import a_spec, first_offer
from tests.vast_wire import Misfortune, Operation, VastWire, Word, open_vast_wire
from tests.waiting import eventually

AN_HOUR = timedelta(hours=1)


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[VastWire]:
    """The service, with machines that run."""
    async with open_vast_wire(tmp_path, now=utcnow) as opened:
        yield opened


@pytest.fixture
async def provider(wire: VastWire) -> AsyncIterator[VastaiProvider]:
    """The account there."""
    opened = await open_vastai(VastaiOptions(wire.api_key, wire.url, pace=0), utcnow)
    yield opened
    await opened.close()


async def until_gone(wire: VastWire, instance_id: str) -> None:
    """Wait until the service has it no more."""

    async def look() -> bool:
        return wire.instance(instance_id) is None

    await eventually(look)


async def test_a_machine_ends_itself_when_its_time_is_over(
    wire: VastWire, provider: VastaiProvider
) -> None:
    """With the key that it was given; no broker is there, and a refusal does not stop it."""
    wire.misfortunes.add(Misfortune(Word.ERROR, Operation.DESTROY))
    at = utcnow() + timedelta(seconds=1)
    made = await provider.create(a_spec(await first_offer(provider), watchdog_at=at))
    await provider.close()

    await until_gone(wire, made.id)

    assert utcnow() >= at


async def test_a_machine_obeys_the_deadline_in_its_file(
    wire: VastWire, provider: VastaiProvider, tmp_path: Path
) -> None:
    """It was far away, and somebody moves it; nonsense in the file is no deadline."""
    spec = a_spec(
        await first_offer(provider), watchdog_at=utcnow() + AN_HOUR, on_start="touch ~/begun"
    )
    made = await provider.create(spec)

    async def look() -> list[Path]:
        return list(tmp_path.rglob(f"root/{WATCHDOG_FILE}"))

    (deadline,) = await eventually(look)
    assert int(deadline.read_text()) == math.ceil(spec.watchdog_at.timestamp())
    assert deadline.stat().st_mode & 0o077 == 0
    assert wire.instance(made.id) is not None

    deadline.write_text(f"{int(utcnow().timestamp())}\n")

    await until_gone(wire, made.id)
