"""The machines of the simulated Vast.ai: rented by HTTP, reached by SSH."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from tests.contract.vast_customers import Customer
from tests.contract.vast_logins import attach, direct, log_in, proxy, real_customer
from tests.vast_wire import Misfortune, Word
from tests.waiting import eventually


@pytest.fixture
async def customer(tmp_path: Path) -> AsyncIterator[Customer]:
    """A customer of a service with machines."""
    async with real_customer(tmp_path / "vast") as somebody:
        yield somebody


async def test_a_rented_machine_shows_its_gpus_to_whoever_has_an_attached_key(
    customer: Customer,
) -> None:
    """Directly, and through the proxy."""
    machine = await customer.rent()
    row = await customer.until(machine, "running")
    await attach(customer, machine)

    shown = [await log_in(where(row), "nvidia-smi -L") for where in (direct, proxy)]

    assert row["num_gpus"] == shown[0].count("RTX 4090")
    assert shown[0] == shown[1]
    assert direct(row) != proxy(row)


async def test_a_machine_knows_itself(customer: Customer) -> None:
    """Its environment has what was asked for, its id, its key and where it is reached."""
    env = {"A": "1 2", "-p 8000:8000": "1", "-p 70000:70000": "1"}
    machine = await customer.rent(env=env, onstart="echo $CONTAINER_ID > ~/began")
    row = await customer.until(machine, "running")
    await attach(customer, machine)

    said = await log_in(direct(row), "env; cat ~/began ~/.vast_api_key")
    variables = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    ports = {name: bindings[0]["HostPort"] for name, bindings in row["ports"].items()}
    assert "1 2" == variables["A"]
    assert (str(machine), f"C.{machine}") == (
        variables["CONTAINER_ID"],
        variables["VAST_CONTAINERLABEL"],
    )
    assert (ports["22/tcp"], ports["8000/tcp"]) == (
        variables["VAST_TCP_PORT_22"],
        variables["VAST_TCP_PORT_8000"],
    )
    identity = variables["VAST_TCP_PORT_70000"]
    assert identity == ports[f"{identity}/tcp"]
    assert [str(machine), variables["CONTAINER_API_KEY"]] == said.splitlines()[
        -1:
    ] or said.endswith(f"{machine}\n{variables['CONTAINER_API_KEY']}")


async def test_a_destroyed_machine_is_not_reached_any_more(customer: Customer) -> None:
    """Its row is gone at once, its SSH soon."""
    machine = await customer.rent()
    row = await customer.until(machine, "running")
    await attach(customer, machine)
    await log_in(direct(row), "true")

    await customer.ask("DELETE", f"/api/v0/instances/{machine}/")

    async def is_silent() -> bool:
        try:
            async with asyncssh.connect(*direct(row), known_hosts=None, config=None):
                return False
        except OSError:
            return True
        except asyncssh.Error:
            return False

    assert customer.wire.instance(machine) is None
    assert await eventually(is_silent)


async def test_a_stopped_machine_starts_again_at_the_same_address(customer: Customer) -> None:
    """With the same disk."""
    machine = await customer.rent()
    row = await customer.until(machine, "running")
    await attach(customer, machine)
    await log_in(direct(row), "echo words > there")

    await customer.ask("PUT", f"/api/v0/instances/{machine}/", {"state": "stopped"})
    assert "ports" not in (await customer.until(machine, "stopped"))
    await customer.ask("PUT", f"/api/v0/instances/{machine}/", {"state": "running"})
    again = await customer.until(machine, "running")

    assert "words\n" == await log_in(direct(again), "cat there")


async def test_a_machine_with_the_wrong_gpu_shows_it_to_the_driver_only(customer: Customer) -> None:
    """The row says what was rented."""
    customer.wire.misfortunes.add(Misfortune(Word.WRONG_GPU))
    machine = await customer.rent()
    row = await customer.until(machine, "running")
    await attach(customer, machine)

    shown = await log_in(direct(row), "nvidia-smi -L")

    assert "RTX 4090" == row["gpu_name"]
    assert "RTX 4090" not in shown
