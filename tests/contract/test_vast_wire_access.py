"""Getting into the machines of the simulated Vast.ai: keys, detours, and what they say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import vastai

from tests.contract.vast_customers import Customer
from tests.contract.vast_logins import (
    PUBLIC_KEY,
    attach,
    direct,
    knock,
    log_in,
    proxy,
    real_customer,
)
from tests.vast_wire import BootTimeline, Misfortune, Word
from tests.waiting import eventually

NEVER = timedelta(days=1)


@pytest.fixture
async def customer(tmp_path: Path) -> AsyncIterator[Customer]:
    """A customer of a service with machines."""
    async with real_customer(tmp_path / "vast") as somebody:
        yield somebody


async def running(customer: Customer, *misfortunes: Misfortune, **fields: Any) -> tuple[int, Any]:
    """A machine that has booted, and its row."""
    customer.wire.misfortunes.add(*misfortunes)
    machine = await customer.rent(**fields)
    return machine, await customer.until(machine, "running")


async def listens(address: tuple[str, int]) -> None:
    """Wait until a machine answers with anything."""

    async def look() -> bool:
        return await knock(address) != "refused"

    await eventually(look)


async def test_a_machine_admits_nobody_without_a_key(customer: Customer) -> None:
    """Until one is attached, and not any more once it is detached."""
    machine, row = await running(customer)
    await listens(direct(row))
    before = await knock(direct(row))
    await attach(customer, machine)
    await log_in(direct(row), "true")
    path = f"/api/v0/instances/{machine}/ssh/"

    _, body = await customer.ask("GET", path)
    [key] = json.loads(body["ssh_keys"])
    await customer.ask("DELETE", f"{path}{key['id']}/")

    assert ("denied", PUBLIC_KEY) == (before, key["public_key"])
    assert "denied" == await knock(direct(row))


async def ask_sdk(customer: Customer, method: str, *args: Any, **fields: Any) -> Any:
    """What the vendor's client makes of a call."""
    client = vastai.VastAI(api_key=customer.wire.api_key, server_url=customer.wire.url, retry=1)
    return await asyncio.to_thread(getattr(client, method), *args, **fields)


async def test_a_key_of_the_account_is_on_new_machines(customer: Customer) -> None:
    """And on those only."""
    _, old = await running(customer)
    await customer.ask("POST", "/api/v0/ssh/", {"ssh_key": PUBLIC_KEY})

    _, new = await running(customer)
    await log_in(direct(new), "true")
    await listens(direct(old))

    assert "denied" == await knock(direct(old))


@pytest.mark.parametrize(
    ("boot", "misfortune"),
    [
        (BootTimeline(keys=NEVER), None),
        (BootTimeline(), Misfortune(Word.KEY_LATE, delay=NEVER)),
        (BootTimeline(), Misfortune(Word.KEY_DROPPED)),
    ],
    ids=["always late", "late once", "dropped"],
)
async def test_an_attached_key_may_not_work_yet(
    tmp_path: Path, boot: BootTimeline, misfortune: Misfortune | None
) -> None:
    """Although it was accepted; one that was lost works when it is attached again."""
    async with real_customer(tmp_path, boot=boot) as customer:
        machine, row = await running(customer, *([misfortune] if misfortune else []))
        await attach(customer, machine)
        await listens(direct(row))
        first = await knock(direct(row))
        await attach(customer, machine)
        if misfortune and misfortune.word is Word.KEY_DROPPED:
            await log_in(direct(row), "true")
        second = await knock(direct(row))

    is_lost = misfortune is not None and misfortune.word is Word.KEY_DROPPED
    assert ("denied", "in" if is_lost else "denied") == (first, second)


async def test_a_late_key_works_in_the_end(customer: Customer) -> None:
    """By itself, without any further call."""
    late = Misfortune(Word.KEY_LATE, delay=timedelta(seconds=0.3))
    machine, row = await running(customer, late)
    await attach(customer, machine)

    assert "words\n" == await log_in(direct(row), "echo words")


async def test_what_somebody_writes_into_the_keys_is_lost_with_the_next_attachment(
    customer: Customer,
) -> None:
    """The service owns the file."""
    machine, row = await running(customer)
    await attach(customer, machine)
    await log_in(direct(row), "echo mine >> ~/.ssh/authorized_keys")

    await customer.ask("POST", f"/api/v0/instances/{machine}/ssh/", {"ssh_key": "ssh-rsa AAAA b"})

    async def keys() -> bool:
        text = await log_in(direct(row), "cat ~/.ssh/authorized_keys")
        return text.splitlines() == [PUBLIC_KEY, "ssh-rsa AAAA b"]

    assert await eventually(keys)


