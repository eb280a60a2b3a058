"""Every metric. Collectors listen and ask the store; nothing in the logic counts.

Labels are bounded: providers, statuses, reasons, operations and routes, never an id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from broker.decide.jumps import Jump
from broker.decide.spending import Spending
from broker.effects import PROVIDER_CALLS, Effect
from broker.errors import BrokerError
from broker.model import LIVE, Attempt, Change, Reason, Session, Status
from providers.errors import ProviderError

Family = TypeVar("Family", GaugeMetricFamily, CounterMetricFamily)

# Prometheus sees by itself where a counter began again.
disable_created_metrics()  # type: ignore[no-untyped-call]

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_MINUTES = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800)
_REAP = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300, 900, 3600)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is computed at the moment of a scrape."""

    sessions: Mapping[tuple[str, Status], int]
    burn: Mapping[str, Decimal]
    """Provider -> USD per hour of the machines that are not proved gone."""
    accrued: Mapping[str, Decimal]
    """Provider -> USD that all sessions have cost so far."""
    offers: Mapping[str, int]
    inventory_age: Mapping[str, timedelta]
    """Provider -> since the last good reading of its market, or without one since the start."""
    balances: Mapping[str, Decimal]
    """Provider -> USD that its account can spend, of those that are known."""
    balance_floors: Mapping[str, Decimal]
    """Provider -> USD of those that nothing is rented for."""
    failing: Mapping[str, int]
    """Provider -> destructions that have met trouble and are not proved."""
    is_unwritable: bool
    """Whether the database takes nothing."""


class _Gauges(Collector):
    """Presents the latest snapshot; a counter that is computed may stand here as well."""

    def __init__(self, providers: Iterable[str], markets: Collection[str]) -> None:
        self._providers = tuple(providers)
        self._markets = markets
        self.snapshot = Snapshot({}, {}, {}, {}, {}, {}, {}, {}, False)

    def collect(self) -> Iterable[Metric]:
        seen = self.snapshot
        yield self._active(seen)
        yield GaugeMetricFamily(
            "gpu_database_unwritable",
            "1 while the database cannot be written, for whatever reason.",
            value=int(seen.is_unwritable),
        )
        yield self._per_provider(
            GaugeMetricFamily(
                "gpu_burn_dollars_per_hour",
                "Price of the machines that are not proved gone.",
                labels=["provider"],
            ),
            seen.burn,
        )
        yield self._per_provider(
            GaugeMetricFamily(
                "gpu_destructions_failing",
                "Machines whose destruction has met trouble and is not proved.",
                labels=["provider"],
            ),
            seen.failing,
        )
        yield from self._market(seen)
        yield self._per_provider(
            CounterMetricFamily(
                "gpu_cost_accrued_dollars",
                "What all sessions have cost, the live ones so far.",
                labels=["provider"],
            ),
            seen.accrued,
        )

        if seen.balances:
            yield from self._balance(seen)

    def _active(self, seen: Snapshot) -> GaugeMetricFamily:
        active = GaugeMetricFamily(
            "gpu_sessions_active", "Sessions that are not final.", labels=["provider", "status"]
        )
        seen_live = {provider for provider, status in seen.sessions if status in LIVE}
        for provider in sorted({*self._providers, *seen_live}):
            for status in sorted(LIVE):
                active.add_metric([provider, status], seen.sessions.get((provider, status), 0))
        return active

    def _market(self, seen: Snapshot) -> Iterable[GaugeMetricFamily]:
        offers = GaugeMetricFamily(
            "gpu_inventory_offers", "Offers that are listed.", labels=["provider"]
        )
        age = GaugeMetricFamily(
            "gpu_inventory_age_seconds",
            "Since the last good reading of the market, or without one since the start.",
            labels=["provider"],
        )
        for provider in sorted(self._markets):
            offers.add_metric([provider], seen.offers.get(provider, 0))
            passed = seen.inventory_age.get(provider, timedelta(0))
            age.add_metric([provider], passed.total_seconds())
        yield from (offers, age)

    @staticmethod
    def _balance(seen: Snapshot) -> Iterable[GaugeMetricFamily]:
        balance = GaugeMetricFamily(
            "gpu_provider_balance_dollars",
            "What the account can spend, as it was last read; none where that is not known.",
            labels=["provider"],
        )
        floor = GaugeMetricFamily(
            "gpu_provider_balance_floor_dollars",
            "The part of the balance that nothing is rented for; none where that is not known.",
            labels=["provider"],
        )
        for family, amounts in ((balance, seen.balances), (floor, seen.balance_floors)):
            for provider, amount in sorted(amounts.items()):
                family.add_metric([provider], float(amount))
            yield family

    def _per_provider(self, family: Family, values: Mapping[str, int | float | Decimal]) -> Family:
        # A provider that is not configured any more may still cost money.
        for provider in sorted({*self._providers, *values}):
            family.add_metric([provider], float(values.get(provider, 0)))
        return family


