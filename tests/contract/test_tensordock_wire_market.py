"""What the simulated TensorDock offers, and which creations it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import Clock
from tests.contract.tensordock_customers import (
    CHUBBUCK,
    GPU,
    SSH_FORWARD,
    Customer,
    an_order,
    customer_of,
)
from tests.tensordock_wire import ErrorShape, Misfortune, Word

NO_NODES = {"status": 400, "error": "No available nodes found"}


@pytest.fixture
async def customer(tmp_path: Path, clock: Clock) -> AsyncIterator[Customer]:
    """A customer of a service that has its time from the test, and no machines."""
    async with customer_of(tmp_path, clock, ssh=False) as somebody:
        yield somebody


async def offers(customer: Customer) -> list[Any]:
    """What Chubbuck offers."""
    status, body = await customer.ask("GET", "/locations", token="")
    assert status == 200
    return list(body["data"]["locations"][0]["gpus"])


def sized(**amounts: Any) -> dict[str, Any]:
    """Resources with these amounts."""
    usual = {"vcpu_count": 8, "ram_gb": 32, "storage_gb": 100, "gpus": {GPU: {"count": 1}}}
    return {**usual, **amounts}


async def test_anybody_sees_what_one_machine_can_have(customer: Customer) -> None:
    """The largest host's free GPUs, and prices of every part."""
    (offer,) = await offers(customer)

    assert (GPU, 4, 0.3966) == (offer["v0Name"], offer["max_count"], offer["price_per_hr"])
    assert {"per_vcpu_hr": 0.003, "per_gb_ram_hr": 0.002, "per_gb_storage_hr": 5e-05} == offer[
        "pricing"
    ]


async def test_a_host_tells_its_free_ports(customer: Customer) -> None:
    """Until a machine has them."""
    await customer.rent()

    _, body = await customer.ask("GET", f"/hostnodes?location={CHUBBUCK.id}&gpu=whatever")
    first, second = body["data"]["hostnodes"]
    assert 20_009 not in first["available_resources"]["available_ports"]
    assert 20_009 in second["available_resources"]["available_ports"]
    assert first == (await customer.ask("GET", f"/hostnodes/{first['id']}"))[1]["data"]


async def test_the_list_can_be_behind(tmp_path: Path, clock: Clock) -> None:
    """It offers what a creation does not get."""
    async with customer_of(tmp_path, clock, ssh=False, stale=timedelta(minutes=5)) as customer:
        await offers(customer)
        everything = sized(gpus={GPU: {"count": 4}})
        await customer.rent(resources=everything)
        (still,) = await offers(customer)
        refused = await customer.create("second", resources=everything)
        clock.forward(301)
        (offer,) = await offers(customer)

    assert (4, (200, NO_NODES), 2) == (still["max_count"], refused, offer["max_count"])


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"name": None}, "invalid_type", "name"),
        ({"image": "debian12"}, "invalid_enum_value", "image"),
        ({"image": "ubuntu2404_nvidia_570"}, "invalid_enum_value", "image"),
        ({"resources": sized(storage_gb=90)}, "too_small", "storage_gb"),
        ({"resources": sized(vcpu_count=7)}, "custom", "vcpu_count"),
        ({"resources": sized(ram_gb=33)}, "custom", "ram_gb"),
        ({"resources": sized(gpus={})}, "custom", "gpus"),
        ({"hostnode_id": CHUBBUCK.hosts[0].id}, "custom", "location_id"),
        ({"location_id": None}, "custom", "location_id"),
        ({"ssh_key": None}, "custom", "ssh_key"),
        ({"ssh_key_id": "x"}, "custom", "ssh_key"),
        ({"port_forwards": []}, "custom", "port_forwards"),
        (
            {"port_forwards": [SSH_FORWARD, {"internal_port": 80, "external_port": 20_009}]},
            *("custom", "port_forwards"),
        ),
        ({"cloud_init": {"users": []}}, "unrecognized_keys", "cloud_init"),
        ({"cloud_init": "#cloud-config"}, "invalid_type", "cloud_init"),
        ({"cloud_init": {"runcmd": [["ls"]]}}, "invalid_type", "runcmd"),
    ],
)
async def test_a_creation_that_makes_no_sense_is_refused(
    customer: Customer, changes: dict[str, Any], code: str, field: str
) -> None:
    """With 400 and a list of everything that is wrong."""
    status, (issue, *more) = await customer.create(**changes)

    assert (400, code, field, []) == (status, issue["code"], issue["path"][-1], more)
    assert [] == customer.wire.instances()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"resources": sized(gpus={GPU: {"count": 5}})}, "No available nodes found"),
        ({"resources": sized(gpus={"l4-pcie-24gb": {"count": 1}})}, "No available nodes found"),
        (
            {"location_id": None, "hostnode_id": CHUBBUCK.hosts[1].id, "useDedicatedIp": True},
            "No available public IPs on hostnode",
        ),
        ({"location_id": None, "hostnode_id": "nobody"}, "Hostnode unavailable"),
    ],
)
async def test_what_nobody_has_is_refused_with_200(
    customer: Customer, changes: dict[str, Any], error: str
) -> None:
    """As the real service does."""
    assert (200, {"status": 400, "error": error}) == await customer.create(**changes)


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        (ErrorShape.OBJECT, {"status": 400, "error": {"message": "no"}}),
        (ErrorShape.LIST, {"status": 400, "error": [{"message": "no"}]}),
        (ErrorShape.WRAPPED, {"data": {"status": 400, "error": "no"}}),
    ],
)
async def test_an_error_in_a_good_answer_has_several_shapes(
    customer: Customer, shape: ErrorShape, body: Any
) -> None:
    """Whichever the test has chosen."""
    customer.wire.shapes.error = shape
    customer.wire.misfortunes.add(Misfortune(Word.NO_NODES, text="no"))

    assert (200, body) == await customer.create()


async def test_the_rate_is_not_quite_what_the_prices_add_up_to(customer: Customer) -> None:
    """4090, 8 vCPU, 32 GB, 100 GB of disk: 0.4896 by the list."""
    machine = await customer.rent()

    assert Decimal("0.4896") * Decimal("0.96") == Decimal(
        str((await customer.show(machine))["rateHourly"])
    )


async def test_a_token_is_needed_for_all_but_the_locations(customer: Customer) -> None:
    """What is not there at all is answered with a page."""
    for method, path in (("GET", "/instances"), ("GET", "/hostnodes"), ("POST", "/instances")):
        status, body = await customer.ask(method, path, an_order(), token="wrong")
        assert (401, {"error": "Invalid API credentials"}) == (status, body)
    status, body = await customer.ask("GET", "/nothing")
    assert (404, True) == (status, body.startswith("<html>"))


async def test_a_key_can_be_kept_as_a_secret(customer: Customer) -> None:
    """And named in a creation."""
    attributes = {"type": "SSHKEY", "name": "k", "value": "ssh-ed25519 AAAA k"}
    _, made = await customer.ask("POST", "/secrets", {"data": {"attributes": attributes}})
    key_id = made["data"]["id"]
    machine = await customer.rent(ssh_key=None, ssh_key_id=key_id)

    assert ("ssh-ed25519 AAAA k",) == customer.wire.machine(machine).public_keys
    assert 405 == (await customer.ask("PATCH", f"/secrets/{key_id}", {}))[0]
    assert 204 == (await customer.ask("DELETE", f"/secrets/{key_id}"))[0]
