"""What is printed: the API's bytes for scripts, tables and cards for people."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from broker.cli.output import cell, fit_widths, present_remaining
from tests.unit.cli_stub import RUNNING, SESSION, SESSION_ID, StubApi, gpu_broker

_OFFER = {
    "id": "simulator-17",
    "provider": "simulator",
    "gpu_type": "RTX 4090",
    "gpu_count": 2,
    "vram_gb": 24,
    "price_per_hour": 0.000001,
    "location": "Frankfurt, DE",
    "reliability": 0.987,
    "verified": True,
    "cuda_version": None,
}


def test_offers_are_a_table_with_the_numbers_of_the_api(api: StubApi) -> None:
    """A line per offer under headings; unknown is a dash, and small prices keep their digits."""
    api.answers("GET /api/v1/inventory", {"offers": [_OFFER], "count": 1, "total": 1})

    heading, row = gpu_broker("inventory").stdout.splitlines()

    assert heading.split() == [
        "OFFER", "GPU", "VRAM", "$/H", "PLACE", "RELIABLE", "VERIFIED", "CUDA",
    ]  # fmt: skip
    assert re.split(r"\s{2,}", row.rstrip()) == [
        "simulator-17", "2x RTX 4090", "24 GB", "0.000001", "Frankfurt, DE", "0.987", "yes", "-",
    ]  # fmt: skip


def test_a_table_for_people_is_short_and_says_what_is_left_out(api: StubApi) -> None:
    """Twenty rows unless more are asked for; with `-o json` the API's own limit holds."""
    api.answers("GET /api/v1/inventory", {"offers": [_OFFER], "count": 1, "total": 312})

    result = gpu_broker("inventory", "--gpu-type", "RTX 4090", "--verified")
    gpu_broker("inventory", "-o", "json")

    assert "1 of 312 offers" in result.stderr
    assert [asked.path for asked in api.asked] == [
        "/api/v1/inventory?gpu_type=RTX+4090&verified=true&limit=20",
        "/api/v1/inventory",
    ]


def test_warnings_go_to_stderr(api: StubApi) -> None:
    """A provider that fails is not part of the table."""
    warning = {"code": "provider_unavailable", "message": "vastai does not answer"}
    body = {"offers": [], "count": 0, "total": 0, "warnings": [warning]}
    api.answers("GET /api/v1/inventory", body)

    result = gpu_broker("inventory")

    assert result.stdout == "No offer fits.\n"
    assert result.stderr == "Warning: vastai does not answer (provider_unavailable)\n"


def test_sessions_are_a_table_that_is_never_cut(api: StubApi) -> None:
    """Without a terminal a row is one line, however long."""
    name = "n" * 128
    api.answers("GET /api/v1/sessions", {"sessions": [{**RUNNING, "name": name}], "count": 1})

    result = gpu_broker("sessions", "list", "--status", "running", "--consumer-id", "me")

    _, row = result.stdout.splitlines()
    assert row.split()[:2] == [SESSION_ID, "running"]
    assert "root@127.0.0.1:40022" in row
    assert "0.000117" in row
    assert name in row
    assert api.asked[0].path == "/api/v1/sessions?status=running&consumer_id=me"


def test_a_session_is_a_card_with_its_attempts(api: StubApi) -> None:
    """Why it failed, and what was tried, stand in the card."""
    attempt = {"n": 1, "offer_id": "simulator-3", "outcome": "failed", "reason": "ssh_timeout"}
    failed = {
        **SESSION,
        "status": "failed",
        "status_reason": "ssh_timeout",
        "error": "No login within 15 minutes.",
        "attempts": [attempt],
    }
    api.answers(f"GET /api/v1/sessions/{SESSION_ID}", failed)

    lines = gpu_broker("sessions", "get", SESSION_ID).stdout.splitlines()

    assert "status       failed (ssh_timeout)" in lines
    assert "error        No login within 15 minutes." in lines
    assert "attempt      1  simulator-3  failed (ssh_timeout)" in lines
    assert not any(line.startswith(("ends", "ssh ", "name")) for line in lines)


def test_providers_are_a_table_with_what_is_listed_and_left_to_spend(api: StubApi) -> None:
    """What is not known is a dash."""
    machines = {"ours": 1, "orphaned": 0, "foreign": 2}
    usual = {"state": "ready", "offers": 64, "machines": machines, "reasons": []}
    told = {"complete": False, "detail": "64 of 2000 rows.", "dropped": 3}
    api.answers(
        "GET /api/v1/providers",
        {
            "providers": [
                {"name": "vastai", **usual, "balance": 12.5, "coverage": told},
                {"name": "other", **usual, "balance": None, "coverage": None},
            ]
        },
    )

    _, *rows = gpu_broker("providers").stdout.splitlines()

    assert [re.split(r"\s{2,}", row.rstrip()) for row in rows] == [
        [
            *("vastai", "ready", "64", "partly: 64 of 2000 rows; 3 not understood", "$12.5"),
            *("1", "0", "2", "-", "-"),
        ],
        ["other", "ready", "64", "-", "-", "1", "0", "2", "-", "-"],
    ]


