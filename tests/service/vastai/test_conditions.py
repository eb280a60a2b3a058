"""What templates and ports ask of offers, over the wire of Vast.ai."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.service.conftest import Broker
from tests.service.vastai.asking import ANYTHING, calls_of, listed, until_read, vastai
from tests.service.vastai.conftest import ServeVastai
from tests.vast_wire import Misfortune, Operation, VastWire, Word
from tests.waiting import eventually

FILTERS = {
    "cpu_arch": {"in": ["amd64"]},
    "driver_version": {"gte": "550.54.14"},
    "static_ip": {"eq": "true"},
    "cpu_cores": {"gte": "64"},
    "made_up": {"gte": 1},
}


@pytest.fixture
def machines_run() -> bool:
    """All here is decided before."""
    return False


def _publish(wire: VastWire) -> str:
    """A template with these conditions and a large disk; its hash."""
    made = wire.templates.add(
        name="Choosy",
        image="me/choosy",
        runtype="ssh",
        recommended_disk_space=150,
        extra_filters=FILTERS,
    )
    return str(made["hash_id"])


def _meets(row: Any) -> bool:
    driver = tuple(int(part) for part in row["driver_version"].split("."))
    return driver >= (550, 54, 14) and row["static_ip"] and row["cpu_cores"] >= 64


def _rows(wire: VastWire) -> dict[str, Any]:
    """Offer -> its row, as the marketplace tells it."""
    return {f"vastai-{row['id']}": row for row in wire.offers()}


async def test_the_listing_for_a_template_has_the_offers_that_it_wants(
    broker: Broker, wire: VastWire
) -> None:
    """By flags, versions and figures that only the marketplace tells; the rest is named."""
    hash_id = _publish(wire)
    _, body = await broker.call("GET", f"/api/v1/inventory?template_hash_id={hash_id}")

    rows = _rows(wire)
    everything = {offer["id"] for offer in await listed(broker)}
    wanted = {offer["id"] for offer in body["offers"]}
    assert wanted == {one for one in everything if _meets(rows[one])}
    assert set() < wanted < everything
    (warning,) = body["warnings"]
    assert warning["code"] == "template_filter_not_applied"
    assert warning["message"].endswith(": made_up.")


async def test_an_offer_that_the_template_does_not_want_is_refused_before_it_is_rented(
    broker: Broker, wire: VastWire
) -> None:
    """With the conditions."""
    hash_id, rows = _publish(wire), _rows(wire)
    unfit = next(one["id"] for one in await listed(broker) if not rows[one["id"]]["static_ip"])
    status, body = await broker.rent(offer_id=unfit, template_hash_id=hash_id)

    assert (400, "validation_error") == (status, body["code"])
    (detail,) = body["details"]
    assert detail["field"] == "template_hash_id"
    assert "static_ip eq true" in detail["message"]
    assert len(calls_of(wire, Operation.CREATE)) == 0


async def test_the_chosen_offer_and_its_stand_ins_are_what_the_template_wants(
    broker: Broker, wire: VastWire
) -> None:
    """With the disk that it recommends, also in the price."""
    hash_id, rows = _publish(wire), _rows(wire)
    wire.misfortunes.add(Misfortune(Word.OFFER_GONE, times=2))
    status, body = await broker.rent(
        **ANYTHING, template_hash_id=hash_id, auto_retry=True, retry_scope="any", max_price=10
    )
    assert status == 201, body

    async def made() -> Any:
        session = await broker.session(body["session"]["id"])
        return session if session["provider_instance_id"] else None

    session = await eventually(made)
    assert len(session["attempts"]) == 3
    assert all(_meets(rows[attempt["offer_id"]]) for attempt in session["attempts"])
    (machine,) = wire.instances()
    assert machine["disk_space"] == 150
    assert session["price_per_hour"] > rows[session["offer_id"]]["dph_base"]


async def test_an_offer_without_ports_of_its_own_serves_ssh_and_nothing_else(
    broker: Broker, wire: VastWire
) -> None:
    """Where more has to be published it is refused, and not chosen."""
    closed = {name: row for name, row in _rows(wire).items() if not row["direct_port_count"]}
    offer = next(one for one in await listed(broker) if one["id"] in closed)
    status, body = await broker.rent(offer_id=offer["id"], exposed_ports=[8000])

    assert (400, "validation_error") == (status, body["code"])
    assert [detail["field"] for detail in body["details"]] == ["exposed_ports"]
    fields = {"gpu_type": offer["gpu_type"], "provider": "vastai", "allow_unverified": True}
    status, body = await broker.rent(**fields, exposed_ports=[8000], consumer_id="other")
    assert status == 404 or body["session"]["offer_id"] not in closed
    status, body = await broker.rent(offer_id=offer["id"])
    assert status == 201, body


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"env": {"A": "x" * 257, "B": "y"}}, ["env.A"]),
        ({"env": {f"V{n}": "x" * 250 for n in range(131)}}, ["env"]),
        ({"on_start_cmd": "x" * 4090}, ["on_start_cmd"]),
        ({"on_start_cmd": "x" * 4000, "watchdog": True}, ["on_start_cmd"]),
        ({"on_start_cmd": "x" * 5000, "env": {"A": "x" * 300}}, ["env.A", "on_start_cmd"]),
    ],
)
async def test_what_is_too_long_for_the_marketplace_is_the_consumers_mistake(
    broker: Broker, wire: VastWire, fields: dict[str, Any], wrong: list[str]
) -> None:
    """400 names every field; nothing is rented, nothing recorded, and the provider is well."""
    for offer in (None, (await listed(broker))[0]["id"]):
        status, body = await broker.rent(
            **{**ANYTHING, "provider": None, "offer_id": offer, **fields}
        )
        assert (status, body["code"]) == (400, "validation_error"), body
        assert [detail["field"] for detail in body["details"]] == wrong

    assert calls_of(wire, Operation.CREATE) == []
    _, sessions = await broker.call("GET", "/api/v1/sessions")
    assert sessions["sessions"] == []
    assert (await vastai(broker))["state"] == "ready"
    status, body = await broker.rent(**ANYTHING)
    assert status == 201, body


async def test_text_that_no_answer_can_hold_is_shown_as_far_as_it_can_be(
    serve_vastai: ServeVastai, wire: VastWire
) -> None:
    """JSON can name half a character; neither the market nor a template is lost for one."""
    rows = [{**row, "geolocation": "\ud800, US"} for row in wire.offers()]
    text = json.dumps({"offers": rows})
    wire.misfortunes.add(Misfortune(Word.ANSWER, Operation.SEARCH, status=200, text=text))
    made = wire.templates.add(name="bad \ud800", image="me/bad", runtype="ssh")
    async with serve_vastai(inventory__cache_ttl="1h") as broker:
        await until_read(broker)

        offers = await listed(broker)
        status, body = await broker.call("GET", f"/api/v1/templates/{made['hash_id']}")
        assert {offer["location"] for offer in offers} == {"?, US"}
        assert (status, body["name"]) == (200, "bad ?")
        status, body = await broker.rent(gpu_type=None)
        assert status == 201, body
