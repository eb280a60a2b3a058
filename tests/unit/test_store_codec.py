"""Structured values survive the way through JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.model import Access, Confidential, Criteria, Request, WorkloadType
from broker.store.codec import ACCESS, CONFIDENTIAL, EVENT_DATA, OFFER, REQUEST, Codec
from providers.base import Endpoint, Offer

money = st.decimals(allow_nan=False, allow_infinity=False)
figures = st.floats(allow_nan=False, allow_infinity=False)
durations = st.timedeltas(timedelta(0), timedelta(days=3650))
instants = st.datetimes(timezones=st.just(UTC))

for kind, strategy in {
    Decimal: money,
    float: figures,
    timedelta: durations,
    datetime: instants,
}.items():
    st.register_type_strategy(kind, strategy)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | figures | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("codec", "kind"),
    [(REQUEST, Request), (OFFER, Offer), (ACCESS, Access), (CONFIDENTIAL, Confidential)],
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_value_is_the_same_after_encoding_and_decoding(
    codec: Codec[Any], kind: type, data: st.DataObject
) -> None:
    """Nothing is lost or rounded, whatever stands in the fields."""
    value = data.draw(st.from_type(kind))
    assert value == codec.decode(codec.encode(value))


@given(price=money)
def test_money_keeps_its_digits(price: Decimal) -> None:
    """Also the zeros at the end, which equality would not show."""
    decoded = REQUEST.decode(REQUEST.encode(_request(Criteria(max_price=price))))
    assert str(price) == str(decoded.criteria.max_price)


@settings(max_examples=40)
@given(value=st.dictionaries(st.text(), json_values))
def test_the_data_of_an_event_is_any_json(value: dict[str, Any]) -> None:
    """What an event holds comes back as it was written."""
    assert value == EVENT_DATA.decode(EVENT_DATA.encode(value))


def test_fields_that_an_old_row_lacks_get_their_default() -> None:
    """A row that an earlier program wrote can still be read."""
    old = json.loads(ACCESS.encode(Access(ssh=Endpoint("192.0.2.1", 22), ssh_user="user")))
    del old["ports"], old["ssh_user"]
    assert Access(ssh=Endpoint("192.0.2.1", 22)) == ACCESS.decode(json.dumps(old))


def test_fields_that_a_later_program_wrote_are_ignored() -> None:
    """A row can still be read after a step back."""
    new = json.loads(ACCESS.encode(Access())) | {"carrier_pigeon": "Emma"}
    assert Access() == ACCESS.decode(json.dumps(new))


def _request(criteria: Criteria) -> Request:
    return Request("consumer", WorkloadType.LLM, timedelta(hours=1), criteria=criteria)
