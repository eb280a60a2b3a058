"""Whether the credit of an account pays for something new."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from broker.decide.funds import (
    BELIEVED_FOR,
    Commitment,
    Credit,
    Purse,
    check_purse,
    commitment_of,
    purse_of,
    reservation_cost,
)
from broker.errors import InsufficientFunds
from tests.builders import NOW, RUNNING, STOPPING, an_offer

HOUR = timedelta(hours=1)


def a_commitment(begins: timedelta, ends: timedelta, provider: str = "cloud") -> Commitment:
    """A dollar an hour between these times from NOW on."""
    return Commitment(provider, Decimal(1), NOW + begins, NOW + ends)


def committed(*commitments: Commitment, read_ago: timedelta = timedelta(0)) -> Decimal:
    """What is set aside of a credit that was read `read_ago` before NOW."""
    purse = purse_of("cloud", Credit(Decimal(10), NOW - read_ago), commitments, NOW)
    assert purse is not None
    return purse.committed


def test_what_live_sessions_cost_until_their_ends_is_set_aside() -> None:
    """Each from now on; those of another account not at all."""
    begun, new = a_commitment(-HOUR, 2 * HOUR), a_commitment(timedelta(0), HOUR)
    elsewhere = a_commitment(-HOUR, 9 * HOUR, provider="other")

    assert committed() == 0
    assert committed(begun, new, elsewhere) == 3


def test_what_was_spent_since_the_credit_was_read_is_not_off_it_yet() -> None:
    """So it is still set aside; nothing is for the time before the session began."""
    ago = timedelta(minutes=3)

    assert committed(a_commitment(-HOUR, HOUR), read_ago=ago) == Decimal("1.05")
    assert committed(a_commitment(-ago / 3, HOUR), read_ago=ago) == Decimal(61) / 60


def test_a_session_past_its_end_holds_nothing() -> None:
    """Never less than nothing."""
    assert committed(a_commitment(-2 * HOUR, -HOUR)) == 0


def test_a_session_that_is_to_end_holds_nothing() -> None:
    """Its machine is being destroyed."""
    held = commitment_of(replace(RUNNING, price_per_hour=Decimal("0.4")))

    assert held == Commitment("simulator", Decimal("0.4"), NOW, NOW + HOUR)
    assert commitment_of(STOPPING) is None


def test_a_credit_that_is_unknown_or_old_limits_nothing() -> None:
    """A provider that tells nothing is not refused for it."""
    old = Credit(Decimal(0), NOW - BELIEVED_FOR - timedelta(seconds=1))

    assert purse_of("cloud", None, (), NOW) is None
    assert purse_of("cloud", old, (), NOW) is None
    assert purse_of("cloud", replace(old, read_at=NOW - BELIEVED_FOR), (), NOW) is not None
    check_purse(None, "cloud", "1 h of x", Decimal(1000))


def test_exactly_enough_is_enough() -> None:
    """To the last micro-dollar."""
    purse = Purse(Decimal(2), committed=Decimal("1.6"))

    assert purse.pays(Decimal("0.4"))
    assert not purse.pays(Decimal("0.400001"))


def test_a_reservation_costs_its_hours_with_the_disk_asked_for() -> None:
    """Whatever the listed price includes."""
    offer = an_offer(price_per_hour=Decimal("0.5"), disk_price_per_gb_hour=Decimal("0.001"))

    assert reservation_cost(offer, 50, 2 * HOUR) == 1
    assert reservation_cost(offer, 150, 2 * HOUR) == Decimal("1.2")


@pytest.mark.parametrize(
    ("purse", "figures"),
    [
        (Purse(Decimal("1.5")), "is $1.50; "),
        (
            Purse(Decimal(-1), committed=Decimal("0.123456")),
            "is -$1.00, and live sessions need $0.123456 of it until their ends; ",
        ),
        (Purse(Decimal("6.5"), floor=Decimal(5)), "is $6.50, of which $5.00 must stay there; "),
    ],
)
def test_a_refusal_tells_the_figures(purse: Purse, figures: str) -> None:
    """What there is, what is held, what it would cost, what to do."""
    with pytest.raises(InsufficientFunds) as refused:
        check_purse(purse, "cloud", "1 h of x", Decimal(2))

    assert str(refused.value) == (
        f"The credit at cloud {figures}1 h of x costs $2.00. Pay in, or ask for less."
    )
