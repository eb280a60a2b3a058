"""What a broker that has just begun shows to Prometheus, read as Prometheus reads it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import cache

from prometheus_client.parser import text_string_to_metric_families

from broker.decide.spending import Spending
from broker.metrics import Metrics, Snapshot

PROVIDERS = ("here", "there")
NOTHING = Snapshot(
    sessions={},
    burn={},
    accrued={},
    offers={},
    inventory_age={},
    balances={},
    balance_floors={},
    failing={},
    is_unwritable=False,
)
WITH_BALANCE = replace(
    NOTHING, balances={"here": Decimal("12.5")}, balance_floors={"here": Decimal(5)}
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def exposed(snapshot: Snapshot = NOTHING) -> str:
    """The text of /metrics, after one request so that its series are there."""
    metrics = Metrics(PROVIDERS, Spending())
    metrics.request_answered("GET", "/health", 200, 0.001)
    return metrics.expose(snapshot).decode()


@cache
def kinds() -> dict[str, tuple[str, frozenset[str]]]:
    """Name of a metric -> its type and labels."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: (
            family.type,
            frozenset(name for sample in family.samples for name in sample.labels) - {"le"},
        )
        for family in text_string_to_metric_families(exposed(WITH_BALANCE))
    }


def samples(text: str) -> Samples:
    """Name and labels -> value."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
