"""What the wire-level Vast.ai tells of an account besides instances, asked by the vendor's SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import vastai
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.vast_wire import account_keys, extras, templates
from tests.vast_wire.account_keys import AccountKeys
from tests.vast_wire.extras import Extras
from tests.vast_wire.templates import Templates

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE6K somebody"


@dataclass
class Account:
    """An account, and the vendor's client of it."""

    keys: AccountKeys = field(default_factory=lambda: AccountKeys(lambda: NOW))
    templates: Templates = field(default_factory=lambda: Templates(lambda: NOW))
    extras: Extras = field(default_factory=Extras)
    client: Any = None

    async def ask(self, call: Callable[[Any], Any]) -> Any:
        """What the client makes of a call."""
        return await asyncio.to_thread(call, self.client)


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    """A served account with nothing in it."""
    opened = Account()
    app = web.Application()
    app.add_routes(account_keys.routes(opened.keys))
    app.add_routes(templates.routes(opened.templates))
    app.add_routes([*extras.open_routes(opened.extras), *extras.routes(opened.extras)])
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        opened.client = vastai.VastAI(api_key="any", server_url=url, retry=1)
        yield opened


async def test_a_key_of_the_account_is_added_listed_changed_and_removed(account: Account) -> None:
    """The reply to a new key calls it `public_key`, the list calls it `key`."""
    added = (await account.ask(lambda vast: vast.create_ssh_key(KEY)))["key"]
    assert KEY == added["public_key"]
    await account.ask(lambda vast: vast.update_ssh_key(added["id"], KEY + "-else"))
    (listed,) = await account.ask(lambda vast: vast.show_ssh_keys())
    assert (added["id"], KEY + "-else") == (listed["id"], listed["key"])
    assert (KEY + "-else",) == account.keys.public_keys

    await account.ask(lambda vast: vast.delete_ssh_key(added["id"]))

    assert () == account.keys.public_keys


async def test_the_same_key_again_is_the_same_key(account: Account) -> None:
    """A key is in an account once."""
    first, second = [await account.ask(lambda vast: vast.create_ssh_key(KEY)) for _ in range(2)]

    assert first == second


@pytest.mark.parametrize(
    ("call", "status", "error"),
    [
        (lambda vast: vast.show_ssh_keys(), 404, "not_found"),
        (lambda vast: vast.create_ssh_key(""), 400, "no_ssh_key"),
        (lambda vast: vast.delete_ssh_key(1), 400, "no_ssh_key"),
        (lambda vast: vast.create_template(image="ubuntu"), 400, "invalid_args"),
        (lambda vast: vast.search_templates({"onstart": {"eq": "x"}}), 400, "invalid_request"),
        (lambda vast: vast.delete_template(template_id=1), 404, "not_found"),
        (lambda vast: vast.delete_api_key(1), 404, "not_found"),
    ],
)
async def test_what_cannot_be_is_refused(
    account: Account, call: Callable[[Any], Any], status: int, error: str
) -> None:
    """An account without keys answers 404, not an empty list."""
    with pytest.raises(requests.HTTPError) as refused:
        await account.ask(call)

    assert (status, error) == (
        refused.value.response.status_code,
        refused.value.response.json()["error"],
    )


async def test_the_account_of_a_team_has_no_keys(account: Account) -> None:
    """Keys belong to persons."""
    account.keys.is_team = True

    with pytest.raises(requests.HTTPError) as refused:
        await account.ask(lambda vast: vast.create_ssh_key(KEY))

    assert "team_ssh_keys_not_supported" == refused.value.response.json()["error"]


