"""The values that the broker decides with: frozen, free of I/O, the same words as in SQL and JSON.

Instants are aware UTC, durations `timedelta`, money `Decimal` USD.
"""

from __future__ import annotations

from broker.model.records import (
    Accrual,
    CarriedOut,
    Change,
    Event,
    Failure,
    Holder,
    Meter,
    Overview,
    Sighting,
    Version,
    Warned,
    Watch,
)
from broker.model.requests import Confidential, Criteria, Request
from broker.model.sessions import Access, Attempt, Session
from broker.model.words import (
    FINAL,
    LIVE,
    KeyType,
    Outcome,
    Reason,
    RetryScope,
    Status,
    StoragePolicy,
    Wanted,
    Witness,
    WorkloadType,
)

__all__ = [
    "FINAL",
    "LIVE",
    "Access",
    "Accrual",
    "Attempt",
    "CarriedOut",
    "Change",
    "Confidential",
    "Criteria",
    "Event",
    "Failure",
    "Holder",
    "KeyType",
    "Meter",
    "Outcome",
    "Overview",
    "Reason",
    "Request",
    "RetryScope",
    "Session",
    "Sighting",
    "Status",
    "StoragePolicy",
    "Version",
    "Wanted",
    "Warned",
    "Watch",
    "Witness",
    "WorkloadType",
]
