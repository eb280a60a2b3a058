"""The lives of simulated machines: boots, misfortunes, restarts, crashes, ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import aiohttp
import asyncssh
import pytest

from broker.clock import utcnow
from providers.base import Instance, InstanceStatus, LaunchMode
from providers.errors import NotFound
from providers.gpus import is_same_gpu
from providers.simulator import SimulatorOptions, SimulatorProvider, open_simulator, parse_fault
from providers.simulator.home import FOLDER
from providers.simulator.machines import LOCK_NAME
from tests.contract.conftest import Clock, Open, a_spec
from tests.contract.machines import (
    KEY,
    PROBE,
    gets_in,
    is_alive,
    is_down,
    is_listening,
    log_in,
    public,
    rent,
    run,
    until_reached,
)
from tests.waiting import eventually


async def test_machines_survive_a_restart_of_whoever_rented_them(open_market: Open) -> None:
    """Same address, same host key, same files; the start script has run once."""
    first = await open_market()
    machine = await rent(first, on_start="echo started; echo $0 >> starts", ports=(8000,))
    async with log_in(machine) as connection:
        before = connection.get_server_host_key()
        await eventually(lambda: is_true(connection.run("test -s starts")))
    await first.close()
    assert not await is_listening(machine)

    again = await until_reached(await open_market(), machine.id)

    assert (again.ssh, again.ports, again.created_at) == (
        *(machine.ssh, machine.ports),
        machine.created_at,
    )
    async with log_in(again) as connection:
        after = connection.get_server_host_key()
        starts = await connection.run("cat starts onstart.log")
    assert before is not None
    assert after == before
    assert starts.stdout == "/bin/sh\nstarted\n"


async def is_true(command: Awaitable[asyncssh.SSHCompletedProcess]) -> bool:
    """Whether a command succeeds."""
    return (await command).exit_status == 0


async def test_host_keys_differ_from_machine_to_machine(market: SimulatorProvider) -> None:
    """Nobody can be mistaken for somebody else."""
    machines = [await rent(market), await rent(market)]
    keys = set()
    for machine in machines:
        async with log_in(machine) as connection:
            key = connection.get_server_host_key()
            keys.add(key and key.export_public_key())

    assert len(keys) == 2


RENTS_AND_WAITS = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from broker.clock import utcnow
from providers.simulator import SimulatorOptions, open_simulator
from providers.simulator.home import FOLDER
from providers.simulator.machines import LOCK_NAME
from tests.contract.conftest import a_spec, first_offer
from tests.waiting import eventually

async def main():
    options = SimulatorOptions(Path(sys.argv[1]), boot_time=timedelta(), drift=timedelta())
    market = await open_simulator(options, utcnow)
    made = await market.create(a_spec(await first_offer(market), public_keys=(sys.argv[2],)))
    async def is_up():
        return (await market.get(made.id)).ssh
    await eventually(is_up)
    print(made.id, market.machines_pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_nothing_runs_on_when_the_broker_is_killed(open_market: Open, tmp_path: Path) -> None:
    """The machines are still rented, and run again with the next one."""
    broker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RENTS_AND_WAITS, str(tmp_path / "data"), public(KEY)),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    assert broker.stdout is not None
    words = (await asyncio.wait_for(broker.stdout.readline(), 20)).split()
    instance_id, pid = words[0].decode(), int(words[1])
    assert is_alive(pid)

    broker.send_signal(signal.SIGKILL)
    await broker.wait()

    async def is_over() -> bool:
        return not is_alive(pid)

    await eventually(is_over)
    machine = await until_reached(await open_market(), instance_id)
    assert (await run(machine, "echo back")).stdout == "back\n"


async def test_a_destroyed_machine_leaves_nothing(
    market: SimulatorProvider, tmp_path: Path
) -> None:
    """No connection, no port, no process, no file."""
    machine = await rent(market)
    disk = tmp_path / "data" / FOLDER / machine.id
    assert disk.is_dir()
    escape = "(setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $!)"
    async with log_in(machine) as connection:
        left_behind = int(str((await connection.run(escape)).stdout))
        running = await connection.create_process("echo ready; sleep 600")
        await running.stdout.readline()
        assert is_alive(left_behind)

        await market.destroy(machine.id)

        await asyncio.wait_for(connection.wait_closed(), 10)

    async def is_clean() -> bool:
        return not (disk.exists() or is_alive(left_behind) or await is_listening(machine))

    await eventually(is_clean)
    with pytest.raises(NotFound):
        await market.get(machine.id)


async def test_a_machine_that_was_destroyed_while_nobody_ran_it_leaves_no_disk(
    open_market: Open, tmp_path: Path
) -> None:
    """The next process of the machines takes it away."""
    market = await open_market()
    kept, destroyed = await rent(market), await rent(market)
    await market.close()
    disks = tmp_path / "data" / FOLDER
    assert {disk.name for disk in disks.iterdir()} == {kept.id, destroyed.id}

    elsewhere = await open_simulator(SimulatorOptions(tmp_path / "data", ssh=False), utcnow)
    await elsewhere.destroy(destroyed.id)
    await elsewhere.close()
    await open_market()

    async def is_removed() -> bool:
        return {disk.name for disk in disks.iterdir()} == {kept.id}

    await eventually(is_removed)


async def test_misfortunes_reach_the_machines(market: SimulatorProvider) -> None:
    """Each the machine that it was meant for."""
    await rent(market)  # the process of the machines runs
    offers = (await market.list_offers()).offers
    words = [
        {"fault": "wrong_gpu", "operation": "boot"},
        {"fault": "refused", "operation": "ssh"},
        {"fault": "refused", "operation": "ssh", "delay": "500ms"},
        {"fault": "key_late", "operation": "ssh", "delay": "500ms"},
        {"fault": "slow", "operation": "ssh", "delay": "500ms"},
        {"fault": "dies", "operation": "boot", "delay": "3s"},
        {"fault": "never_boots", "operation": "boot"},
    ]
    for offer, word in zip(offers, words, strict=False):
        market.faults.add(parse_fault(word | {"offer_id": offer.id}))
    made = [
        await market.create(a_spec(offer, f"machine {n}", public_keys=(public(KEY),)))
        for n, offer in enumerate(offers[: len(words)])
    ]
    wrong, refused, late, key_late, slow, dies, never = (instance.id for instance in made)

    dying = await until_reached(market, dies)
    assert (await run(await until_reached(market, wrong), PROBE)).stdout == (
        "NVIDIA GeForce GTX 1070, 8192\n"
    )
    assert await gets_in(await until_reached(market, late), KEY)
    begun = asyncio.get_running_loop().time()
    assert await gets_in(await until_reached(market, slow), KEY)
    assert asyncio.get_running_loop().time() - begun >= 0.5
    await eventually(lambda: gets_in_to(market, key_late))
    assert not await is_listening(await market.get(refused))
    assert (await market.get(refused)).status is InstanceStatus.RUNNING
    assert (await market.get(never)).status is InstanceStatus.STARTING

    async def is_dead() -> bool:
        status = (await market.get(dies)).status
        return status is InstanceStatus.OFFLINE and not await is_listening(dying)

    await eventually(is_dead)


async def gets_in_to(market: SimulatorProvider, instance_id: str) -> bool:
    """Whether KEY opens a machine already."""
    return await gets_in(await until_reached(market, instance_id), KEY)


async def test_a_late_key_is_refused_at_first(market: SimulatorProvider) -> None:
    """The machine answers, and lets nobody in."""
    market.faults.add(parse_fault({"fault": "key_late", "operation": "ssh", "delay": "1h"}))

    machine = await rent(market)

    assert not await gets_in(machine, KEY)


async def test_an_entrypoint_answers_http_on_every_published_port(
    market: SimulatorProvider,
) -> None:
    """As much of a model server as shows that it serves; SSH beside it."""
    machine = await rent(
        market,
        launch_mode=LaunchMode.ENTRYPOINT,
        ports=(8000, 8080),
        args=("--max-model-len", "4096", "--model", "meta-llama/Llama-3.1-8B"),
    )

    assert set(machine.ports) == {8000, 8080}
    async with aiohttp.ClientSession() as session:
        for endpoint in machine.ports.values():
            address = f"http://{endpoint.host}:{endpoint.port}"
            async with session.get(f"{address}/health") as health:
                assert health.status == 200
            async with session.get(f"{address}/v1/models") as models:
                served = await models.json()
            assert [model["id"] for model in served["data"]] == ["meta-llama/Llama-3.1-8B"]
            async with session.get(f"{address}/nothing") as nothing:
                assert nothing.status == 404
    assert await gets_in(machine, KEY)


async def has_open(pid: int | None, name: str) -> bool:
    """Whether a process has a file of this name open."""
    names = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            names.append(path.readlink().name)
    return name in names


async def test_two_openers_run_the_machines_once(open_market: Open) -> None:
    """The second takes over when the first leaves."""
    first = await open_market()
    machine = await rent(first)
    second = await open_market()
    await eventually(lambda: has_open(second.machines_pid, LOCK_NAME))

    assert (await second.get(machine.id)).ssh == machine.ssh
    async with log_in(machine) as connection:
        assert (await connection.run("echo still here")).stdout == "still here\n"
        await first.close()
        await asyncio.wait_for(connection.wait_closed(), 10)

    taken_over = await until_reached(second, machine.id)
    assert (await run(taken_over, "echo again")).stdout == "again\n"


async def test_a_crashed_process_of_the_machines_is_replaced(market: SimulatorProvider) -> None:
    """With the next look at them."""
    machine = await rent(market)
    assert market.machines_pid is not None
    os.kill(market.machines_pid, signal.SIGKILL)
    await eventually(lambda: is_down(machine))

    async def is_back() -> bool:
        (instance,) = await market.list_instances()
        return await is_listening(instance)

    await eventually(is_back)
    assert (await run(machine, "echo back")).stdout == "back\n"


async def test_a_word_of_the_time_that_was_long_on_its_way_takes_no_machine_away(
    tmp_path: Path, clock: Clock
) -> None:
    """A busy process of the machines hears late what time it was."""
    options = SimulatorOptions(tmp_path, boot_time=timedelta(), drift=timedelta())
    market = await open_simulator(options, clock)
    early = await rent(market)
    clock.forward(60)
    late = await rent(market)

    clock.forward(-30)
    await market.destroy(early.id)
    await eventually(lambda: is_down(early))

    assert await is_listening(late)
    await market.close()


async def test_many_machines_answer_at_once(market: SimulatorProvider) -> None:
    """Thirty boots, then thirty logins at the same time."""
    offers = (await market.list_offers()).offers[:30]
    made = await asyncio.gather(
        *(
            market.create(a_spec(o, f"m {n}", public_keys=(public(KEY),)))
            for n, o in enumerate(offers)
        )
    )
    machines: Sequence[Instance] = await asyncio.gather(
        *(until_reached(market, instance.id) for instance in made)
    )

    answers = await asyncio.gather(*(run(machine, PROBE) for machine in machines))

    shown = [str(answer.stdout).partition(",")[0] for answer in answers]
    assert all(is_same_gpu(offer.gpu_type, name) for offer, name in zip(offers, shown, strict=True))
    assert len({machine.ssh for machine in machines}) == 30
