"""Every field of every route, with every kind of wrong value: all are named, whatever they are."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from broker.api.routes import Route
from tests.service.api.asking import (
    UNKNOWN_NAME,
    assert_refused,
    path_of,
    request,
    routes,
    send,
)
from tests.service.api.wrong_values import IN_A_BODY, IN_A_QUERY, LONG, encoded, fields_of, wrong
from tests.service.conftest import Broker

pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSIONS = "/api/v1/sessions"
WITH_BODY = [route for route in routes() if route.body is not None]
WITH_QUERY = [route for route in routes() if route.query and route.query.model_fields]
EMPTY_IS_ALL = {"consumer_id"}
"""As the seed prints it: the consumer of a summary of everybody's costs is empty."""


def named(route: Route) -> str:
    """A route in the names of tests."""
    return f"{route.method} {route.path}"


BODIES = [
    pytest.param(route, values, id=f"{named(route)}: {kind}")
    for route in WITH_BODY
    for kind, make in IN_A_BODY.items()
    if route.body and (values := wrong(route.body, make))
]


@pytest.mark.parametrize(("route", "values"), BODIES)
async def test_every_wrong_field_of_a_body_is_named(
    refusing: Broker, route: Route, values: dict[str, object]
) -> None:
    """All of them are wrong in the same way at once, and none hides another."""
    answer = await send(refusing.url, request(route.method, path_of(route), encoded(values)))

    assert_refused(answer, 400, "validation_error")
    assert set(values) <= {field.partition(".")[0] for field in answer.fields}


@pytest.mark.parametrize(
    ("field", "value", "paths"),
    [
        ("exposed_ports", [0, 80, 65536, "80", 1.5], [f"exposed_ports.{n}" for n in (0, 2, 3, 4)]),
        ("labels", {"a": 1, "": "x", "b\n": "x", "d": None}, ["labels.a", "labels.", "labels.d"]),
        ("labels", {"a": "x\0", "b": "y" * 4097}, ["labels.a", "labels.b"]),
        ("env", {"1A": "x", "A-B": "x", "C": 1, "D": []}, ["env.1A", "env.A-B", "env.C", "env.D"]),
        ("env", {"A": "x\0", "B\n": "x"}, ["env.A", "env.B\n"]),
    ],
)
async def test_what_is_wrong_inside_a_field_is_named_with_its_path(
    refusing: Broker, field: str, value: object, paths: list[str]
) -> None:
    """The parts of a path stand with dots between them."""
    answer = await send(refusing.url, request("POST", SESSIONS, encoded({field: value})))

    assert_refused(answer, 400, "validation_error", paths)


HOUR = {"reservation_hours": 1}
BOTH = {"reservation_hours": 1, "reservation_minutes": 60}
OFFER = {**HOUR, "offer_id": "simulator-1", "gpu_type": "A100", "max_price": 1}
EXTENSION = f"{SESSIONS}/{UNKNOWN_NAME}/extend"
BOTH_MORE = {"additional_hours": 1, "additional_minutes": 60}


@pytest.mark.parametrize(
    ("path", "values", "fields"),
    [
        (SESSIONS, {}, {"reservation_hours"}),
        (SESSIONS, {"reservation_hours": None}, {"reservation_hours"}),
        (SESSIONS, BOTH, {"reservation_hours", "reservation_minutes"}),
        (SESSIONS, OFFER, {"offer_id", "gpu_type", "max_price"}),
        (SESSIONS, {**HOUR, "launch_mode": "entrypoint"}, {"launch_mode"}),
        (SESSIONS, {**HOUR, "ssh_public_key": "ssh-rsa AAAA"}, {"ssh_public_key"}),
        (EXTENSION, {}, {"additional_hours"}),
        (
            f"{SESSIONS}/{UNKNOWN_NAME}/extend",
            BOTH_MORE,
            {"additional_hours", "additional_minutes"},
        ),
    ],
)
async def test_contradictions_are_told_beside_the_wrong_fields(
    refusing: Broker, path: str, values: dict[str, object], fields: set[str]
) -> None:
    """What does not go together is known although other fields are wrong by themselves."""
    answer = await send(refusing.url, request("POST", path, encoded({**values, "surprise": 1})))

    required = {"consumer_id", "workload_type"} if path == SESSIONS else set()
    assert_refused(answer, 400, "validation_error")
    assert fields | required | {"surprise"} == set(answer.fields)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", SESSIONS, b'{"provider": "nobody", "surprise": 1}'),
        ("GET", "/api/v1/inventory?provider=nobody&surprise=1", b""),
        ("GET", "/api/v1/offer-health?provider=nobody&surprise=1", b""),
        ("GET", "/api/v1/templates?provider=nobody&surprise=1", b""),
    ],
)
async def test_a_provider_that_is_not_there_is_told_beside_the_wrong_fields(
    refusing: Broker, method: str, target: str, body: bytes
) -> None:
    """With those that are."""
    answer = await send(refusing.url, request(method, target, body))

    assert_refused(answer, 400, "validation_error", ["provider", "surprise"])
    assert "simulator" in str(answer.body["details"])


