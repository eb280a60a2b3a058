"""Values for the tests of the store, and a store on a real file."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from broker.model import Accrual, Attempt, Change, Confidential, Event, Session
from broker.store import Store
from providers.base import Offer
from tests import builders
from tests.builders import NOW

HOUR = timedelta(hours=1)
KEY = Fernet.generate_key()
NOTHING = Confidential()


@asynccontextmanager
async def opened(folder: Path, key: bytes = KEY) -> AsyncIterator[Store]:
    """A store on a database in `folder`."""
    store = await Store.open(str(folder / "broker.db"), key=key, now=lambda: NOW)
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def kept_locked(file: Path) -> Iterator[None]:
    """Another process has begun to write into a database, and does not come to an end."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def offer(n: int, provider: str = "simulator") -> Offer:
    """The `n`th offer of a provider."""
    return builders.an_offer(provider=provider, provider_id=f"{n}", machine_id=f"m{n}")


def session(n: int = 1, consumer_id: str = "somebody", **fields: Any) -> Session:
    """The `n`th session, recorded `n` seconds after NOW, of the `n`th offer."""
    offered = fields.get("offer") or offer(n)
    recorded_so = {
        "id": f"sess-{n:010d}",
        "request": builders.a_request(consumer_id=consumer_id, offer_id=offered.id),
        "offer": offered,
        "created_at": NOW + timedelta(seconds=n),
    }
    return builders.a_session(**(recorded_so | fields))


def attempt(of: Session, n: int = 1, **fields: Any) -> Attempt:
    """The `n`th attempt of a session, at its present offer."""
    fitting = {"session_id": of.id, "n": n, "offer": of.offer, "label": f"label-{of.id}-{n}"}
    return builders.an_attempt(**(fitting | fields))


def accrual(of: Session, **fields: Any) -> Accrual:
    """A meter of the current attempt of a session, running since NOW."""
    running = Accrual(
        session_id=of.id,
        attempt=of.attempt,
        consumer_id=of.request.consumer_id,
        provider=of.offer.provider,
        gpu_type=of.offer.gpu_type,
        price_per_hour=Decimal("0.10"),
        begins_at=NOW,
    )
    return replace(running, **fields)


def recorded(of: Session, **fields: Any) -> Change:
    """The change that records a session with its first attempt and an event."""
    event = Event("session.created", of.created_at, of.id, {"offer_id": of.offer.id})
    return replace(Change("record", of, attempt(of), (event,)), **fields)


async def add(store: Store, of: Session, **fields: Any) -> Session:
    """Record a session."""
    return await store.add_session(recorded(of, **fields), NOTHING)


def names_in(folder: Path) -> list[str]:
    """The files in a folder."""
    return sorted(file.name for file in folder.iterdir())
