"""The main job on recorded markets: real offers, simulated machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.service.conftest import Serve

FOLDER = Path(os.environ.get("RECORDED_MARKETS", "")) / "vast_offers"
FILES = [
    "vastcli_2024-11-05_all.json",
    "ccir_2026-03-05T174839Z.json",
    "computeindex_2026-07-18_bundles.json",
    "vastcli_2025-01-17_m1_4offers_bare_list.json",
]

needs_recordings = pytest.mark.skipif(
    not os.environ.get("RECORDED_MARKETS") or not FOLDER.is_dir(),
    reason="RECORDED_MARKETS names no folder of recorded markets",
)


@needs_recordings
@pytest.mark.parametrize("name", FILES)
async def test_a_recorded_offer_is_rented_proved_and_proved_gone(serve: Serve, name: str) -> None:
    """The cheapest offer of a real market becomes a machine with its GPUs, and goes again."""
    async with serve(providers__simulator__market_file=str(FOLDER / name)) as broker:
        _, listed = await broker.call("GET", "/api/v1/inventory?limit=1")
        [cheapest] = listed["offers"]

        status, body = await broker.rent(offer_id=cheapest["id"])
        assert status == 201, body
        session = await broker.until(body["session"]["id"], "running", "failed")
        assert session["status"] == "running", session["error"]
        shown = ("gpu_type", "gpu_count", "price_per_hour", "location")
        assert {name: cheapest[name] for name in shown} == {name: session[name] for name in shown}

        await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
        assert "stopped" == (await broker.session(session["id"]))["status"]
        assert {"ours": 0, "orphaned": 0, "foreign": 0} == await broker.machines()


@needs_recordings
async def test_the_whole_recorded_market_is_listed(serve: Serve) -> None:
    """Over a thousand real offers can be filtered by what every consumer asks for."""
    async with serve(providers__simulator__market_file=str(FOLDER / FILES[0])) as broker:
        _, everything = await broker.call("GET", "/api/v1/inventory")
        _, filtered = await broker.call(
            "GET", "/api/v1/inventory?gpu_type=RTX%204090&max_price=0.5&min_reliability=0.9"
        )

        assert everything["total"] > 1000
        assert 0 < filtered["total"] < everything["total"]
        assert {"RTX 4090"} == {offer["gpu_type"] for offer in filtered["offers"]}
