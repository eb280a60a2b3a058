"""What the API's first document left open, as it was decided."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from broker.model import WorkloadType
from tests.service.api.asking import assert_refused, request, send
from tests.service.api.wrong_values import encoded
from tests.service.conftest import Broker, Serve
from tests.service.scenarios import assert_sound, ended, offers, only_session

SESSIONS = "/api/v1/sessions"
ASKED = {"consumer_id": "me", "workload_type": "llm", "reservation_hours": 1}


async def test_a_creation_need_not_be_waited_for(market_only: Broker) -> None:
    """`Prefer: respond-async`: 202 with the key before the provider has answered."""
    await market_only.fault("slow", "create", delay="500ms")
    body = encoded({**ASKED, "gpu_type": "RTX 4090"})
    answer = await send(
        market_only.url, request("POST", SESSIONS, body, "Prefer: wait=3, Respond-Async")
    )

    assert 202 == answer.status
    assert "respond-async" == answer.headers["preference-applied"]
    assert answer.body["session"]["status"] in {"pending", "provisioning"}
    assert answer.body["session"]["provider_instance_id"] is None
    assert answer.body["ssh_private_key"]
    assert "outcome_unknown" in [warning["code"] for warning in answer.body["warnings"]]
    session_id = answer.body["session"]["id"]
    assert session_id == (await only_session(market_only))["id"]
    await market_only.call("DELETE", f"{SESSIONS}/{session_id}")
    await ended(market_only, session_id)
    await assert_sound(market_only)


async def test_a_refusal_that_nobody_waited_for_is_told_by_the_session(market_only: Broker) -> None:
    """It ends as failed, with the reason."""
    await market_only.fault("offer_gone", "create")
    body = encoded({**ASKED, "gpu_type": "RTX 4090"})
    answer = await send(market_only.url, request("POST", SESSIONS, body, "Prefer: respond-async"))
    session = await ended(market_only, answer.body["session"]["id"])

    assert ("failed", "offer_gone") == (session["status"], session["status_reason"])


async def test_diagnostics_are_told_of_any_session_on_request(serve: Serve) -> None:
    """While its machine is still being made; an ended one has none."""
    async with serve(providers__simulator__boot_time="1h") as broker:
        _, body = await broker.rent()
        path = f"{SESSIONS}/{body['session']['id']}"
        assert 400 == (await broker.call("GET", f"{path}/diagnostics"))[0]
        assert 400 == (await broker.call("GET", f"{path}/diagnostics?any=false"))[0]
        status, shown = await broker.call("GET", f"{path}/diagnostics?any=true")

        assert (200, "provisioning") == (status, shown["status"])
        assert ("0m", 0, False) == tuple(
            shown[name] for name in ("uptime", "uptime_seconds", "ssh_available")
        )
        await broker.call("DELETE", path)
        assert 400 == (await broker.call("GET", f"{path}/diagnostics?any=true"))[0]


async def test_a_template_decides_what_runs_and_says_what_it_overrules(market_only: Broker) -> None:
    """The image beside it has no effect, and a warning tells so."""
    _, templates = await market_only.call("GET", "/api/v1/templates?name=Ollama")
    template = templates["templates"][0]
    _, body = await market_only.rent(
        gpu_type=None, template_hash_id=template["hash_id"], docker_image="me/mine"
    )

    assert f"{template['image']}:{template['tag']}" == body["session"]["image"]
    (warning,) = (one for one in body["warnings"] if one["code"] == "ignored_beside_template")
    assert "docker_image" in warning["message"]


async def test_the_nine_kinds_of_work_are_taken(market_only: Broker) -> None:
    """Those of the document, and the longer list that clients know."""
    for workload_type in WorkloadType:
        status, body = await market_only.rent(workload_type=workload_type, max_price=0.001)
        assert (404, "no_offer_fits") == (status, body["code"]), workload_type
    assert 9 == len(WorkloadType)


TWO_HOURS = {
    "id": 7,
    "machine_id": 7,
    "gpu_name": "RTX 4090",
    "num_gpus": 1,
    "gpu_ram": 24564,
    "dph_base": 0.3,
    "dph_total": 0.31,
    "reliability2": 0.99,
    "verification": "verified",
    "disk_space": 500,
    "duration": 7200,
    "rentable": True,
}
"""An offer as Vast.ai lists it."""


async def test_an_offer_is_rented_and_extended_within_its_own_time(
    serve: Serve, tmp_path: Path
) -> None:
    """Beyond it is 400 with the field, at the creation and later; criteria pass it over."""
    market = tmp_path / "market.json"
    market.write_text(json.dumps([TWO_HOURS]))
    settings: dict[str, Any] = {"market_file": str(market), "ssh": False}
    async with serve(**{f"providers__simulator__{name}": v for name, v in settings.items()}) as one:
        (offer,) = await offers(one, 1)
        status, refused = await one.rent(offer_id=offer["id"], reservation_hours=3)
        assert (400, "reservation_hours") == (status, refused["details"][0]["field"])
        status, refused = await one.rent(reservation_hours=3)
        assert (404, "no_offer_fits") == (status, refused["code"])
        status, opened = await one.rent(offer_id=offer["id"], reservation_hours=1)
        assert 201 == status
        path = f"{SESSIONS}/{opened['session']['id']}/extend"
        status, refused = await one.call("POST", path, {"additional_hours": 2})
        assert (400, "validation_error") == (status, refused["code"])
        assert "additional_hours" == refused["details"][0]["field"]
        assert 200 == (await one.call("POST", path, {"additional_minutes": 30}))[0]


async def test_the_hard_maximum_is_told_with_the_field(market_only: Broker) -> None:
    """Twelve hours in all; a reservation of twelve cannot be extended."""
    _, opened = await market_only.rent(reservation_hours=12)
    path = f"{SESSIONS}/{opened['session']['id']}/extend"
    for more in ({"additional_hours": 1}, {"additional_minutes": 1}):
        status, refused = await market_only.call("POST", path, more)

        assert (400, "hard_max_exceeded") == (status, refused["code"])
        assert list(more) == [one["field"] for one in refused["details"]]


async def test_a_session_may_be_extended_and_ended_before_it_runs(market_only: Broker) -> None:
    """Extending moves its end; done cancels it, and no machine is left."""
    _, body = await market_only.rent()
    path = f"{SESSIONS}/{body['session']['id']}"
    assert "provisioning" == (await market_only.call("GET", path))[1]["status"]
    assert 200 == (await market_only.call("POST", f"{path}/extend", {"additional_hours": 1}))[0]
    assert 200 == (await market_only.call("POST", f"{path}/done"))[0]
    session = await ended(market_only, body["session"]["id"])

    assert ("stopped", "done") == (session["status"], session["status_reason"])
    assert 409 == (await market_only.call("POST", f"{path}/extend", {"additional_hours": 1}))[0]
    await assert_sound(market_only)


async def test_a_machine_may_show_its_token_in_the_header(broker: Broker) -> None:
    """As a bearer; a wrong one is refused as it is in the body, which goes before it."""
    _, body = await broker.rent()
    path = f"{SESSIONS}/{body['session']['id']}/heartbeat"
    await broker.until(body["session"]["id"], "running", "failed")

    async def beat(bearer: str, **fields: Any) -> int:
        header = f"Authorization: {bearer}"
        return (await send(broker.url, request("POST", path, encoded(fields), header))).status

    assert 200 == await beat(f"Bearer {body['session_token']}", gpu_util=50)
    assert 401 == await beat("bearer guessed", gpu_util=50)
    assert 200 == await beat("Bearer guessed", gpu_util=50, token=body["session_token"])


async def test_what_a_broker_that_starts_can_do(market_only: Broker) -> None:
    """Everything but taking sessions; when to come back is told for those."""
    _, body = await market_only.rent()
    path = f"{SESSIONS}/{body['session']['id']}"
    market_only.parts.opening.is_open = False
    refused = await send(
        market_only.url, request("POST", SESSIONS, encoded({**ASKED, "gpu_type": "A100"}))
    )

    assert_refused(refused, 503, "not_ready")
    assert refused.body["retry_suggested"] is True
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert 200 == (await market_only.call("GET", path))[0]
    assert 200 == (await market_only.call("POST", f"{path}/done"))[0]
    assert 200 == (await market_only.call("DELETE", path))[0]


async def test_an_offer_that_is_gone_is_not_to_be_asked_for_again(market_only: Broker) -> None:
    """Another offer may do, so nothing says when to repeat the same request."""
    (offer,) = await offers(market_only, 1)
    await market_only.rent(offer_id=offer["id"])
    body = encoded({**ASKED, "consumer_id": "late", "offer_id": offer["id"]})
    answer = await send(market_only.url, request("POST", SESSIONS, body))

    assert_refused(answer, 503, "stale_inventory")
    assert "retry-after" not in answer.headers


async def test_ends_may_be_asked_for_at_the_same_time(market_only: Broker) -> None:
    """DELETE is idempotent, whoever else asks."""
    _, body = await market_only.rent()
    path = f"{SESSIONS}/{body['session']['id']}"
    answers = await asyncio.gather(*(market_only.call("DELETE", path) for _ in range(5)))

    assert {200} == {status for status, _ in answers}
    await assert_sound(market_only)
