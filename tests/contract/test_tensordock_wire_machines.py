"""Logging in to the machines of the simulated TensorDock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from broker.clock import utcnow
from providers.simulator.keeper import LOG_NAME
from tests.contract.tensordock_customers import INSTALL_KEY, Customer, customer_of
from tests.tensordock_wire import Misfortune, Word
from tests.waiting import eventually


@pytest.fixture
async def customer(tmp_path: Path) -> AsyncIterator[Customer]:
    """A customer of a service with machines, whose process has nothing to complain about."""
    async with customer_of(tmp_path, utcnow) as somebody:
        yield somebody
    assert (tmp_path / LOG_NAME).read_text() == ""


async def test_one_logs_in_as_user_and_finds_the_gpu(customer: Customer) -> None:
    """By the forwarded port that the service tells; nobody is let in as root."""
    machine = await customer.rent()

    assert (0, "user\n") == await customer.run(machine, "echo $USER")
    _, printed = await customer.run(machine, "nvidia-smi")
    assert "NVIDIA GeForce RTX 4090" in printed
    assert await customer.attempt(machine, "true", "root") is None


async def test_files_are_copied_to_the_home_of_user(customer: Customer) -> None:
    """Called as on a real machine."""
    machine = await customer.rent()
    await customer.run(machine, "echo hello > greeting")

    async with (
        customer.connect(await customer.show(machine)) as connection,
        connection.start_sftp_client() as files,
    ):
        assert await files.getsize("/home/user/greeting") == 6


async def test_a_key_comes_by_either_way(customer: Customer) -> None:
    """Where the service loses `ssh_key`, cloud-init still brings it."""
    customer.wire.misfortunes.add(Misfortune(Word.KEY_IGNORED, times=2))
    both = await customer.rent(cloud_init={"runcmd": [INSTALL_KEY]})
    assert (0, "in\n") == await customer.run(both, "echo in")

    neither = await customer.rent(name="gpub-depl-bbbbbbbbbbbb-1")
    assert () == customer.wire.machine(neither).public_keys


async def test_a_machine_runs_what_its_cloud_init_wrote(customer: Customer) -> None:
    """With the variables of all logins; where cloud-init does nothing, it does not."""
    cloud_init = {
        "write_files": [{"path": "/opt/start.sh", "content": "echo $1 > started"}],
        "runcmd": [
            "printf '%s\\n' 'COLOUR=light blue' >> /etc/environment",
            "env A=1 sh /opt/start.sh now",
        ],
    }
    machine = await customer.rent(cloud_init=cloud_init)

    async def look() -> bool:
        done = await customer.run(machine, 'cat started; echo "$COLOUR"')
        return bool(done == (0, "now\nlight blue\n"))

    await eventually(look)


async def test_the_driver_can_come_later(customer: Customer) -> None:
    """Until then there is no `nvidia-smi`, although one can log in."""
    customer.wire.misfortunes.add(Misfortune(Word.NO_DRIVER))
    without = await customer.rent()
    assert (127, "nvidia-smi: command not found\n") == await customer.run(without, "nvidia-smi")

    customer.wire.misfortunes.add(Misfortune(Word.NO_DRIVER, delay=timedelta(seconds=0.2)))
    second = await customer.rent(name="gpub-depl-bbbbbbbbbbbb-1")

    async def look() -> bool:
        return (await customer.run(second, "nvidia-smi"))[0] == 0

    await eventually(look)


async def test_a_machine_with_an_address_of_its_own_is_reached_there(customer: Customer) -> None:
    """At port 22, or behind a forwarded one where this computer gives that to nobody."""
    machine = await customer.rent(useDedicatedIp=True, port_forwards=None)

    assert (0, "in\n") == await customer.run(machine, "echo in")


async def test_nothing_answers_of_a_machine_that_is_stopped(customer: Customer) -> None:
    """Here because the money has run out."""
    machine = await customer.rent()
    await customer.run(machine, "true")
    customer.wire.balance = Decimal(1)

    async def look() -> bool:
        return await customer.attempt(machine, "true") is None

    await eventually(look)