class Metrics:
    """All collectors, and the listener that moves them."""

    def __init__(
        self, providers: Iterable[str], spending: Spending, drained: Collection[str] = ()
    ) -> None:
        """Of the `drained` ones among `providers` nothing is told about their markets."""
        self.registry = CollectorRegistry()
        self.spending = spending
        names = tuple(providers)
        self._gauges = _Gauges(names, set(names) - set(drained))
        self.registry.register(self._gauges)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._define_sweep_metrics()
        self._define_session_metrics()
        self._define_traffic_metrics()
        self._begin_at_zero(names)

    def _define_sweep_metrics(self) -> None:
        registry = self.registry
        self._orphans = Counter("gpu_orphans_detected_total", "Orphans found.", registry=registry)
        self._clock_jumps = Counter(
            "gpu_clock_jumps_total", "Jumps of the wall clock that were noticed.", registry=registry
        )
        self._ghosts = Counter("gpu_ghosts_detected_total", "Ghosts found.", registry=registry)
        self._mismatches = Counter(
            "gpu_reconciliation_mismatches_total",
            "Differences found between our records and the providers' lists.",
            registry=registry,
        )
        self._destroy_failures = Counter(
            "gpu_destroy_failures_total",
            "Destroy calls that failed or had no effect.",
            registry=registry,
        )
        self._leaked_seconds = Counter(
            "gpu_leaked_machine_seconds_total",
            "Time that machines lived beyond the promised bound while this process ran.",
            ["provider"],
            registry=registry,
        )

    def _define_session_metrics(self) -> None:
        registry = self.registry
        self._verify_seconds = Histogram(
            "gpu_ssh_verify_duration_seconds",
            "From the provider's acceptance to the proved access.",
            buckets=_MINUTES,
            registry=registry,
        )
        self._verify_failures = Counter(
            "gpu_ssh_verify_failures_total", "Attempts that never proved access.", registry=registry
        )
        self._created = Counter(
            "gpu_sessions_created_total", "Sessions recorded.", ["provider"], registry=registry
        )
        self._ended = Counter(
            "gpu_sessions_ended_total",
            "Sessions that reached a final status.",
            ["provider", "reason"],
            registry=registry,
        )
        self._provision_seconds = Histogram(
            "gpu_provision_duration_seconds",
            "From the creation of a session to its running.",
            buckets=_MINUTES,
            registry=registry,
        )
        self._reap_seconds = Histogram(
            "gpu_reap_delay_seconds",
            "From the moment an end was due to the proof that the machine is gone.",
            buckets=_REAP,
            registry=registry,
        )

    def _define_traffic_metrics(self) -> None:
        registry = self.registry
        self._provider_errors = Counter(
            "gpu_provider_api_errors_total",
            "Provider calls that failed.",
            ["provider", "operation"],
            registry=registry,
        )
        self._provider_seconds = Histogram(
            "gpu_provider_request_duration_seconds",
            "Duration of provider calls.",
            ["provider", "operation"],
            buckets=_LATENCY,
            registry=registry,
        )
        self._requests = Counter(
            "http_requests_total",
            "Requests answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "http_request_duration_seconds",
            "Duration of requests.",
            ["method", "route"],
            buckets=_LATENCY,
            registry=registry,
        )

        def traffic(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
            answered = self._requests.labels(method, route, str(status))
            return answered, self._request_seconds.labels(method, route)

        # Looking these up takes longer than counting, and they are few.
        self._traffic = cache(traffic)

    def _begin_at_zero(self, providers: Iterable[str]) -> None:
        for provider in providers:
            self._created.labels(provider)
            self._leaked_seconds.labels(provider)
            for reason in Reason:
                self._ended.labels(provider, reason)
            for operation in PROVIDER_CALLS:
                self._provider_errors.labels(provider, operation)
                self._provider_seconds.labels(provider, operation)

    def route_served(self, method: str, route: str) -> None:
        """Show this route's failures from the start: no alert sees a counter that begins at 1."""
        self._requests.labels(method, route, str(BrokerError.status))

    def expose(self, snapshot: Snapshot) -> bytes:
        """The text that Prometheus reads."""
        self._gauges.snapshot = snapshot
        return generate_latest(self.registry)

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None:
        answered, durations = self._traffic(method, route, status)
        answered.inc()
        durations.observe(seconds)

    def provider_called(
        self, provider: str, operation: Effect, seconds: float, error: ProviderError | None
    ) -> None:
        self._provider_seconds.labels(provider, operation).observe(seconds)
        if error is None:
            return
        self._provider_errors.labels(provider, operation).inc()
        if operation is Effect.DESTROY:
            self._destroy_failures.inc()

    def clock_jumped(self, _jump: Jump, _now: datetime) -> None:
        self._clock_jumps.inc()

    def orphan_detected(self) -> None:
        self._orphans.inc()
        self._mismatches.inc()

    def machines_overstayed(self, provider: str, span: timedelta) -> None:
        self._leaked_seconds.labels(provider).inc(span.total_seconds())

    def machine_missing(self, *, is_ghost: bool) -> None:
        self._mismatches.inc()
        if is_ghost:
            self._ghosts.inc()

    def meters_moved(self, by: timedelta) -> None:
        self.spending.move(by)

    def session_changed(self, change: Change, session: Session) -> None:
        self.spending.note(change, session)
        match change.name:
            case Effect.RECORD:
                self._created.labels(session.offer.provider).inc()
            case Effect.VERIFY:
                self._verified(session, change.attempt)
            case Effect.DOOM | Effect.ACCEPT_FAILED:
                self._verify_failures.inc()
            case Effect.DESTROY_IGNORED:
                self._destroy_failures.inc()
            case Effect.GONE if change.attempt is not None:
                self._observe(self._reap_seconds, change.attempt.due_at, change.attempt.gone_at)
        if session.is_final:
            reason = session.reason or Reason.INTERNAL_ERROR
            self._ended.labels(session.offer.provider, reason).inc()

    def _verified(self, session: Session, attempt: Attempt | None) -> None:
        accepted_at = attempt.accepted_at if attempt is not None else None
        self._observe(self._verify_seconds, accepted_at, session.running_at)
        self._observe(self._provision_seconds, session.created_at, session.running_at)

    @staticmethod
    def _observe(histogram: Histogram, begin: datetime | None, end: datetime | None) -> None:
        if begin is not None and end is not None:
            histogram.observe(max((end - begin).total_seconds(), 0.0))
