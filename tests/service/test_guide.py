"""`/llms.txt`: its commands, carried out in the order of the page, rent and end a machine."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from string import Template
from typing import Any

from broker.api.models import SessionCreate
from broker.app import api_document
from broker.model import WorkloadType
from tests.service.conftest import Broker
from tests.service.scenarios import run

_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


async def guide(broker: Broker) -> str:
    """The page."""
    async with broker.client.get(f"{broker.url}/llms.txt") as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")
        return await answer.text()


def commands(page: str) -> list[str]:
    """Every command of the page, continued lines joined."""
    blocks = (block.replace("\\\n", " ") for block in _BLOCK.findall(page))
    return [command for block in blocks for command in re.split(r"\n(?=curl|ssh)", block.strip())]


async def curl(broker: Broker, command: str, variables: Mapping[str, str]) -> tuple[int, Any]:
    """Carry out a command as curl would."""
    words = shlex.split(Template(command).substitute(variables))
    assert words.pop(0) == "curl"
    method, headers, data, url = "GET", {}, None, ""
    while words:
        match words.pop(0):
            case "-s":
                pass
            case "-X":
                method = words.pop(0)
            case "-H":
                name, _, value = words.pop(0).partition(": ")
                headers[name] = value
            case "-d":
                data = words.pop(0)
            case word:
                url = word
    sent = broker.client.request(method, url, headers=headers, data=data)
    async with sent as answer:
        return answer.status, await answer.json()


async def test_the_way_of_a_session_is_as_the_page_tells(broker: Broker) -> None:
    """Find, rent, wait, use, keep alive, extend, end, pay: each command succeeds as printed."""
    variables = {"BROKER": broker.url, "KEY": "machine-1"}
    answers: list[tuple[int, Any]] = []
    key = ""
    for command in commands(await guide(broker)):
        if command.startswith("ssh "):
            session = await broker.until(variables["SESSION"], "running", "failed")
            told = {f"SSH_{name}": str(session[f"ssh_{name.lower()}"]) for name in ("HOST", "PORT")}
            words = shlex.split(
                Template(command).substitute(told | {"SSH_USER": session["ssh_user"]})
            )
            assert words[4:6] == [told["SSH_PORT"], f"root@{told['SSH_HOST']}"]
            assert "NVIDIA-SMI" in await run(session, key, words[-1])
            continue
        status, body = await curl(broker, command, variables)
        assert status in {200, 201}, (command, body)
        answers.append((status, body))
        if status == 201:
            variables["SESSION"], key = body["session"]["id"], body["ssh_private_key"]

    assert answers[0][1]["count"] == 5
    assert [status for status, _ in answers].count(201) == 1
    assert (await broker.session(variables["SESSION"]))["status"] == "stopped"
    assert {"ours": 0, "orphaned": 0, "foreign": 0} == await broker.machines()


async def test_the_error_of_the_page_is_what_is_answered(market_only: Broker) -> None:
    """Word for word, but for the id of the request."""
    page = await guide(market_only)
    (printed,) = re.findall(r"```json\n(\{\"error\".*?)```", page, re.DOTALL)

    status, body = await market_only.rent(reservation_hours=None, reservation_minutes=721)

    assert (400, json.loads(printed)) == (status, {**body, "request_id": "…"})


async def test_the_page_names_only_words_that_there_are(market_only: Broker) -> None:
    """Codes, workloads and fields of the request are those of the API."""
    page = await guide(market_only)
    errors = page.partition("## When something goes wrong")[2]
    codes = {word for word in re.findall(r"`([a-z_]+)`", errors) if "_" in word}
    known = set(re.findall(r'"(?:enum)": \[([^\]]*)\]', json.dumps(api_document())))
    known_words = {word for words in known for word in re.findall(r"[a-z_]+", words)}
    rent = page.partition("## Rent")[2].partition("##")[0]
    criteria = {word for word in re.findall(r"`([a-z_]+)`", rent) if "_" in word}

    assert codes - {"request_id"} <= known_words
    assert all(word in rent for word in WorkloadType)
    answered = {"ssh_private_key", "session_token", "retry_suggested"}
    assert criteria - answered <= SessionCreate.model_fields.keys()
