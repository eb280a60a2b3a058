"""Putting the broker together: settings in, everything that works out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from broker.app.adapters import OpenProviders, drains_of, open_providers
from broker.app.identity import (
    Deployment,
    ensure_deployment,
    own_key,
    prepare_data_dir,
    require_database,
    sealing_key,
)
from broker.clock import Clock, utcnow
from broker.config import Settings
from broker.decide.plan import Policy
from broker.decide.spending import Spending
from broker.decide.steps import Step
from broker.errors import StartupError, StoreUnwritable
from broker.metrics import Metrics
from broker.ssh.connection import Logins, SshPool
from broker.store import Store
from broker.sweeper import Sweeper
from broker.usecases.accounts import Accounts
from broker.usecases.authorized import AuthorizedKeys
from broker.usecases.destructions import Destructions
from broker.usecases.doors import Door
from broker.usecases.fleet import Fleet
from broker.usecases.funds import Funds
from broker.usecases.holds import Holds
from broker.usecases.idempotency import Idempotency
from broker.usecases.idle import IdleWatch
from broker.usecases.inventory import Inventory
from broker.usecases.journal import Journal
from broker.usecases.launch import Launcher, Tools
from broker.usecases.managed import ManagedAccess
from broker.usecases.opening import Opening
from broker.usecases.rekey import Rekeying
from broker.usecases.repeating import Repeating
from broker.usecases.restoring import require_taken_up
from broker.usecases.rules import Keyring, Rules
from broker.usecases.sessions import Sessions
from broker.usecases.teardown import Teardown
from broker.usecases.templates import Templates
from broker.usecases.verify import Verifier
from broker.usecases.watchdog import Watchdogs
from broker.usecases.workers import Act, Workers
from providers.base import Provider
from providers.label import deployment_part
from providers.registry import CONSOLES

SSH_THREADS = 16


@dataclass(frozen=True, slots=True)
class Parts:
    """The broker, put together."""

    settings: Settings
    clock: Clock
    deployment: Deployment
    providers: Mapping[str, Provider]
    tools: Tools
    metrics: Metrics
    workers: Workers
    opening: Opening
    sessions: Sessions
    holds: Holds
    rekeying: Rekeying
    idempotency: Idempotency
    authorized: AuthorizedKeys
    watchdogs: Watchdogs
    accounts: Accounts
    idle: IdleWatch
    sweeper: Sweeper


@asynccontextmanager
async def built(
    settings: Settings,
    now: Callable[[], datetime] = utcnow,
    *,
    is_passing: bool = False,
    adapters: OpenProviders = open_providers,
    logins: Callable[[], Logins] = lambda: SshPool(SSH_THREADS),
) -> AsyncIterator[Parts]:
    """The broker put together, with nothing running yet; taken apart in reverse at the end.

    `now` is the clock that all its parts go by, `adapters` opens its marketplaces, and `logins`
    its way into machines. One that `is_passing` does not stay to serve: it raises StartupError for
    a restored database, which is left to the first that does.
    """
    async with AsyncExitStack() as stack:
        prepare_data_dir(settings.data_dir)
        require_database(settings.database_path, settings.data_dir)
        key = sealing_key(settings.data_dir)
        store = await Store.open(settings.database.url, key=key, now=now)
        stack.push_async_callback(store.close)
        deployment = await _identified(settings, store, is_passing=is_passing)
        part = deployment_part(deployment.id)
        clock = Clock(now, asyncio.get_running_loop().time)
        # Adapters may ask for the time in other threads; the clock tells of jumps in this one.
        providers, metrics, doors = await _accounts(settings, store, adapters, now)
        tools = _tools(settings, store, doors, metrics, part, clock)
        for close in _closers(tools):
            stack.push_async_callback(close)
        ssh = logins()
        stack.callback(ssh.close)
        authorized = AuthorizedKeys(tools)
        stack.push_async_callback(authorized.close)
        access = ManagedAccess(tools, ssh, authorized)
        rekeying = Rekeying(tools, ssh, authorized, access)
        workers = _workers(tools, ssh, authorized)
        stack.push_async_callback(workers.close)
        yield Parts(
            settings=settings,
            clock=clock,
            deployment=deployment,
            providers=providers,
            tools=tools,
            metrics=metrics,
            workers=workers,
            opening=Opening(tools, workers, Repeating(tools, rekeying)),
            sessions=Sessions(tools, workers),
            holds=Holds(tools, workers),
            rekeying=rekeying,
            idempotency=Idempotency(store, now=clock.now),
            authorized=authorized,
            watchdogs=Watchdogs(tools, access),
            accounts=Accounts(tools, CONSOLES),
            idle=IdleWatch(tools, workers, access),
            sweeper=Sweeper(tools, workers, await _policy(settings, store, part, now()), metrics),
        )


async def _identified(settings: Settings, store: Store, *, is_passing: bool) -> Deployment:
    """Whose the database is. Raises StartupError as `built` does."""
    lifecycle = settings.lifecycle
    try:
        if is_passing:
            await require_taken_up(store)
        return await ensure_deployment(store, settings.data_dir, lifecycle.deployment_id)
    except StoreUnwritable as error:
        message = f"{settings.database_path}: {error} Mend that, and start the broker again."
        raise StartupError(message) from error


async def _accounts(
    settings: Settings, store: Store, adapters: OpenProviders, now: Callable[[], datetime]
) -> tuple[Mapping[str, Provider], Metrics, Mapping[str, Door]]:
    """The marketplaces, with a door to each, those that drain among them."""
    drains = {drain.provider: drain for drain in await drains_of(settings, store, now())}
    providers = await adapters(settings, settings.data_dir, now, list(drains.values()))
    spending = Spending(await store.accruals(), await store.open_ids())
    metrics = Metrics(providers, spending, drains)
    doors = {
        name: Door(one, metrics, now=now, drain=drains.get(name)) for name, one in providers.items()
    }
    return providers, metrics, doors


def _tools(
    settings: Settings,
    store: Store,
    doors: Mapping[str, Door],
    metrics: Metrics,
    deployment: str,
    clock: Clock,
) -> Tools:
    now = clock.now
    inventory = Inventory(
        doors,
        store,
        cache_ttl=settings.inventory.cache_ttl,
        backoff_ttl=settings.inventory.backoff_ttl,
        now=now,
    )
    funds = Funds(doors, store, now=now)
    keyring = Keyring(own_key(settings.data_dir))
    journal = Journal(store, [metrics, inventory, funds, keyring], [metrics])
    for listener in (metrics, inventory, funds, journal):
        clock.listen(listener)
    return Tools(
        store=store,
        journal=journal,
        doors=doors,
        fleets={name: Fleet(door, clock) for name, door in doors.items()},
        inventory=inventory,
        funds=funds,
        destructions=Destructions(store, now=now, steady=clock.steady),
        templates=Templates(doors, now=clock.steady),
        keyring=keyring,
        rules=_rules(settings, deployment),
        clock=clock,
    )


def _closers(tools: Tools) -> Iterator[Callable[[], Awaitable[None]]]:
    """What ends the parts that work by themselves, the first of all last."""
    for door in tools.doors.values():
        yield door.close
    for fleet in tools.fleets.values():
        yield fleet.close
    yield tools.journal.close
    yield tools.inventory.close
    yield tools.funds.close


def _workers(tools: Tools, ssh: Logins, authorized: AuthorizedKeys) -> Workers:
    launcher, verifier = Launcher(tools), Verifier(tools, ssh, authorized)
    actions: dict[Step, Act] = {
        Step.CREATE: launcher.create,
        Step.RESOLVE: launcher.resolve,
        Step.VERIFY: verifier.verify,
        Step.DESTROY: Teardown(tools).destroy,
        Step.ABANDON: launcher.abandon,
        Step.RETRY: launcher.retry,
        Step.CONCLUDE: launcher.conclude,
    }
    return Workers(tools.store, actions, now=tools.now, has_failed=verifier.has_failed)


def _rules(settings: Settings, deployment: str) -> Rules:
    lifecycle = settings.lifecycle
    return Rules(
        deployment=deployment,
        hard_max=lifecycle.hard_max,
        price_tolerance=lifecycle.price_tolerance,
        lost_after=lifecycle.lost_after,
        verify_timeout=settings.ssh.verify_timeout,
        verify_interval=settings.ssh.check_interval,
        check_interval=lifecycle.check_interval,
        ends_idle=lifecycle.idle_policy == "end",
        paces={
            name: section.pace for name, section in settings.providers if hasattr(section, "pace")
        },
    )


async def _policy(settings: Settings, store: Store, deployment: str, now: datetime) -> Policy:
    lifecycle = settings.lifecycle
    return Policy(
        deployment=deployment,
        orphan_grace=lifecycle.orphan_grace_period,
        orphan_grace_is_explicit=lifecycle.orphan_grace_is_explicit,
        reconciliation_interval=lifecycle.reconciliation_interval,
        lost_after=lifecycle.lost_after,
        complete_since=await _complete_since(store, now),
    )


async def _complete_since(store: Store, now: datetime) -> datetime:
    """Since when the database knows of everything that was rented: not of what a copy missed."""
    restored_at, created_at = await store.restored_at(now), await store.meta("created_at")
    if restored_at is not None:
        return restored_at
    return datetime.fromisoformat(created_at) if created_at else datetime.min.replace(tzinfo=UTC)
