"""What works without a server: one sweep, and the cleaning of an account."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from broker.api.http import present_money
from broker.app.adapters import drains_of, open_providers
from broker.app.build import Parts, built
from broker.app.identity import (
    known_deployment,
    prepare_data_dir,
    require_database,
    sealing_key,
)
from broker.clock import utcnow
from broker.config import Settings
from broker.decide.cleanup import Judgement, Verdict, judge, seen_now
from broker.decide.draining import Drain
from broker.decide.ownership import sessions_named
from broker.effects import Effect, effect
from broker.errors import StartupError
from broker.model import Holder
from broker.store import Store
from broker.store.lock import DatabaseLock
from broker.sweeper import Applied, SweepReport
from broker.usecases.accounts import live_sessions
from providers.base import Instance, Provider
from providers.errors import NotFound, ProviderError
from providers.label import deployment_part, parse_label

TEARDOWN_PATIENCE = timedelta(seconds=60)
"""How long a sweep without a server waits for the ends that it began."""

PROOF_PATIENCE = timedelta(seconds=30)
"""How long the cleaning of an account waits until a machine that it destroyed is gone."""

_BETWEEN_LOOKS = timedelta(seconds=1)


async def sweep_once(
    settings: Settings, *, dry_run: bool, patience: timedelta = TEARDOWN_PATIENCE
) -> SweepReport:
    """One sweep, with the destructions that fail when the work it began is done.

    `patience` bounds that work. Raises LockHeld while a server works on the database, and
    StartupError, also for a restored database until a server has started on it.
    """
    lock = DatabaseLock.acquire(settings.database_path, "")
    try:
        async with built(settings, is_passing=True) as parts:
            report = await parts.sweeper.sweep(parts.tools.doors, is_dry_run=dry_run)
            await parts.workers.until_idle(patience)
            return replace(report, actions=(*report.actions, *_failing(parts)))
    finally:
        lock.release()


def _failing(parts: Parts) -> Iterator[Applied]:
    """The machines of sessions that are not destroyed; orphans are actions of the sweep itself."""
    for provider in parts.tools.doors:
        for one in parts.tools.destructions.failing(provider):
            if not one.is_orphan:
                yield Applied(
                    "destroy", one.answer, False, one.session_id, provider, one.instance_id
                )


@dataclass(frozen=True, slots=True)
class CleanupRow:
    """One machine of an account, and what was done about it."""

    provider: str
    instance: Instance
    judgement: Judgement
    age: timedelta | None
    destroyed: bool = False
    problem: str | None = None

    def present(self) -> dict[str, Any]:
        """As the command line shows it."""
        price = self.instance.price_per_hour
        return {
            "provider": self.provider,
            "instance_id": self.instance.id,
            "label": self.instance.label,
            "age_seconds": None if self.age is None else int(self.age.total_seconds()),
            "price_per_hour": None if price is None else present_money(price),
            "verdict": self.judgement.verdict,
            "destroyed": self.destroyed,
            "why": self.problem or self.judgement.why,
        }


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """All machines of the accounts that were looked at."""

    rows: tuple[CleanupRow, ...]
    unlisted: Mapping[str, str]
    """Provider that could not be listed -> why."""

    def present(self) -> dict[str, Any]:
        """As the command line shows it."""
        return {"machines": [row.present() for row in self.rows], "unlisted": dict(self.unlisted)}


@dataclass(frozen=True, slots=True)
class _Records:
    """What the database, if there is one, said about labels before this look."""

    holders: Mapping[str, Holder]
    first_seen: Mapping[str, datetime]
    restored_at: datetime | None


async def cleanup_orphans(
    settings: Settings,
    *,
    execute: bool,
    force: bool,
    provider: str | None,
) -> CleanupReport:
    """Judge every machine of the accounts; destroy the orphaned ones with `execute`.

    Works beside a running server: what a row claims is left alone. Raises StartupError.
    """
    prepare_data_dir(settings.data_dir)
    known = await _known(settings)
    if provider is not None and provider not in settings.accounts:
        raise StartupError(known.stranded.get(provider, f"Provider {provider} is not configured."))
    drains = [drain for drain in known.drains if provider in {None, drain.provider}]
    providers = await open_providers(settings, settings.data_dir, utcnow, drains, only=provider)
    rows: list[CleanupRow] = []
    unlisted: dict[str, str] = {}
    try:
        for name, one in providers.items():
            try:
                rows += await _clean(settings, one, known.ours, execute=execute, force=force)
            except ProviderError as error:
                unlisted[name] = known.stranded.get(name, str(error))
    finally:
        for one in providers.values():
            await one.close()
    return CleanupReport(tuple(rows), unlisted)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known before any account is looked at."""

    ours: str | None
    """Our deployment part; None where nobody remembers it."""
    drains: Sequence[Drain]
    stranded: Mapping[str, str]
    """Provider with live sessions that cannot be spoken to -> how that is, and what helps."""