async def test_a_template_is_made_found_changed_and_removed(account: Account) -> None:
    """Its hash is that of its content and changes with it; its number stays."""
    made = await account.ask(
        lambda vast: vast.create_template(
            name="mine", image="ubuntu", env="-e A=1", ssh=True, search_params="cpu_arch=amd64"
        )
    )
    (found,) = await account.ask(lambda vast: vast.search_templates("name=mine"))
    assert {name: found[name] for name in ("id", "hash_id", "name")} == made["template"]
    assert {"eq": "amd64"} == json.loads(found["extra_filters"])["cpu_arch"]
    assert ("-e A=1", True, 8.0) == (
        found["env"],
        found["use_ssh"],
        found["recommended_disk_space"],
    )

    changed = await account.ask(
        lambda vast: vast.update_template(found["hash_id"], name="mine", image="debian")
    )
    assert found["id"] == changed["template"]["id"]
    assert found["hash_id"] != changed["template"]["hash_id"]

    await account.ask(lambda vast: vast.delete_template(hash_id=changed["template"]["hash_id"]))
    assert [] == await account.ask(lambda vast: vast.search_templates())


async def test_a_template_with_the_same_content_is_told_again(account: Account) -> None:
    """Nothing is made twice."""
    one = account.templates.add(name="a", image="i", extra_filters={"num_gpus": {"gte": 2}})
    again = account.templates.add(name="a", image="i", extra_filters='{"num_gpus": {"gte": 2}}')
    other = account.templates.add(name="a", image="j")

    assert one is again
    assert one["id"] != other["id"]


async def test_templates_are_searched_by_column(account: Account) -> None:
    """A name is equal or not: there is no search for a part of it. Numbers come as texts."""
    for name, count, recommended in (("a", 5, True), ("b", 50, True), ("c", 500, False)):
        account.templates.add(
            name=name, image="i", count_created=count, recommended=recommended, creator_id=count
        )

    async def names(query: str) -> list[str]:
        return [row["name"] for row in await account.ask(lambda vast: vast.search_templates(query))]

    assert ["b", "c"] == await names("count_created>=50")
    assert ["a", "b"] == await names("recommended=true")
    assert ["a", "c"] == await names("creator_id in [5,500]")
    assert ["c"] == await names("name=c recommended=false")


async def test_the_rest_of_an_account_is_told(account: Account) -> None:
    """Volumes, contracts by label, secrets, keys."""
    rows = [
        {"id": 1, "label": "x", "dph_total": 0.5, "gpu_name": "RTX 4090"},
        {"id": 2, "label": None, "dph_total": 1.0, "gpu_name": "RTX 4090"},
    ]
    account.extras.instances = lambda: rows

    assert [] == await account.ask(lambda vast: vast.show_volumes())
    assert rows[:1] == await account.ask(lambda vast: vast.fetch_contracts(label="x"))
    assert rows[1:] == await account.ask(lambda vast: vast.fetch_contracts(contract_ids=[2]))
    assert [{"actual_status": None, "verification": None, "gpu_name": "RTX 4090"}] == (
        await account.ask(lambda vast: vast.show_instance_filters())
    )
    await account.ask(lambda vast: vast.create_env_var("A", "1"))
    assert {"A": "1"} == account.extras.secrets
    made = await account.ask(lambda vast: vast.create_api_key("ci", {}))
    (key,) = await account.ask(lambda vast: vast.show_api_keys())
    assert (made["id"], "ci") == (key["id"], key["name"])


async def test_money_spent_is_told_page_by_page(account: Account) -> None:
    """Charges are filtered by their day."""
    days = [10, 20, 30, 99]
    account.extras.charges = lambda: [{"amount": day, "day": float(day)} for day in days]
    asked: dict[str, Any] = {"charges": True, "start_date": 10, "end_date": 30, "limit": 2}

    first = await account.ask(lambda vast: vast.show_invoices_v1(**asked))
    token = first["next_token"]
    second = await account.ask(lambda vast: vast.show_invoices_v1(**asked, next_token=token))

    assert [[10, 20], [30]] == [
        [row["amount"] for row in page["results"]] for page in (first, second)
    ]
    assert (3, None) == (second["total"], second["next_token"])


async def test_a_raised_price_is_answered_once(account: Account) -> None:
    """What has been answered is gone from the list."""
    account.extras.price_increases = [{"pending_price_increase_id": 9, "contract_id": 1}]

    accepted = await account.ask(lambda vast: vast.accept_price_increase(1))

    assert {"success": True, "pending_price_increase_id": 9, "contract_id": 1} == accepted
    assert 0 == (await account.ask(lambda vast: vast.show_pending_price_increases()))["count"]
