"""How single values are told to consumers."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from broker.api.present import is_reachable, present_session, present_span
from providers.base import Endpoint
from tests.builders import a_request, a_session, an_offer


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (timedelta(0), "0m"),
        (timedelta(seconds=59), "0m"),
        (timedelta(minutes=30), "30m"),
        (timedelta(hours=1, minutes=30), "1h 30m"),
        (timedelta(hours=11, minutes=59, seconds=59), "11h 59m"),
        (timedelta(days=2), "48h 0m"),
        (timedelta(microseconds=-1), "expired"),
        (timedelta(hours=-3), "expired"),
    ],
)
def test_a_duration_is_told_for_people(span: timedelta, told: str) -> None:
    """Whole minutes, hours where there are some, and what is over as such."""
    assert told == present_span(span)


@pytest.mark.parametrize(
    ("host", "is_told"),
    [
        *(("ssh5.vast.ai", True), ("8.8.8.8", True), ("127.0.0.1", True), ("::1", True)),
        *(("203.0.113.9", True), ("2001:4860::8888", True)),
        *(("10.0.0.7", False), ("192.168.1.100", False), ("172.16.0.1", False)),
        *(("169.254.1.1", False), ("100.64.0.1", False), ("fd00::1", False), ("fe80::1", False)),
    ],
)
def test_an_address_inside_a_providers_network_is_not_told(host: str, is_told: bool) -> None:
    """Nobody outside can use it; on this computer simulated machines answer."""
    assert is_told is is_reachable(Endpoint(host, 22))


@pytest.mark.parametrize(("asked_gb", "told_gb"), [(50, 100), (120, 120)])
def test_a_session_tells_the_disk_that_is_rented(asked_gb: int, told_gb: int) -> None:
    """Which is the least of the offer where less is asked for: its price is for that."""
    request, offer = a_request(disk_gb=asked_gb), an_offer(least_disk_gb=100)
    session = a_session(request=request, offer=offer)

    assert present_session(session, (), Decimal(0))["disk_gb"] == told_gb
