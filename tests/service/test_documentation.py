"""What describes the API is served by the broker itself, and describes all of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp import web

from broker.api.http import encode
from broker.app import api_document
from broker.app.web import build_application
from tests.service.conftest import Broker


class Asleep:
    """A daemon that has not started."""

    is_ready = False
    inventory_state = "ok"
    troubles = ()

    async def alarms(self) -> list[str]:
        """Nothing."""
        return []


class Loads(HTMLParser):
    """What a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if (tag, "src") in ((tag, name) for name in given):
            self.found.append(given["src"] or "")
        if tag == "link":
            self.found.append(given["href"] or "")


def served(application: web.Application) -> set[tuple[str, str]]:
    """Every route of the application but HEAD and those that a provider brings."""
    routes = ((route.method, route.resource) for route in application.router.routes())
    return {
        (method, resource.canonical)
        for method, resource in routes
        if resource is not None and method != "HEAD"
        if not resource.canonical.startswith("/simulator/")
    }


async def test_every_route_is_in_the_document_and_nothing_else_is(market_only: Broker) -> None:
    """A route that is served and not described would be used by guessing."""
    pulse: Any = Asleep()
    described = {
        (method.upper(), path)
        for path, methods in api_document()["paths"].items()
        for method in methods
    }

    difference = described ^ served(build_application(market_only.parts, pulse))

    assert not difference, (
        f"{difference}: give each route its row in ROUTES of a Resource, and the Resource its "
        "places in broker/app/web.py (CONTRIBUTING.md, How to add a route)"
    )


async def test_the_document_is_served_as_the_command_prints_it(market_only: Broker) -> None:
    """The same bytes, with an ETag: 304 to whoever has them."""
    url = f"{market_only.url}/openapi.json"
    async with market_only.client.get(url) as answer:
        assert await answer.read() == encode(api_document())
        tag = answer.headers["ETag"]
    async with market_only.client.get(url, headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")


async def test_the_page_loads_only_what_this_broker_serves(market_only: Broker) -> None:
    """It works without the internet: every file is here, and no other host is asked."""
    async with market_only.client.get(f"{market_only.url}/docs") as answer:
        page = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    loaded = Loads(page).found

    assert (answer.status, answer.content_type) == (200, "text/html")
    assert not re.search(r"(https?:)?//", page)
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*|unsafe-eval", policy)
    assert len(loaded) == 4
    for name in loaded:
        async with market_only.client.get(f"{market_only.url}/{name}") as file:
            assert file.status == 200
            assert len(await file.read()) > 100


async def test_the_page_shows_our_document_and_no_validator(market_only: Broker) -> None:
    """The viewer's own defaults would ask a host of its makers."""
    async with market_only.client.get(f"{market_only.url}/docs/docs.js") as answer:
        script = await answer.text()

    assert answer.content_type == "text/javascript"
    assert 'url: "openapi.json"' in script
    assert "validatorUrl: null" in script
    assert not re.search(r"(https?:)?//[^ ]", script)


@pytest.mark.parametrize("name", ["..%2fopenapi.py", "docs.html", "LICENSE", "%00", "a%2fb"])
async def test_only_the_files_of_the_page_are_served(market_only: Broker, name: str) -> None:
    """A name leads nowhere else."""
    status, body = await market_only.call("GET", f"/docs/{name}")

    assert (status, body["code"]) == (404, "resource_not_found")


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/swagger-ui.css", "/llms.txt"])
async def test_head_is_answered_without_a_body(market_only: Broker, path: str) -> None:
    """As for everything else that answers GET."""
    async with market_only.client.head(market_only.url + path) as answer:
        assert answer.status == 200
        assert int(answer.headers["Content-Length"]) > 100
