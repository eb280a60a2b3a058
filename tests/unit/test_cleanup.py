"""Which machines `cleanup-orphans` may destroy."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from broker.decide.cleanup import Verdict, judge
from tests.builders import DEPLOYMENT, NOW, a_label, an_instance

GRACE = timedelta(minutes=5)
OLD = an_instance(label=a_label(), created_at=NOW - timedelta(hours=9))


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
    judgement = judge(
        OLD,
        deployment=DEPLOYMENT,
        holder=None,
        has_database=True,
        is_forced=False,
        first_seen_at=None,
        restored_at=restored_at,
        grace=GRACE,
        now=NOW,
    )
    assert verdict is judgement.verdict


@pytest.mark.parametrize("has_database", [True, False])
def test_a_machine_with_our_mark_and_no_readable_label_is_shown_and_spared(
    has_database: bool,
) -> None:
    """Nothing tells whose it is and until when it may live, so that no force destroys it."""
    judgement = judge(
        an_instance(label=f"gpub-{DEPLOYMENT}-zz", created_at=NOW - timedelta(days=9)),
        deployment=DEPLOYMENT,
        holder=None,
        has_database=has_database,
        is_forced=True,
        first_seen_at=NOW - timedelta(days=9),
        restored_at=None,
        grace=GRACE,
        now=NOW,
    )
    assert Verdict.UNREADABLE is judgement.verdict
    assert "cannot be read" in judgement.why