def test_foreign_text_cannot_steer_the_terminal() -> None:
    """Escape sequences in a name or a place are shown, not obeyed."""
    assert cell("a\x1b[31mb\r\nc") == "a\ufffd[31mb\ufffd\ufffdc"


def test_foreign_text_beside_the_result_is_shown_too_and_not_obeyed(api: StubApi) -> None:
    """In what went wrong, in the wrong fields, and in warnings."""
    evil = "\x1b]0;title\x07"
    wrong = {"error": evil, "code": evil, "details": [{"field": evil, "message": evil}]}
    api.answers("GET /api/v1/gpus", wrong, 400)
    api.answers(
        "GET /api/v1/inventory",
        {"offers": [], "count": 0, "total": 0, "warnings": [{"code": "x", "message": evil}]},
    )

    printed = gpu_broker("gpus").output + gpu_broker("inventory").output

    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert printed.count("title") == 5


@pytest.mark.parametrize(
    ("room", "expected"),
    [(100, [10, 6, 12]), (28, [10, 6, 12]), (26, [10, 6, 10]), (20, [8, 6, 6]), (1, [8, 3, 5])],
)
def test_columns_become_narrower_but_no_word_is_cut(room: int, expected: list[int]) -> None:
    """The widest gives first; below the longest words a narrow terminal wraps the lines."""
    assert fit_widths([10, 6, 12], [8, 3, 5], room) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        ("", "-"),
        (0, "0"),
        (0.1, "0.1"),
        (1e-06, "0.000001"),
        (False, "no"),
        ([], "-"),
        (["a", 1], "a, 1"),
        ({"team": "vision"}, "team=vision"),
    ],
)
def test_every_json_value_has_a_cell(value: object, expected: str) -> None:
    """Numbers as the API gives them, and unknown as a dash."""
    assert cell(value) == expected


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        ("2026-01-29T12:59:59.000Z", "59 min"),
        ("2026-01-29T14:05:00.000Z", "2 h 05 min"),
        ("2026-01-29T12:00:00.000Z", "over"),
        (None, "-"),
    ],
)
def test_what_is_left_is_told_in_hours_and_minutes(until: str | None, expected: str) -> None:
    """Whole minutes that are surely left."""
    assert present_remaining(until, datetime(2026, 1, 29, 12, tzinfo=UTC)) == expected


def test_costs_take_the_filters_of_the_api(api: StubApi) -> None:
    """The options become the query."""
    api.answers("GET /api/v1/costs", {"total_cost": 1.35, "currency": "USD"})

    result = gpu_broker("costs", "--session-id", SESSION_ID, "--period", "daily")

    assert api.asked[0].path == f"/api/v1/costs?session_id={SESSION_ID}&period=daily"
    assert result.stdout == "total cost  1.35\ncurrency    USD\n"


def test_the_costs_of_days_are_a_table_with_their_total(api: StubApi) -> None:
    """A line per day with the figures of the API, and the sum below."""
    day = {
        "date": "2026-03-01",
        "total_cost": 0.45,
        "session_count": 1,
        "hours_used": 1.5,
        "by_provider": {"simulator": 0.45},
        "by_gpu_type": {"RTX 4090": 0.45},
    }
    api.answers("GET /api/v1/costs/daily", {"days": [day], "count": 1, "total_cost": 0.45})

    result = gpu_broker("costs", "daily", "--start-date", "2026-03-01", "--consumer-id", "me")

    assert api.asked[0].path == "/api/v1/costs/daily?start_date=2026-03-01&consumer_id=me"
    assert [re.split(r"\s{2,}", line) for line in result.stdout.splitlines()] == [
        ["DAY", "COST", "SESSIONS", "HOURS", "PROVIDERS", "GPUS"],
        ["2026-03-01", "0.45", "1", "1.5", "simulator=0.45", "RTX 4090=0.45"],
        ["total", "0.45", "-", "-", "-", "-"],
    ]


def test_json_that_the_command_makes_itself_is_one_document() -> None:
    """check-config has no body of the API to print, and prints JSON all the same."""
    result = gpu_broker("check-config", "--simulate", "-o", "json")

    assert json.loads(result.stdout)["providers"]["simulator"]["enabled"] is True
