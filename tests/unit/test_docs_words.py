"""docs/troubleshooting.md and docs/providers.md know every word that the broker says."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import fields

import pytest

import broker.app.web  # noqa: F401 - brings all errors into the tree
from broker.clock import utcnow
from broker.decide.cleanup import Verdict
from broker.errors import BrokerError
from broker.model import Reason
from broker.usecases.doors import ProviderState
from providers.base import Capabilities
from providers.label import parse_label
from providers.registry import FACTORIES
from providers.simulator.adapter import CAPABILITIES
from providers.simulator.faults import Operation, Word, parse_fault
from providers.tensordock import TensordockOptions, TensordockProvider
from providers.vastai.adapter import VastaiOptions, VastaiProvider
from providers.vastai.sdk import Sdk
from tests.unit.documents import ROOT, coded, document, rows, section

TROUBLESHOOTING = document("troubleshooting.md")
PROVIDERS = document("providers.md")


def _table(text: str, heading: str) -> list[tuple[str, ...]]:
    """The rows below a heading, without the heading of the table."""
    return [row for row in rows(section(text, heading)) if coded(row[0])]


def _errors(kind: type[BrokerError] = BrokerError) -> Iterator[type[BrokerError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _errors(child)


def test_every_error_code_is_explained_with_its_status() -> None:
    """And none that the API does not have."""
    known = {(error.code, str(error.status)) for error in _errors()}
    told = [row for row in _table(TROUBLESHOOTING, "## Errors of the API") if len(row) == 3]

    assert {
        (coded(code)[0], status) for code, statuses, _ in told for status in statuses.split(", ")
    } == known
    assert len({code for code, *_ in told}) == len(told)


def test_the_refusals_to_start_that_are_explained_are_those_of_the_source() -> None:
    """Who searches for what the last line says finds it."""
    source = (ROOT / "providers" / "registry.py").read_text()
    source += "".join(path.read_text() for path in (ROOT / "broker").rglob("*.py"))
    source += os.strerror(errno.EADDRINUSE)
    table = _table(TROUBLESHOOTING, "## The broker does not start")
    quoted = [
        words.strip(": ()") for row in table for span in coded(row[0]) for words in span.split("…")
    ]

    assert [words for words in quoted if words not in source] == []


@pytest.mark.parametrize(
    ("heading", "adapter", "wire"),
    [
        ("## What Vast.ai says", "vastai", "vast_wire"),
        ("## What TensorDock says", "tensordock", "tensordock_wire"),
    ],
)
def test_what_a_marketplace_is_quoted_with_is_what_is_known_of_it(
    heading: str, adapter: str, wire: str
) -> None:
    """Who searches for the reason of a provider finds it."""
    providers = ROOT / "providers"
    rooms = (providers / adapter, ROOT / "tests" / wire)
    files = [*providers.glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))]
    known = "".join(path.read_text() for path in files).lower()
    table = _table(TROUBLESHOOTING, heading)
    quoted = [words.lower() for row in table for words in coded(row[0])]

    assert quoted
    assert [words for words in quoted if words not in known] == []


def test_every_warning_is_explained() -> None:
    """The words are those of the source."""
    sources = [path.read_text() for path in (ROOT / "broker").rglob("*.py")]
    known = {code for text in sources for code in re.findall(r'Warned\(\s*"(\w+)"', text)}
    table = _table(TROUBLESHOOTING, "## Errors of the API")

    assert {code for row in table if len(row) == 2 for code in coded(row[0])} == known


def test_every_reason_is_explained() -> None:
    """Why a session failed or ended, in the order of the source."""
    table = _table(TROUBLESHOOTING, "## A session failed, or ended early")

    assert [coded(row[0])[0] for row in table] == [*Reason]


def test_every_state_of_a_provider_is_explained() -> None:
    """What it means on one page, what to do on the other."""
    assert [coded(row[0])[0] for row in _table(PROVIDERS, "## States")] == [*ProviderState]
    table = _table(TROUBLESHOOTING, "## A provider does not work")
    assert [coded(row[0])[0] for row in table] == [*ProviderState]


def test_every_verdict_on_a_machine_is_explained() -> None:
    """Those of `cleanup-orphans`."""
    table = _table(TROUBLESHOOTING, "## Machines that no session holds")

    assert {coded(row[0])[0] for row in table} == set(Verdict)


def _vastai() -> Capabilities:
    options = VastaiOptions("key", "http://127.0.0.1:9")
    return VastaiProvider(options, Sdk(options.api_key, options.api_url), utcnow).capabilities


def _tensordock() -> Capabilities:
    """With everything that it can be given: the balance needs the authorization id."""
    options = TensordockOptions("token", "http://127.0.0.1:9/v2", auth_id="id")
    return TensordockProvider(options, utcnow).capabilities


_CAPABILITIES = {"simulator": CAPABILITIES, "vastai": _vastai(), "tensordock": _tensordock()}


def test_every_provider_is_in_the_tables() -> None:
    """With what this version makes of it, and with a column of its own."""
    first = [coded(row[0])[0] for row in rows(PROVIDERS.partition("\n## ")[0]) if coded(row[0])]
    _, _, *columns = next(rows(section(PROVIDERS, "## Capabilities")))

    assert first == columns == [*_CAPABILITIES]
    assert set(columns) == set(FACTORIES)


@pytest.mark.parametrize("provider", _CAPABILITIES)
def test_every_capability_is_explained_and_who_has_it(provider: str) -> None:
    """As `GET /api/v1/providers` shows them."""
    heading = next(rows(section(PROVIDERS, "## Capabilities")))
    has, column = _CAPABILITIES[provider], heading.index(provider)
    table = {coded(row[0])[0]: row[column] for row in _table(PROVIDERS, "## Capabilities")}
    shown = {field.name for field in fields(Capabilities)} - {
        "settle",
        "direct_proof",
        "limits",
        "balance_floor",
    }

    assert set(table) == shown
    assert coded(table.pop("launch_modes")) == sorted(has.launch_modes)
    assert {name: can == "yes" for name, can in table.items()} == {
        name: getattr(has, name) for name in table
    }


def test_every_misfortune_is_explained_with_the_operations_that_it_takes() -> None:
    """The first one is the default."""
    table = {coded(row[0])[0]: coded(row[1]) for row in _table(PROVIDERS, "### Misfortunes")}

    assert list(table) == [*Word]
    for word, operations in table.items():
        assert parse_fault({"fault": word}).operation == operations[0]
        assert {o for o in Operation if _is_taken(word, o)} == set(operations)


def test_the_label_that_is_explained_is_one() -> None:
    """Its parts are those that the page names."""
    (text,) = re.findall(r"gpub-[a-z0-9-]{20,}", PROVIDERS)
    label = parse_label(text)

    assert label is not None
    assert f"the session: {label.session_id}" in PROVIDERS


def _is_taken(word: str, operation: Operation) -> bool:
    try:
        parse_fault({"fault": word, "operation": operation})
    except ValueError:
        return False
    return True
