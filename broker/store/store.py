"""The store: what the rest of the broker asks of the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from broker.effects import Effect, effect
from broker.model import (
    Accrual,
    Attempt,
    CarriedOut,
    Change,
    Confidential,
    Event,
    Failure,
    Holder,
    Meter,
    Overview,
    Session,
    Sighting,
    Status,
    Version,
    Watch,
)
from broker.store import queries, writes
from broker.store.backup import COPIED_AT
from broker.store.location import database_path
from broker.store.opening import prepare
from broker.store.outage import Outage
from broker.store.reader import Reader
from broker.store.rows import to_holders, to_overviews
from broker.store.sealing import Sealer
from broker.store.together import Together
from broker.store.writer import Writer

_PAGE = 500
_LONGEST_WAIT = timedelta(days=1)


class Store:
    """One open database. Every method raises StoreFailed where the database does not work.

    A method that writes returns when what it wrote survives the loss of power.
    """

    def __init__(self, path: Path, sealer: Sealer, now: Callable[[], datetime]) -> None:
        self._path = path
        self._sealer = sealer
        self._reader = Reader(path)
        self._writer = Writer(path, now)
        self._overviews = Together(self.overviews)

    @classmethod
    async def open(
        cls, url: str, *, key: bytes, now: Callable[[], datetime], may_migrate: bool = True
    ) -> Store:
        """Open the database at `url`: a path, or `sqlite:///` and a path.

        Makes its folder and file, checks it, and brings it to the present schema, after
        a copy has been laid beside it; without `may_migrate`, for those who do not hold the
        lock, another schema is refused. `key` is the Fernet key of confidential values.
        Raises StartupError.
        """
        sealer = Sealer(key)
        path = database_path(url)
        with effect(Effect.PREPARE_DATABASE):
            await asyncio.to_thread(prepare, path, now(), may_migrate=may_migrate)
        return cls(path, sealer, now)

    async def close(self) -> None:
        """Finish what is being written, and let go of the database."""
        await self._reader.close()
        await self._writer.close()

    @property
    def outage(self) -> Outage | None:
        """Since when nothing can be written, and why; None while it can."""
        return self._writer.outage

    async def meta(self, key: str) -> str | None:
        """A value of the database's own. `created_at`, in ISO 8601, is always there."""
        return await self._reader.first(queries.META, key=key)

    async def set_meta(self, key: str, value: str) -> None:
        """Set a value of the database's own."""
        await self._writer.run(Effect.SET_META, partial(writes.set_meta, key=key, value=value))

    async def take_up_copy(self, changes: Sequence[Change], now: datetime) -> None:
        """Write all of `changes` and forget all sightings: the database is no copy any more.

        Raises StaleWrite, with nothing written, where somebody else has written a session.
        """
        job = partial(writes.take_up_copy, changes=changes, now=now)
        await self._writer.run(Effect.TAKE_UP_COPY, job)

    async def restored_at(self, now: datetime) -> datetime | None:
        """When this database was restored from a copy: `now` where no broker has run on it yet.

        None where it never was.
        """
        if await self.meta(COPIED_AT) is not None:
            return now
        restored_at = await self.meta(writes.RESTORED_AT)
        return None if restored_at is None else datetime.fromisoformat(restored_at)

    async def add_session(self, change: Change, confidential: Confidential) -> Session:
        """Insert a session with its attempt and events.

        Raises DuplicateSession where the consumer already has a live session of this offer.
        """
        sealed = self._sealer.seal(confidential)
        return await self._writer.run(
            change.name, partial(writes.add_session, change=change, sealed=sealed)
        )

    async def commit(self, change: Change) -> Session:
        """Write a change, and return the session with its new version.

        Raises StaleWrite where somebody else has written since `change.session.version`,
        DuplicateSession where a retry moves to an offer that the consumer already has.
        """
        return await self._writer.run(change.name, partial(writes.commit, change=change))

    async def follow_clock(self, by: timedelta) -> None:
        """Move all meters of the sessions that are not final.

        Whoever has read one of these sessions before has an old version of it.
        """
        await self._writer.run(Effect.FOLLOW_CLOCK, partial(writes.follow_clock, by=by))

    async def session(self, session_id: str) -> Session | None:
        return await self._reader.first(queries.SESSION, id=session_id)

    async def current(self, session_id: str) -> tuple[Session, Attempt] | None:
        """A session with its current attempt."""
        return await self._reader.first(queries.CURRENT, id=session_id)

    async def live_session(self, consumer_id: str, offer_id: str) -> str | None:
        """The id of the consumer's live session of that offer."""
        return await self._reader.first(
            queries.LIVE_SESSION, consumer_id=consumer_id, offer_id=offer_id
        )

    async def attempts(self, session_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """The attempts of each session that is asked for, in their order."""
        found = await self._reader.fetch(queries.ATTEMPTS, session_ids=_list(session_ids))
        by_session: dict[str, list[Attempt]] = {session_id: [] for session_id in session_ids}
        for attempt in found:
            by_session[attempt.session_id].append(attempt)
        return {session_id: tuple(attempts) for session_id, attempts in by_session.items()}

    async def verified_attempts(self, since: datetime) -> list[Attempt]:
        """The attempts that were verified since that instant, oldest first.

        Those of sessions that had been waiting for a machine for more than a day are left out.
        """
        created = since - _LONGEST_WAIT
        return await self._reader.fetch(queries.VERIFIED, instant=since, created=created)

    async def overview(self, session_id: str) -> Overview | None:
        """A session with its attempts and accruals."""
        return await self._overviews.find(session_id)

    async def overviews(self, session_ids: Sequence[str]) -> dict[str, Overview]:
        """Those of these sessions that exist, with their attempts and accruals."""
        rows = await self._reader.fetch(queries.OVERVIEWS, session_ids=_list(session_ids))
        return to_overviews(rows)

    async def versions(
        self,
        *,
        consumer_id: str | None = None,
        statuses: Sequence[Status] = (),
        provider: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> tuple[list[Version], int]:
        """A page of sessions, newest first, and how many there are on all pages.

        No statuses are all statuses; `provider` is the one of the current offer.
        """
        wanted = _list(statuses) if statuses else None
        given = _given(consumer_id=consumer_id, statuses=wanted, provider=provider)
        found = await self._reader.fetch(
            queries.versions_where(frozenset(given)),
            **given,
            limit=queries.NO_LIMIT if limit is None else limit,
            offset=offset,
        )
        return found[0]

    async def confidential(self, session_id: str) -> Confidential:
        """What the consumer sent in confidence; empty where that is forgotten."""
        sealed = await self._reader.first(queries.SEALED, id=session_id)
        return self._sealer.open(sealed)

    async def open_ids(self) -> list[str]:
        """The sessions that are not final, oldest first."""
        return await self._reader.fetch(queries.OPEN_IDS)

    async def watches(self) -> AsyncIterator[list[Watch]]:
        """Every session that is not final, page by page."""
        after = ""
        while page := await self._reader.fetch(queries.WATCH_PAGE, after=after, limit=_PAGE):
            yield page
            after = page[-1].id

    async def restless(self, until: datetime) -> list[Watch]:
        """The sessions that may need something before `until`, by what is recorded of them alone.

        Not those that run, whose lease ends later.
        """
        return await self._reader.fetch(queries.RESTLESS, instant=until)

    async def watched_for_idleness(self) -> list[Watch]:
        """The sessions that are not final and end when they are idle for long enough."""
        return await self._reader.fetch(queries.WATCHED_FOR_IDLENESS)

    async def next_due(self, now: datetime) -> datetime | None:
        """The next instant at which a lease is over: `now` where one is over already."""
        ends_at = await self._reader.first(queries.NEXT_DUE)
        return None if ends_at is None else max(ends_at, now)

    async def due(self, now: datetime) -> list[Watch]:
        """The sessions still wanted whose lease is over, the longest overdue first."""
        return await self._reader.fetch(queries.DUE, instant=now)

    async def sessions_with(self, provider: str, instance_ids: Sequence[str]) -> list[str]:
        """The sessions that are not final and whose records name one of these instances."""
        given = {"provider": provider, "instance_ids": _list(instance_ids)}
        return await self._reader.fetch(queries.HOLDERS_OF_INSTANCES, **given)

    async def holders(self, session_ids: Sequence[str]) -> dict[str, Holder]:
        """What those of these sessions that exist say about their instances."""
        held: dict[str, Holder] = {}
        for first in range(0, len(session_ids), _PAGE):
            page = _list(session_ids[first : first + _PAGE])
            held |= to_holders(await self._reader.fetch(queries.HOLDINGS, session_ids=page))
        return held

    async def events(
        self, *, session_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[Event]:
        """Events with an id above `after`, in the order in which they were committed."""
        given = _given(session_id=session_id, after=after)
        query = queries.events_where(frozenset(given))
        most = queries.NO_LIMIT if limit is None else limit
        return await self._reader.fetch(query, **given, limit=most)

    async def sessions_with_watchdog(self) -> list[Session]:
        """The sessions still wanted whose machines end themselves."""
        return await self._reader.fetch(queries.WITH_WATCHDOG)

    async def events_of_live_sessions(self, types: Sequence[str]) -> list[Event]:
        """The events of these types of all sessions that are not final, in their order."""
        return await self._reader.fetch(queries.LIVE_EVENTS, types=_list(types))

    async def add_event(self, event: Event) -> Event:
        """Write an event that changes no session, and return it with its id."""
        return await self._writer.run(Effect.ADD_EVENT, partial(writes.add_event, event=event))

    async def accruals(
        self,
        *,
        consumer_id: str | None = None,
        session_id: str | None = None,
        session_ids: Sequence[str] | None = None,
        begins_before: datetime | None = None,
        ends_after: datetime | None = None,
    ) -> list[Accrual]:
        """The accruals that reach into the window, open ones included, by their beginning."""
        given = _given(
            consumer_id=consumer_id,
            session_id=session_id,
            session_ids=None if session_ids is None else _list(session_ids),
            begins_before=begins_before,
            ends_after=ends_after,
        )
        query = queries.accruals_where(frozenset(given))
        return await self._reader.fetch(query, **given)

    async def meters(self, consumer_id: str | None = None) -> list[Meter]:
        """Every session that is not final, once for each of its accruals and at least once."""
        given = _given(consumer_id=consumer_id)
        return await self._reader.fetch(queries.meters_where(frozenset(given)), **given)

    async def failures(self, since: datetime) -> list[Failure]:
        """The failures since that instant, oldest first."""
        return await self._reader.fetch(queries.FAILURES, instant=since)

    async def prune_failures(self, before: datetime) -> None:
        """Forget the failures before that instant."""
        await self._writer.run(Effect.PRUNE_FAILURES, partial(writes.prune_failures, before=before))

    async def carried_out(self, key: str, since: datetime) -> CarriedOut | None:
        """The request with this Idempotency-Key that was carried out since then."""
        return await self._reader.first(queries.CARRIED_OUT, key=key, instant=since)

    async def prune_carried_out(self, before: datetime) -> None:
        """Forget the requests with a key that were carried out before that instant."""
        await self._writer.run(
            Effect.PRUNE_CARRIED_OUT, partial(writes.prune_carried_out, before=before)
        )

    def fingerprint(self, asked: bytes) -> str:
        """Stands for what a request asked: the same for the same, and of no use without our key."""
        return self._sealer.fingerprint(asked)

    async def sightings(self, provider: str) -> list[Sighting]:
        return await self._reader.fetch(queries.SIGHTINGS, provider=provider)

    async def providers_of_strays(self, now: datetime) -> list[str]:
        """The providers at which instances of ours may be that no session holds.

        They were in the last list, or may still appear after a lost reply.
        """
        return await self._reader.fetch(queries.PROVIDERS_OF_STRAYS, instant=now)

    async def save_sightings(self, provider: str, seen: Sequence[Sighting]) -> None:
        """Replace everything that was seen at `provider` by `seen`."""
        await self._writer.run(
            Effect.SAVE_SIGHTINGS, partial(writes.save_sightings, provider=provider, seen=seen)
        )

    async def counts(self) -> dict[tuple[str, Status], int]:
        """How many sessions there are, by provider of the current offer and status."""
        counted = await self._reader.fetch(queries.COUNTS)
        return {(provider, status): count for provider, status, count in counted}


def _given(**filters: object) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}


def _list(members: Sequence[str]) -> str:
    """Members as the one parameter that a query takes for a list."""
    return json.dumps(list(members))
