"""Cleaning up an organization at TensorDock without a server."""

from __future__ import annotations

from broker.app.offline import cleanup_orphans
from broker.clock import utcnow
from broker.config import Settings
from providers.base import LaunchSpec
from providers.tensordock import TensordockOptions, TensordockProvider
from tests.service.scenarios import a_label
from tests.service.tensordock.conftest import ServeTensordock
from tests.tensordock_wire import TensordockWire


async def test_an_orphan_whose_age_nobody_tells_ends_at_its_second_sighting(
    serve_tensordock: ServeTensordock, wire: TensordockWire
) -> None:
    """Where no server remembers what was seen, the command itself does."""
    async with serve_tensordock(lifecycle__orphan_grace_period="0s") as broker:
        settings, label = broker.parts.settings, a_label(broker)
    theirs = wire.add_instance()
    await _rent(wire, label)

    others = {"somebody else's": ("foreign", False)}
    assert await _verdicts(settings) == others | {label: ("young", False)}
    assert await _verdicts(settings) == others | {label: ("orphaned", True)}
    assert [row["id"] for row in wire.instances()] == [theirs]


async def _rent(wire: TensordockWire, label: str) -> None:
    """A machine that no session knows."""
    options = TensordockOptions(api_token=wire.api_token, api_url=wire.url, pace=0)
    provider = TensordockProvider(options, utcnow)
    try:
        offer, *_ = (await provider.list_offers()).offers
        await provider.create(LaunchSpec(offer, label, ("ssh-ed25519 AAAA somebody",)))
    finally:
        await provider.close()


async def _verdicts(settings: Settings) -> dict[str | None, tuple[str, bool]]:
    """Label -> what the command says of a machine, and whether it destroyed it."""
    report = await cleanup_orphans(settings, execute=True, force=False, provider=None)
    return {row.instance.label: (row.judgement.verdict, row.destroyed) for row in report.rows}
