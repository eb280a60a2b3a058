"""What TensorDock answers about machines and money, as values."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import BootFailure, Endpoint, Instance, InstanceStatus
from providers.errors import BadResponse, NotFound, ProviderError
from providers.tensordock.wire import (
    legacy_address,
    parse_balance,
    parse_instance,
    parse_instances,
    present_credentials,
)
from tests.unit.tensordock_rows import LABEL, MACHINE, MODEL, a_machine, offered
from tests.unit.vastai_rows import anything, rows_like

HOST = "203.0.113.71"
ADDRESSES_ONLY = {"port_forwarding_available": False, "dedicated_ip_available": True}


def read(**changes: Any) -> Instance:
    """The machine in an answer with these changes."""
    return parse_instance(a_machine(**changes), MACHINE)


def nested(row: dict[str, Any]) -> dict[str, Any]:
    """The same row in the style of JSON:API."""
    attributes = {name: value for name, value in row.items() if name not in {"id", "type"}}
    return {"type": "VM", "id": row.get("id"), "attributes": attributes}


def in_shapes(*rows: Any) -> list[dict[str, Any]]:
    """The list in each of its three shapes."""
    return [
        {"data": list(rows)},
        {"data": {"instances": list(rows)}},
        {"data": {"type": "list", "id": "instances", "attributes": {"instances": list(rows)}}},
    ]


def test_an_answer_becomes_an_instance() -> None:
    """Every field has its place."""
    assert read() == Instance(
        id=MACHINE,
        label=LABEL,
        status=InstanceStatus.RUNNING,
        detail="running",
        ssh=(Endpoint(HOST, 20456),),
        ssh_user="user",
        ports={8000: Endpoint(HOST, 20457)},
        price_per_hour=Decimal("0.272999"),
        gpu_type="RTX 4090",
        gpu_count=2,
    )


@pytest.mark.parametrize(
    "payload",
    [
        a_machine(type="instance"),
        {"data": a_machine()},
        {"data": nested(a_machine())},
        nested(a_machine()),
        a_machine(
            ipAddress=...,
            ip_address=HOST,
            portForwards=...,
            port_forwards=[
                {"internalPort": "22", "externalPort": "20456"},
                {"protocol": "TCP", "internal_port": 8000, "external_port": 20457.0},
                {"protocol": "udp", "internal_port": 9000, "external_port": 20458},
            ],
            rateHourly=...,
            rate_hourly="0.272999",
        ),
        a_machine(portForwards={"20456": "22", "20457": 8000}),
        a_machine(resources={"gpus": [{"gpuV0Name": MODEL, "count": 2}]}),
    ],
)
def test_the_same_machine_comes_in_many_shapes(payload: object) -> None:
    """With an envelope or without, names in any case, numbers as text, ports as a map."""
    assert parse_instance(payload, MACHINE) == read()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("running", InstanceStatus.RUNNING),
        ("Running", InstanceStatus.RUNNING),
        (" RUNNING ", InstanceStatus.RUNNING),
        ("creating", InstanceStatus.STARTING),
        ("queued", InstanceStatus.STARTING),
        ("provisioning", InstanceStatus.STARTING),
        ("starting", InstanceStatus.STARTING),
        ("a word to come", InstanceStatus.STARTING),
        (None, InstanceStatus.STARTING),
        (7, InstanceStatus.STARTING),
        ("stopping", InstanceStatus.STOPPED),
        ("Stopped", InstanceStatus.STOPPED),
        ("stoppeddisassociated", InstanceStatus.STOPPED),
        ("StoppedDisassociated", InstanceStatus.STOPPED),
        ("stopped_disassociated", InstanceStatus.STOPPED),
        ("stopped disassociated", InstanceStatus.STOPPED),
        ("error", InstanceStatus.FAILED),
        ("Failed", InstanceStatus.FAILED),
        ("deleting", InstanceStatus.ENDING),
    ],
)
def test_states_come_in_any_case(status: object, expected: InstanceStatus) -> None:
    """A word that nobody knows is a machine on its way: it is not given up."""
    assert read(status=status).status is expected


def test_a_machine_that_will_never_run_blames_its_host() -> None:
    """Another host may do."""
    assert read(status="error").failure is BootFailure.HOST
    assert read(status="stopped").failure is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "Stopped"}, "It was stopped, and not by the broker (Stopped)"),
        (
            {"status": "StoppedDisassociated"},
            "Its host has taken the GPUs back (StoppedDisassociated)",
        ),
        ({"ipAddress": ""}, "It has no address yet (running)"),
        ({"portForwards": []}, "No port is forwarded to its SSH server (running)"),
        ({"status": "creating\x00", "ipAddress": None}, "creating"),
    ],
)
def test_a_status_says_why(changes: dict[str, Any], expected: str) -> None:
    """The marketplace's own word stands in it."""
    assert read(**changes).detail == expected


