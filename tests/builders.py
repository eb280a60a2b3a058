"""Values for tests: whole and sensible, with only what matters to a test given by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from broker.decide.absence import Observation, Proof
from broker.model import (
    Access,
    Attempt,
    Holder,
    Outcome,
    Reason,
    Request,
    Session,
    Sighting,
    Status,
    Wanted,
    Watch,
    Witness,
    WorkloadType,
)
from providers.base import Endpoint, Instance, InstanceStatus, Offer
from providers.label import Label

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DEPLOYMENT = "depl"
SESSION_ID = "sess-aaaaaaaaaaaa"


def a_proof(at: datetime) -> Proof:
    """That an instance is gone, seen for the first time at that instant."""
    later = at + timedelta(seconds=1)
    return Proof(Observation(at, at, Witness.LOOKUP), Observation(later, later, Witness.LIST))


def an_offer(**changes: Any) -> Offer:
    """A rentable RTX 4090."""
    offer = Offer(
        provider="simulator",
        provider_id="1001",
        gpu_type="RTX 4090",
        gpu_count=1,
        vram_gb=24,
        price_per_hour=Decimal("0.36"),
        disk_price_per_gb_hour=Decimal("0.0002"),
        fetched_at=NOW,
        location="Oslo, NO",
        country="NO",
        machine_id="m1001",
        reliability=0.99,
        verified=True,
        cuda_version=12.8,
        max_disk_gb=1000,
    )
    return replace(offer, **changes)


def a_request(**changes: Any) -> Request:
    """One hour for somebody."""
    request = Request(
        consumer_id="somebody",
        workload_type=WorkloadType.LLM,
        reservation=timedelta(hours=1),
        offer_id="simulator-1001",
    )
    return replace(request, **changes)


def a_session(**changes: Any) -> Session:
    """A session that was recorded at NOW."""
    offer = an_offer()
    session = Session(
        id=SESSION_ID,
        request=a_request(),
        status=Status.PENDING,
        wanted=Wanted.RUNNING,
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        hard_max_at=NOW + timedelta(hours=12),
        label_deadline=NOW + timedelta(hours=13),
        public_key="ssh-ed25519 AAAA somebody",
        token_digest="0" * 64,
        offer=offer,
        price_per_hour=offer.price_per_hour,
    )
    return replace(session, **changes)


def a_label(attempt: int = 1, session_id: str = SESSION_ID, deployment: str = DEPLOYMENT) -> str:
    """A label whose deadline is thirteen hours after NOW."""
    return str(Label(deployment, session_id, NOW + timedelta(hours=13), attempt))


def an_attempt(**changes: Any) -> Attempt:
    """The first attempt of `a_session`, recorded."""
    offer = an_offer()
    attempt = Attempt(
        session_id=SESSION_ID,
        n=1,
        offer=offer,
        label=a_label(),
        price_per_hour=offer.price_per_hour,
        started_at=NOW,
    )
    return replace(attempt, **changes)


def an_instance(**changes: Any) -> Instance:
    """The machine of `an_attempt`, up."""
    instance = Instance(id="i-1", label=a_label(), status=InstanceStatus.RUNNING, created_at=NOW)
    return replace(instance, **changes)


def a_watch(**changes: Any) -> Watch:
    """The row of a running session, as a sweep sees it."""
    watch = Watch(
        id=SESSION_ID,
        version=5,
        status=Status.RUNNING,
        wanted=Wanted.RUNNING,
        provider="simulator",
        attempt=1,
        instance_id="i-1",
        accepted_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        hard_max_at=NOW + timedelta(hours=12),
        idle_threshold=None,
        managed_access=True,
        idle_since=None,
        lost_since=None,
        warned_for=None,
    )
    return replace(watch, **changes)


def a_holder(**changes: Any) -> Holder:
    """What the row of a running session says about its instance."""
    holder = Holder(
        session_id=SESSION_ID,
        status=Status.RUNNING,
        attempt=1,
        instance_id="i-1",
        is_closed=False,
    )
    return replace(holder, **changes)


def a_sighting(**changes: Any) -> Sighting:
    """An instance that was seen once, an hour ago."""
    seen_at = NOW - timedelta(hours=1)
    sighting = Sighting("simulator", "i-1", a_label(), seen_at, seen_at, 1)
    return replace(sighting, **changes)


LATER = NOW + timedelta(seconds=30)
PROOF = a_proof(LATER - timedelta(seconds=1))
"""That an instance is gone at LATER."""
TIMEOUT = timedelta(minutes=15)
ACCESS = Access(ssh=Endpoint("198.51.100.7", 22), ssh_user="root", known_hosts=("key",))

PENDING = a_session()
PROVISIONING = a_session(status=Status.PROVISIONING)
RUNNING = a_session(status=Status.RUNNING, instance_id="i-1")
STOPPING = replace(RUNNING, status=Status.STOPPING, wanted=Wanted.GONE, reason=Reason.DONE)

SENT = an_attempt(unknown_since=NOW)
MADE = an_attempt(instance_id="i-1", accepted_at=NOW, deadline_at=NOW + TIMEOUT)
VERIFIED = replace(MADE, verified_at=NOW, outcome=Outcome.RUNNING)
CLOSED = replace(MADE, reason=Reason.WRONG_GPU, ended_at=NOW, outcome=Outcome.FAILED)