@pytest.mark.parametrize(
    ("field", "entries"),
    [("exposed_ports", [0] * 300_000), ("labels", {f"a{n}": 1 for n in range(60_000)})],
)
async def test_a_flood_of_mistakes_gets_a_small_answer(
    refusing: Broker, field: str, entries: object
) -> None:
    """What holds too much is not looked into."""
    answer = await send(refusing.url, request("POST", SESSIONS, encoded({field: entries})))

    assert_refused(answer, 400, "validation_error", [field])
    assert len(answer.raw) < 1000


async def test_no_more_than_a_thousand_mistakes_are_told(refusing: Broker) -> None:
    """Nobody reads more, and the answer stays smaller than the question."""
    body = encoded({f"field_{number}": 1 for number in range(50_000)})
    answer = await send(refusing.url, request("POST", SESSIONS, body))

    assert_refused(answer, 400, "validation_error")
    assert 1000 == len(answer.fields)
    assert len(answer.raw) < len(body) / 10


async def test_a_whole_number_may_be_written_with_a_fraction_of_nothing(refusing: Broker) -> None:
    """2.0 is the whole number 2, as in JSON Schema."""
    fields = {"consumer_id": "me", "workload_type": "llm", "reservation_hours": 2.0, "gpu_count": 1}
    answer = await send(refusing.url, request("POST", SESSIONS, encoded(fields)))

    assert (201, 2) == (answer.status, answer.body["session"]["reservation_hours"])


@pytest.mark.parametrize("route", WITH_BODY, ids=named)
async def test_fields_that_stand_twice_or_are_unknown_are_named(
    refusing: Broker, route: Route
) -> None:
    """Each of them, beside the others, and with its path."""
    body = b'{"a": 1, "a": 1, "b": {"c": [{"d": 1, "d": 2}]}, "": 1, "e.f": 1}'
    answer = await send(refusing.url, request(route.method, path_of(route), body))

    assert_refused(answer, 400, "validation_error", ["a", "b", "b.c.0.d", "", "e.f"])


# Query strings


QUERIES = [
    pytest.param(route, values, id=f"{named(route)}: {kind}")
    for route in WITH_QUERY
    for kind, make in IN_A_QUERY.items()
    if route.query and (values := wrong(route.query, make))
]


@pytest.mark.parametrize(("route", "values"), QUERIES)
async def test_every_wrong_parameter_is_named(
    refusing: Broker, route: Route, values: dict[str, Any]
) -> None:
    """All of them are wrong in the same way at once, and none hides another."""
    answer = await send(
        refusing.url, request(route.method, f"{path_of(route)}?{urlencode(values)}")
    )

    assert_refused(answer, 400, "validation_error")
    assert set(values) == set(answer.fields)


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "9998-12-32", "9999-12-31"])
@pytest.mark.parametrize("path", ["/api/v1/costs", "/api/v1/costs/daily"])
async def test_a_day_out_of_range_is_told_with_the_range(
    refusing: Broker, path: str, day: str
) -> None:
    """In the way in which days are written."""
    answer = await send(refusing.url, request("GET", f"{path}?start_date={day}&end_date={day}"))

    assert_refused(answer, 400, "validation_error", ["start_date", "end_date"])
    told = "must be a valid date" if "32" in day else "must be a day from 1970-01-01 to 9998-12-31"
    assert all(detail["message"].startswith(told) for detail in answer.body["details"])


@pytest.mark.parametrize("text", ["", LONG], ids=["empty", "10,000 characters"])
@pytest.mark.parametrize(
    ("route", "name"),
    [(route, name) for route in WITH_QUERY if route.query for name in fields_of(route.query)],
    ids=lambda value: value if isinstance(value, str) else named(value),
)
async def test_a_parameter_is_neither_empty_nor_endless(
    refusing: Broker, route: Route, name: str, text: str
) -> None:
    """Only the consumer may be empty where costs are summed up: that is everybody."""
    answer = await send(refusing.url, request(route.method, f"{path_of(route)}?{name}={text}"))

    if "costs" in route.path and name in EMPTY_IS_ALL and not text:
        assert 200 == answer.status
    else:
        assert_refused(answer, 400, "validation_error")
        assert [name] == answer.fields


@pytest.mark.parametrize("route", routes(), ids=named)
async def test_parameters_that_are_unknown_repeated_or_unreadable_are_named(
    refusing: Broker, route: Route
) -> None:
    """By every route, those without any parameter too."""
    target = f"{path_of(route)}?zzz=1&zzz=2&%C3%A9=1&=1&bad=%zz&worse=%ff&flag"
    answer = await send(refusing.url, request(route.method, target))

    assert_refused(answer, 400, "validation_error", ["zzz", "é", "", "bad", "worse", "flag"])