@pytest.mark.parametrize("address", ["", None, ..., "10.0.0.7", "169.254.1.1", "a b"])
def test_running_without_an_address_is_not_yet_running(address: object) -> None:
    """The creation is answered by `running` at once; a private address is none."""
    instance = read(ipAddress=address)

    assert instance.status is InstanceStatus.STARTING
    assert (instance.ssh, instance.ports) == ((), {})


@pytest.mark.parametrize(
    "forwards",
    [
        [],
        None,
        ...,
        "22",
        [None],
        [{}],
        [{"internal_port": 22}],
        [{"internal_port": 22, "external_port": 0}],
        [{"internal_port": 22, "external_port": 70000}],
        [{"internal_port": 23, "external_port": 20456}],
        [{"protocol": "udp", "internal_port": 22, "external_port": 20456}],
    ],
)
def test_port_22_is_a_machines_where_it_was_made_with_an_address_of_its_own(
    forwards: object,
) -> None:
    """At an address that machines share, a stranger's SSH server answers there."""
    machine = read(portForwards=forwards)

    assert machine.ways_in(offered(network_features=ADDRESSES_ONLY)) == (Endpoint(HOST, 22),)
    assert machine.ways_in(offered()) == ()


def test_a_forwarded_port_wins_over_an_address_of_its_own() -> None:
    """Both may be told."""
    assert read().ways_in(offered(network_features=ADDRESSES_ONLY)) == (Endpoint(HOST, 20456),)


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        ({"rateHourly": None}, "price_per_hour", None),
        ({"rateHourly": 0}, "price_per_hour", None),
        ({"rateHourly": "x"}, "price_per_hour", None),
        ({"name": None}, "label", None),
        ({"name": ""}, "label", None),
        ({"name": "Somebody else's"}, "label", "Somebody else's"),
        ({"resources": None}, "gpu_count", None),
        ({"resources": {"gpus": []}}, "gpu_type", None),
        ({"resources": {"gpus": {MODEL: {}, "other": {}}}}, "gpu_count", None),
        ({"resources": {"gpus": {MODEL: {"count": "1"}}}}, "gpu_count", 1),
        ({"resources": {"gpus": {MODEL: None}}}, "gpu_type", "RTX 4090"),
        ({"resources": {"gpus": {MODEL: {"count": -1}}}}, "gpu_count", None),
    ],
)
def test_odd_values_are_unknown(changes: dict[str, Any], name: str, expected: object) -> None:
    """Never a guess, never an error."""
    assert getattr(read(**changes), name) == expected


@pytest.mark.parametrize("payload", in_shapes(a_machine(), nested(a_machine(id="b", name="x"))))
def test_a_list_has_one_of_three_shapes(payload: object) -> None:
    """Its rows are flat, or have attributes."""
    assert parse_instances(payload) == (read(), replace(read(), id="b", label="x"))


@pytest.mark.parametrize("payload", in_shapes())
def test_a_list_may_be_empty(payload: object) -> None:
    """An account without machines is no mistake."""
    assert parse_instances(payload) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"ipAddress": ...}, True),
        ({"ipAddress": None}, True),
        ({"portForwards": ...}, True),
        ({"rateHourly": ...}, True),
        ({"ipAddress": "", "portForwards": []}, False),
        ({"ipAddress": ..., "status": "creating"}, False),
        ({"ipAddress": ..., "status": "stopped"}, False),
    ],
)
def test_a_row_that_leaves_out_what_a_running_machine_has_is_brief(
    changes: dict[str, Any], expected: bool
) -> None:
    """More is told of it alone; what is told as empty is not there yet, and needs no call."""
    [payload, *_] = in_shapes(a_machine(**changes))

    assert [instance.is_brief for instance in parse_instances(payload)] == [expected]
    assert not read(**changes).is_brief