async def _known(settings: Settings) -> _Known:
    async with _database(settings) as store:
        chosen = settings.lifecycle.deployment_id
        chosen = await known_deployment(store, settings.data_dir, chosen)
        drains = await drains_of(settings, store, utcnow()) if store else []
        live = await live_sessions(store) if store else Counter[str]()
    stranded = {
        one.provider: f"{one.provider} is {one.reason(live[one.provider])}."
        for one in drains
        if not one.is_reachable
    }
    return _Known(deployment_part(chosen) if chosen else None, drains, stranded)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Store | None]:
    """The database, or None where there is none."""
    if not settings.database_path.exists():
        yield None
        return
    require_database(settings.database_path, settings.data_dir)
    store = await Store.open(
        settings.database.url,
        key=sealing_key(settings.data_dir),
        now=utcnow,
        may_migrate=not _is_served(settings),
    )
    try:
        yield store
    finally:
        await store.close()


def _is_served(settings: Settings) -> bool:
    return DatabaseLock.holder(settings.database_path) is not None


async def _clean(
    settings: Settings, provider: Provider, deployment: str | None, *, execute: bool, force: bool
) -> list[CleanupRow]:
    with effect(Effect.LIST_INSTANCES):
        instances = await provider.list_instances()
    now = utcnow()
    records = await _records(settings, provider.name, instances, deployment, now)
    rows = []
    for instance in instances:
        label = parse_label(instance.label)
        first_seen_at = records.first_seen.get(instance.id) if records else None
        judgement = judge(
            instance,
            deployment=deployment,
            holder=records.holders.get(label.session_id) if records and label else None,
            has_database=records is not None,
            is_forced=force,
            first_seen_at=first_seen_at,
            restored_at=records.restored_at if records else None,
            grace=settings.lifecycle.orphan_grace_period,
            now=now,
        )
        since = instance.created_at or first_seen_at
        row = CleanupRow(provider.name, instance, judgement, now - since if since else None)
        is_doomed = execute and judgement.verdict is Verdict.ORPHANED
        rows.append(await _destroyed(provider, row) if is_doomed else row)
    return await asyncio.gather(*(_proved(provider, row) for row in rows))


async def _destroyed(provider: Provider, row: CleanupRow) -> CleanupRow:
    problem = None
    try:
        with suppress(NotFound), effect(Effect.DESTROY):
            await provider.destroy(row.instance.id)
    except ProviderError as error:
        problem = f"Destroying failed: {error}"
    return replace(row, destroyed=problem is None, problem=problem)


async def _proved(provider: Provider, row: CleanupRow) -> CleanupRow:
    """`row`, as destroyed only where its provider says that the machine is gone."""
    if not row.destroyed:
        return row
    left = PROOF_PATIENCE
    while (problem := await _what_is_left(provider, row.instance.id)) and left > timedelta(0):
        await asyncio.sleep(_BETWEEN_LOOKS.total_seconds())
        left -= _BETWEEN_LOOKS
    return replace(row, destroyed=problem is None, problem=problem)


async def _what_is_left(provider: Provider, instance_id: str) -> str | None:
    """None where nothing is left of an instance whose destruction was accepted."""
    try:
        if provider.capabilities.direct_proof:
            with effect(Effect.GET):
                await provider.get(instance_id)
        else:
            with effect(Effect.LIST_INSTANCES):
                instances = await provider.list_instances()
            if all(instance.id != instance_id for instance in instances):
                return None
    except NotFound:
        return None
    except ProviderError as error:
        return f"Destroying was accepted; whether the machine is gone cannot be seen: {error}"
    return "Destroying was accepted, and the machine is still there."


async def _records(
    settings: Settings,
    provider: str,
    instances: Sequence[Instance],
    deployment: str | None,
    now: datetime,
) -> _Records | None:
    """None where no database is at hand.

    What is seen is written down, as a server would do it: where a provider does not tell how old
    its machines are, that is all there is to know of their age.
    """
    async with _database(settings) as store:
        if store is None:
            return None
        before = await store.sightings(provider)
        holders = await store.holders(sessions_named(instances))
        if not _is_served(settings):
            seen = seen_now(
                provider, instances, deployment=deployment, holders=holders, before=before, now=now
            )
            await store.save_sightings(provider, seen)
        first_seen = {one.instance_id: one.first_seen_at for one in before}
        return _Records(holders, first_seen, await store.restored_at(now))
