"""Which machines `cleanup-orphans` may destroy."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from broker.app.offline import CleanupRow
from broker.decide.cleanup import Judgement, Verdict, judge, seen_now
from broker.model import Holder, Status
from providers.base import Instance
from tests.builders import DEPLOYMENT, NOW, SESSION_ID, a_holder, a_label, an_instance

GRACE = timedelta(minutes=5)
OLD = an_instance(label=a_label(), created_at=NOW - timedelta(hours=9))


def judged(instance: Instance, **changes: Any) -> Judgement:
    """What becomes of a machine, by a database that knows of no session with its label."""
    known = {"holder": None, "has_database": True, "is_forced": False, "first_seen_at": None}
    given = {**known, "restored_at": None, **changes}
    return judge(instance, deployment=DEPLOYMENT, grace=GRACE, now=NOW, **given)


@pytest.mark.parametrize(
    ("restored_at", "verdict"),
    [
        (None, Verdict.ORPHANED),
        (NOW - GRACE, Verdict.ORPHANED),
        (NOW - GRACE / 2, Verdict.YOUNG),
        (NOW, Verdict.YOUNG),
    ],
)
def test_a_restored_database_spares_what_it_cannot_know(
    restored_at: datetime | None, verdict: Verdict
) -> None:
    """A machine without a row may be that of a session which was created after the copy."""
    assert verdict is judged(OLD, restored_at=restored_at).verdict


@pytest.mark.parametrize("has_database", [True, False])
def test_a_machine_with_our_mark_and_no_readable_label_is_shown_and_spared(
    has_database: bool,
) -> None:
    """Nothing tells whose it is and until when it may live, so that no force destroys it."""
    judgement = judged(
        an_instance(label=f"gpub-{DEPLOYMENT}-zz", created_at=NOW - timedelta(days=9)),
        has_database=has_database,
        is_forced=True,
        first_seen_at=NOW - timedelta(days=9),
    )
    assert Verdict.UNREADABLE is judgement.verdict
    assert "cannot be read" in judgement.why


UNKNOWN = a_holder(status=Status.PROVISIONING, instance_id=None)
TWIN = an_instance(id="i-2", created_at=OLD.created_at)


@pytest.mark.parametrize(
    ("instance", "holder", "verdict"),
    [
        (OLD, a_holder(), Verdict.CLAIMED),
        (OLD, UNKNOWN, Verdict.CLAIMED),
        (TWIN, UNKNOWN, Verdict.CLAIMED),
        (TWIN, a_holder(), Verdict.ORPHANED),
        (OLD, a_holder(status=Status.STOPPED), Verdict.ORPHANED),
        (OLD, a_holder(is_closed=True), Verdict.ORPHANED),
        (OLD, a_holder(attempt=2), Verdict.ORPHANED),
    ],
)
def test_a_machine_is_claimed_where_a_sweep_would_call_it_held(
    instance: Instance, holder: Holder, verdict: Verdict
) -> None:
    """A session claims one machine, and any under its label while it is open which that is."""
    assert verdict is judged(instance, holder=holder).verdict


def test_the_twin_of_a_held_machine_is_remembered_as_seen() -> None:
    """Where its age is not told, its grace counts from that."""
    seen = seen_now(
        "simulator",
        [OLD, TWIN],
        deployment=DEPLOYMENT,
        holders={SESSION_ID: a_holder()},
        before=[],
        now=NOW,
    )
    assert ["i-2"] == [sighting.instance_id for sighting in seen]


def test_a_price_is_shown_with_six_decimals_at_most() -> None:
    """However many the marketplace adds it up to."""
    machine = an_instance(price_per_hour=Decimal("0.20400000000000001"))
    row = CleanupRow("vastai", machine, Judgement(Verdict.CLAIMED, ""), None)

    assert "0.204" == str(row.present()["price_per_hour"])