def test_a_list_tells_the_addresses_too() -> None:
    """One list serves a whole fleet."""
    [payload, *_] = in_shapes(a_machine())

    assert parse_instances(payload)[0].ssh == (Endpoint(HOST, 20456),)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "",
        [],
        {},
        [a_machine()],
        {"instances": []},
        {"data": None},
        {"data": {}},
        {"data": {"instances": None}},
        {"data": {"instances": {}}},
        {"data": {"instances": None, "attributes": {"instances": []}}},
        {"data": {"attributes": {}}},
        {"data": {"attributes": []}},
        {"data": a_machine()},
        *in_shapes(a_machine(), None),
        *in_shapes(a_machine(), {}),
        *in_shapes(a_machine(id="")),
        *in_shapes(nested(a_machine(id=None))),
    ],
)
def test_an_odd_list_is_no_knowledge(payload: object) -> None:
    """It is never read as an account with fewer machines."""
    with pytest.raises(BadResponse):
        parse_instances(payload)


@pytest.mark.parametrize("word", ["deleted", "Terminated"])
def test_a_machine_that_is_listed_as_deleted_is_gone(word: str) -> None:
    """The list goes on without it, and the answer about it says so."""
    [payload, *_] = in_shapes(a_machine(status=word), a_machine(id="b"))

    assert [instance.id for instance in parse_instances(payload)] == ["b"]
    with pytest.raises(NotFound):
        read(status=word)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        "null",
        {"data": None},
        {"data": []},
        {"data": [a_machine()]},
        a_machine(id="another"),
        a_machine(id=None),
        a_machine(id="another", status="deleted"),
        {"status": "deleted"},
    ],
)
def test_an_answer_about_anything_else_proves_nothing(payload: object) -> None:
    """Neither that the machine is gone, nor that it is there."""
    with pytest.raises(BadResponse):
        parse_instance(payload, MACHINE)


@pytest.mark.parametrize(
    ("balance", "expected"),
    [(12.34, Decimal("12.34")), ("3.10", Decimal("3.10")), (0, Decimal()), (-2, Decimal(-2))],
)
def test_the_balance_is_told_in_dollars(balance: object, expected: Decimal) -> None:
    """It may be negative."""
    answer = {"success": True, "balance": balance, "hourly_cost": 0.61}

    assert parse_balance(answer) == expected


@pytest.mark.parametrize("payload", [None, [], {}, {"balance": None}, {"balance": math.nan}])
def test_an_account_without_a_balance_is_refused(payload: object) -> None:
    """Unknown money is not zero."""
    with pytest.raises(BadResponse):
        parse_balance(payload)


def test_the_balance_is_asked_with_both_halves_of_the_credentials() -> None:
    """As a form: version 0 knows no header."""
    assert present_credentials("an-id", "a-token") == {"api_key": "an-id", "api_token": "a-token"}


@pytest.mark.parametrize(
    ("api_url", "expected"),
    [
        ("https://dashboard.tensordock.com/api/v2", "https://dashboard.tensordock.com/api/v0"),
        ("http://127.0.0.1:8/v2/", "http://127.0.0.1:8/v0"),
        ("http://127.0.0.1:8/v2/api", None),
        ("http://127.0.0.1:8", None),
        ("", None),
    ],
)
def test_the_balance_is_asked_beside_the_configured_address(
    api_url: str, expected: str | None
) -> None:
    """And nowhere else."""
    assert legacy_address(api_url) == expected


@given(row=rows_like(a_machine()))
def test_no_row_raises_anything_but_our_errors(row: dict[str, Any]) -> None:
    """Any field may hold anything."""
    with suppress(ProviderError):
        instance = parse_instance(row, MACHINE)
        has_address = instance.ssh or instance.ssh_of_own_address
        assert has_address or instance.status is not InstanceStatus.RUNNING
        assert len(instance.detail) <= 300


@given(payload=anything | st.dictionaries(st.just("data"), anything))
def test_no_payload_raises_anything_but_our_errors(payload: object) -> None:
    """Whatever a server that is not the marketplace may send."""
    for parse in (parse_instances, parse_balance, lambda p: parse_instance(p, "1")):
        with suppress(ProviderError):
            parse(payload)
