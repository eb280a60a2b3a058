"""Whose the machines of an account are."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.decide.ownership import Machines, Ownership, count_machines, judge_owners
from broker.model import Status
from providers.base import Instance
from tests.builders import DEPLOYMENT, NOW, SESSION_ID, a_holder, a_label, a_sighting, an_instance

HELD = {SESSION_ID: a_holder()}


@pytest.mark.parametrize(
    ("instance", "holders", "ownership"),
    [
        (an_instance(), HELD, Ownership.OURS),
        (an_instance(), {}, Ownership.ORPHANED),
        (an_instance(id="i-2"), HELD, Ownership.ORPHANED),
        (an_instance(label=a_label(attempt=2)), HELD, Ownership.ORPHANED),
        (an_instance(), {SESSION_ID: a_holder(status=Status.STOPPED)}, Ownership.ORPHANED),
        (an_instance(), {SESSION_ID: a_holder(is_closed=True)}, Ownership.ORPHANED),
        (an_instance(), {SESSION_ID: a_holder(instance_id=None)}, Ownership.OURS),
        (an_instance(label=a_label(deployment="other")), {}, Ownership.FOREIGN),
        (an_instance(label=a_label(deployment="other")), HELD, Ownership.OURS),
        (an_instance(label="my-own-machine"), {}, Ownership.FOREIGN),
        (an_instance(label=None), {}, Ownership.FOREIGN),
        (an_instance(label=f"gpub-{DEPLOYMENT}-zz"), {}, Ownership.UNREADABLE),
        (an_instance(label=f"gpub-{DEPLOYMENT}"), {}, Ownership.UNREADABLE),
        (an_instance(label=a_label()[:-1] + "x"), {}, Ownership.UNREADABLE),
        (an_instance(label=f"gpub-{DEPLOYMENT}x-zz"), {}, Ownership.FOREIGN),
        (an_instance(label=f"my-gpub-{DEPLOYMENT}-zz"), {}, Ownership.FOREIGN),
        (an_instance(label=None), HELD, Ownership.OURS),
        (an_instance(label="my-own-machine"), HELD, Ownership.OURS),
        (an_instance(label=f"gpub-{DEPLOYMENT}-zz"), HELD, Ownership.OURS),
        (an_instance(label=None, id="i-2"), HELD, Ownership.FOREIGN),
        (an_instance(label=None), {SESSION_ID: a_holder(is_closed=True)}, Ownership.FOREIGN),
        (
            an_instance(label=None),
            {SESSION_ID: a_holder(status=Status.STOPPED)},
            Ownership.FOREIGN,
        ),
        (
            an_instance(label=None),
            {SESSION_ID: a_holder(instance_id=None)},
            Ownership.FOREIGN,
        ),
    ],
)
def test_the_label_and_the_records_tell_whose_a_machine_is(
    instance: Instance, holders: dict[str, object], ownership: Ownership
) -> None:
    """Held, with our label and not held, with our mark alone, or none of our business."""
    (owned,) = judge_owners([instance], holders, [], DEPLOYMENT)  # type: ignore[arg-type]

    assert owned.ownership is ownership


def test_what_wants_to_be_looked_at_stands_first() -> None:
    """Orphans, marks, foreign machines, ours; the oldest first, those of unknown age last."""
    instances = [
        an_instance(id="i-1"),
        an_instance(id="u-1", label=f"gpub-{DEPLOYMENT}-zz"),
        an_instance(id="f-new", label=None, created_at=NOW),
        an_instance(id="f-unknown", label=None, created_at=None),
        an_instance(id="f-old", label=None, created_at=NOW - timedelta(days=1)),
        an_instance(id="o-seen", label=a_label(attempt=3), created_at=None),
        an_instance(id="o-new", label=a_label(attempt=2)),
    ]
    seen = [a_sighting(instance_id="o-seen")]

    owned = judge_owners(instances, HELD, seen, DEPLOYMENT)

    order = ["o-seen", "o-new", "u-1", "f-old", "f-new", "f-unknown", "i-1"]
    assert order == [one.instance.id for one in owned]
    counted = count_machines(instances, HELD, DEPLOYMENT)
    assert Machines(ours=1, orphaned=2, foreign=4, unreadable=1) == counted


def test_an_orphan_of_unknown_age_is_as_old_as_its_first_sighting() -> None:
    """Somebody has seen it since then."""
    sighting = a_sighting()
    (orphan,) = judge_owners([an_instance(created_at=None)], {}, [sighting], DEPLOYMENT)

    assert sighting.first_seen_at == orphan.since
    assert sighting == orphan.sighting
