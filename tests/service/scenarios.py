"""What whole sessions have in common, and what must be true whatever happened to them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from broker.clock import utcnow
from broker.decide import moves
from broker.ssh.connection import SshPool
from providers.base import Endpoint, LaunchSpec
from providers.label import Label, parse_label
from providers.simulator.adapter import SimulatorProvider
from providers.simulator.marketplace import Bill
from tests.service.conftest import Broker, eventually

FINAL = {"stopped", "failed"}
FOR_EVER = 1_000_000
"""So many times that nobody sees the end of it."""

_A_SECOND = Decimal(1) / 3600
_ROUNDING = Decimal("0.000001")


def market(broker: Broker) -> SimulatorProvider:
    """The simulated market itself, behind the broker's back."""
    provider = broker.parts.providers["simulator"]
    assert isinstance(provider, SimulatorProvider)
    return provider


async def made(broker: Broker, label: str) -> str:
    """A machine that somebody rents without the broker's knowledge; its id."""
    listed = (await market(broker).list_offers()).offers
    taken = {session["offer_id"] for session in await all_sessions(broker)}
    offer = next(offer for offer in reversed(listed) if offer.id not in taken)
    return (await market(broker).create(LaunchSpec(offer, label, ()))).id


async def all_sessions(broker: Broker) -> list[Any]:
    """Every session there is."""
    _, body = await broker.call("GET", "/api/v1/sessions")
    return list(body["sessions"])


def a_label(broker: Broker, deployment: str | None = None) -> str:
    """The label of a session that no database knows."""
    deployment = deployment or broker.parts.tools.rules.deployment
    return str(Label(deployment, "sess-aaaaaaaaaaaa", utcnow() + timedelta(hours=13), 1))


async def offers(broker: Broker, count: int, **filters: Any) -> list[Any]:
    """The cheapest trusted offers, each of another machine."""
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    _, body = await broker.call("GET", f"/api/v1/inventory?verified=true&{query}")
    found = body["offers"][:count]
    assert count == len(found)
    return list(found)


async def running(broker: Broker, **fields: Any) -> Any:
    """A session that runs."""
    status, body = await broker.rent(**fields)
    assert status == 201, body
    session = await broker.until(body["session"]["id"], "running", *FINAL)
    assert session["status"] == "running", session["error"]
    return session


async def warm_up(broker: Broker) -> None:
    """Let the process of the simulated machines start, for tests with short deadlines."""
    session = await running(broker, consumer_id="warm-up", gpu_type="RTX 3060")
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")


async def ended(broker: Broker, session_id: str) -> Any:
    """The session when its end is written, whoever asked for it."""
    return await broker.until(session_id, *FINAL)


async def only_session(broker: Broker) -> Any:
    """The one session that there is."""
    _, body = await broker.call("GET", "/api/v1/sessions")
    (session,) = body["sessions"]
    return session


async def metric(broker: Broker, sample: str) -> float:
    """The value of one sample, named as Prometheus shows it; 0 where there is none."""
    async with broker.client.get(f"{broker.url}/metrics") as response:
        text = await response.text()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return next((float(value) for name, _, value in lines if name == sample), 0.0)


def kinds(events: Iterable[Any]) -> list[str]:
    """The types of events."""
    return [event["type"] for event in events]


def instant(text: str) -> datetime:
    """An instant of the API."""
    return datetime.fromisoformat(text).astimezone(UTC)


async def assert_sound(broker: Broker, *, machines: int = 0, unheld: int = 0) -> None:
    """Hold the broker against the provider.

    `machines` are alive, each held by a live session. Every final session has a reason, an
    end, and no open attempt. Every machine costs what the provider bills for it, to the
    second; `unheld` machines were destroyed without ever belonging to a session.
    """
    await broker.call("DELETE", "/simulator/faults")
    _, body = await broker.call("GET", "/api/v1/sessions")
    sessions = {session["id"]: session for session in body["sessions"]}
    live = {one["provider_instance_id"] for one in sessions.values() if one["status"] not in FINAL}
    alive = {instance.id for instance in await market(broker).list_instances()}
    assert alive <= live, "a machine is alive that no live session holds"
    assert machines == len(alive)
    assert {"ours": machines, "orphaned": 0, "foreign": 0} == await broker.machines()
    for session in sessions.values():
        if session["status"] in FINAL:
            _assert_over(session)
    _assert_billed(sessions, await market(broker).statement(utcnow()), unheld)


def _assert_over(session: Any) -> None:
    assert session["status_reason"], session
    assert session["stopped_at"], session
    assert all(attempt["ended_at"] for attempt in session["attempts"]), session
    assert all(attempt["outcome"] for attempt in session["attempts"]), session
    if session["status"] == "failed":
        assert session["error"], session


def _assert_billed(sessions: dict[str, Any], bills: Iterable[Bill], unheld: int) -> None:
    billed: dict[str, list[Bill]] = {session_id: [] for session_id in sessions}
    for bill in bills:
        session_id = _holder_of(bill, sessions)
        if session_id is None:
            unheld -= 1
        else:
            billed[session_id].append(bill)
    assert unheld == 0
    for session_id, session in sessions.items():
        total = sum((bill.billed for bill in billed[session_id]), Decimal(0))
        second = sum((bill.price_per_hour for bill in billed[session_id]), Decimal(0)) * _A_SECOND
        difference = abs(total - Decimal(str(session["accrued_cost"])))
        assert difference <= second + _ROUNDING, (session, billed[session_id])


def _holder_of(bill: Bill, sessions: dict[str, Any]) -> str | None:
    label = parse_label(bill.label)
    session = sessions.get(label.session_id) if label else None
    attempts = session["attempts"] if session else []
    has_it = any(attempt["instance_id"] == bill.instance_id for attempt in attempts)
    return label.session_id if label and has_it else None


async def shorten(broker: Broker, session_id: str, left: timedelta) -> datetime:
    """Let the reservation end so soon; returns the instant. No client may ask for it."""
    now = utcnow()
    await broker.parts.tools.journal.apply(
        session_id, lambda session, _: moves.extend(session, now + left, now)
    )
    return now + left


async def run(session: Any, private_key: str, command: str) -> str:
    """What a command says on a session's machine."""
    pool = SshPool(1)
    try:
        result = await pool.run(
            Endpoint(session["ssh_host"], session["ssh_port"]),
            session["ssh_user"],
            private_key,
            command,
            host_keys=tuple(session["known_hosts"]),
            timeout=timedelta(seconds=20),
        )
    finally:
        pool.close()
    return result.stdout.strip()


async def reconciled(broker: Broker, times: int = 3) -> None:
    """Wait until the provider's list was asked for so many times more."""
    labels = '{operation="list_instances",provider="simulator"}'
    sample = f"gpu_provider_request_duration_seconds_count{labels}"
    before = await metric(broker, sample)

    async def is_done() -> bool:
        return await metric(broker, sample) >= before + times

    await eventually(is_done)