@pytest.mark.parametrize(
    ("word", "direct_says", "proxy_says"),
    [
        (Word.DIRECT_REFUSES, "refused", "in"),
        (Word.DIRECT_SILENT, "silent", "in"),
        (Word.PROXY_REFUSES, "in", "refused"),
    ],
)
async def test_one_of_the_two_addresses_may_not_work(
    customer: Customer, word: str, direct_says: str, proxy_says: str
) -> None:
    """The other one does."""
    machine, row = await running(customer, Misfortune(word))
    await attach(customer, machine)
    await log_in(direct(row) if direct_says == "in" else proxy(row), "true")

    assert direct_says == await knock(direct(row))
    assert proxy_says == await knock(proxy(row))


async def test_beside_jupyter_the_proxy_has_ssh_at_the_next_port(customer: Customer) -> None:
    """As a template with Jupyter makes it."""
    template = next(row for row in customer.wire.templates.kept.values() if row["name"] == "Ollama")
    fields = {"image": None, "runtype": None, "disk": None}
    machine, row = await running(customer, template_hash_id=template["hash_id"], **fields)
    await attach(customer, machine)
    host, port = proxy(row)

    said = await log_in((host, port + 1), "echo $OLLAMA_MODEL")

    assert "qwen3:14b\n" == said
    assert ("vastai/ollama:0.15.4", 32, "Ollama") == (
        row["image_uuid"],
        row["disk_space"],
        row["template_name"],
    )
    assert "jupyter_proxy ssh_proxy" == row["image_runtype"]


async def test_a_request_wins_over_its_template(customer: Customer) -> None:
    """Key by key in the environment; the rest as a whole."""
    template = next(row for row in customer.wire.templates.kept.values() if row["name"] == "Ollama")
    machine, row = await running(
        customer,
        template_id=template["id"],
        runtype="ssh_direct",
        disk=64,
        env={"OLLAMA_MODEL": "other", "B": "2"},
        onstart="true",
    )
    await attach(customer, machine)

    assert "other 2\n" == await log_in(direct(row), "echo $OLLAMA_MODEL $B")
    assert {"22/tcp", "1111/tcp", "21434/tcp"} == row["ports"].keys()
    assert ("ubuntu:22.04", 64, "true") == (row["image_uuid"], row["disk_space"], row["onstart"])
    assert 303 == template["count_created"]


async def test_a_machine_in_args_mode_has_no_ssh_and_serves_its_ports(customer: Customer) -> None:
    """Of a server of models there is as much as shows that it serves."""
    _, row = await running(
        customer, runtype="args", args=["--model", "a/b"], env={"-p 8000:8000": "1"}
    )
    port = int(row["ports"]["8000/tcp"][0]["HostPort"])

    async def models() -> Any:
        try:
            async with aiohttp.request("GET", f"http://127.0.0.1:{port}/v1/models") as response:
                return await response.json()
        except aiohttp.ClientError:
            return None

    assert {"8000/tcp"} == row["ports"].keys()
    assert "a/b" == (await eventually(models))["data"][0]["id"]
    assert "refused" == await knock(proxy(row))


async def test_output_is_fetched_later_without_a_key(customer: Customer) -> None:
    """Logs of the start, and commands, as the vendor's client reads them."""
    machine, row = await running(customer, onstart="echo one; echo two; echo error; touch ~/done")
    await attach(customer, machine)
    await log_in(direct(row), "until [ -e ~/done ]; do :; done; echo > there")

    logs = await ask_sdk(customer, "logs", machine)
    filtered = await ask_sdk(customer, "logs", machine, tail="1", filter="o")
    second = await ask_sdk(customer, "logs", machine, filter="tw")
    daemon = await ask_sdk(customer, "logs", machine, daemon_logs=True)
    listed = await ask_sdk(customer, "execute", machine, "ls there")

    assert "one\ntwo\nerror\n" == logs
    assert ("error\n", "two\n") == (filtered, second)
    assert "success, running" in daemon
    assert "there\n" == listed


async def test_the_last_machine_takes_its_disk_with_it(customer: Customer, tmp_path: Path) -> None:
    """Nothing is left of it on this computer."""
    machine, row = await running(customer)
    await attach(customer, machine)
    await log_in(direct(row), "true")
    disks = tmp_path / "vast" / "simulator-machines"
    before = len(list(disks.iterdir()))

    await customer.destroy(machine)

    async def is_empty() -> bool:
        return not list(disks.iterdir())

    assert 1 == before
    assert await eventually(is_empty)
