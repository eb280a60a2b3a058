"""The bound of a session in time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.lease import extend, grant_lease
from broker.errors import HardMaxExceeded
from tests.builders import NOW, a_session

HOUR = timedelta(hours=1)


def test_a_reservation_beyond_the_hard_maximum_is_refused() -> None:
    """The hard maximum is the longest total reservation."""
    with pytest.raises(HardMaxExceeded):
        grant_lease(NOW, 7 * HOUR, 6 * HOUR)


def test_a_session_can_be_extended_up_to_its_hard_maximum_and_not_further() -> None:
    """What counts is the whole reservation, not the time that is left."""
    session = a_session()

    assert session.hard_max_at == extend(session, 11 * HOUR, "additional_hours")
    with pytest.raises(HardMaxExceeded) as refused:
        extend(session, 11 * HOUR + timedelta(minutes=1), "additional_minutes")
    assert ["additional_minutes"] == [detail.field for detail in refused.value.details]


@given(st.integers(0, 10**9), st.integers(1, 720), st.integers(720, 10_000))
def test_the_label_lets_a_machine_live_an_hour_beyond_its_hard_maximum(
    offset: int, minutes: int, longest: int
) -> None:
    """The label's deadline is a whole minute, and never before hard maximum + 1 h."""
    now = NOW + timedelta(seconds=offset)
    lease = grant_lease(now, timedelta(minutes=minutes), timedelta(minutes=longest))

    assert lease.expires_at <= lease.hard_max_at
    slack = lease.label_deadline - (lease.hard_max_at + HOUR)
    assert timedelta(0) < slack <= timedelta(minutes=1)
    assert (0, 0) == (lease.label_deadline.second, lease.label_deadline.microsecond)
