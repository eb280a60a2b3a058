"""What the doctor makes of a provider's state."""

from __future__ import annotations

import pytest

from broker.cli.doctor import (
    FAIL,
    OK,
    WARN,
    present_balance,
    present_destructions,
    present_machines,
    present_market,
    present_provider,
)
from tests.unit.cli_stub import SESSION_ID, StubApi, gpu_broker


@pytest.mark.parametrize(
    ("state", "level"),
    [("ready", OK), ("degraded", WARN), ("down", FAIL), ("needs_setup", FAIL)],
)
def test_a_providers_state_is_judged_and_explained(state: str, level: str) -> None:
    """What is not ready comes with its reasons and a remedy."""
    finding = present_provider({"name": "vastai", "state": state, "reasons": ["401"]})

    assert finding.level == level
    assert finding.text == f"vastai is {state}: 401"
    assert bool(finding.remedy) == (level != OK)


def test_machines_that_nobody_answers_for_are_told() -> None:
    """Orphans of ours and machines of another deployment are two findings."""
    provider = {"name": "vastai", "machines": {"ours": 3, "orphaned": 1, "foreign": 2}}

    orphaned, foreign = present_machines(provider)

    assert (orphaned.level, foreign.level) == (WARN, WARN)
    assert "cleanup-orphans" in orphaned.remedy
    assert "--deployment" in foreign.remedy


def test_machines_with_our_mark_are_not_called_another_deployments() -> None:
    """They are a finding of their own, with where to see them."""
    count = {"ours": 0, "orphaned": 0, "foreign": 3}
    provider = {"name": "vastai", "machines": count, "unreadable_labels": 2}

    unreadable, foreign = present_machines(provider)

    assert "2 machines" in unreadable.text
    assert "have our mark in a label that cannot be read" in unreadable.text
    assert "providers instances" in unreadable.remedy
    assert foreign.text.startswith("1 machines in the account of vastai are not ours")
    assert "another deployment's label or no broker's" in foreign.text


@pytest.mark.parametrize(("balance", "level"), [(12.5, OK), (0, WARN), (-0.5, WARN)])
def test_what_is_left_to_spend_is_told(balance: float, level: str) -> None:
    """With nothing left there is something to do."""
    read_at = "2026-03-01T12:00:00.000Z"
    (finding,) = present_balance({"name": "vastai", "balance": balance, "balance_read_at": read_at})

    assert finding.level == level
    assert finding.text == f"vastai has ${balance} to spend, read at {read_at}"
    assert bool(finding.remedy) == (level != OK)


def test_an_account_that_does_not_tell_its_balance_is_no_finding() -> None:
    """Neither is one that was not read yet."""
    assert list(present_balance({"name": "vastai", "balance": None})) == []


def test_what_is_not_listed_of_a_market_is_told() -> None:
    """What was not read, and what was not understood."""
    coverage = {"complete": False, "detail": "64 of 2000 rows.", "dropped": 3}
    partly, dropped = present_market({"name": "vastai", "coverage": coverage})

    assert (partly.level, dropped.level) == (WARN, WARN)
    assert partly.text == "the market of vastai is read in part: 64 of 2000 rows."
    assert "3 rows" in dropped.text
    whole = {"complete": True, "detail": None, "dropped": 0}
    assert list(present_market({"name": "vastai", "coverage": whole})) == []
    assert list(present_market({"name": "vastai", "coverage": None})) == []


def test_an_account_in_order_is_no_finding() -> None:
    """Nothing to say where every machine has its session."""
    provider = {"name": "vastai", "machines": {"ours": 3, "orphaned": 0, "foreign": 0}}

    assert list(present_machines(provider)) == []


@pytest.mark.usefixtures("folder")
def test_a_provider_that_needs_setup_fails_the_examination(api: StubApi) -> None:
    """Exit code 1, the reason and the remedy; the rest is examined all the same."""
    provider = {"name": "vastai", "state": "needs_setup", "reasons": ["the key is refused"]}
    api.answers("GET /health", {"status": "ok"})
    api.answers("GET /api/v1/providers", {"providers": [provider]})

    result = gpu_broker("doctor", "--simulate")

    assert result.exit_code == 1
    assert "fail  providers  vastai is needs_setup: the key is refused" in result.stdout
    assert "Correct its credentials" in result.stdout
    assert "ssh  " in result.stdout


@pytest.mark.usefixtures("folder")
def test_nothing_wrong_exits_with_0(api: StubApi) -> None:
    """Warnings are not failures."""
    provider = {"name": "simulator", "state": "ready", "machines": {"orphaned": 1}}
    api.answers("GET /health", {"status": "ok"})
    api.answers("GET /api/v1/providers", {"providers": [provider]})

    result = gpu_broker("doctor", "--simulate")

    assert result.exit_code == 0
    assert "warn  machines" in result.stdout
    assert "fail" not in result.stdout


@pytest.mark.usefixtures("folder")
def test_a_broker_that_is_not_well_is_told_with_its_troubles(api: StubApi) -> None:
    """503 is an answer here."""
    api.answers("GET /health", {"status": "unavailable", "troubles": ["it sleeps"]}, 503)
    api.answers("GET /api/v1/providers", {"providers": []})

    result = gpu_broker("doctor", "--simulate")

    assert result.exit_code == 1
    assert "is not well: it sleeps" in result.stdout


FAILING = {
    "instance_id": "31",
    "session_id": SESSION_ID,
    "orphaned": False,
    "since": "2026-03-01T12:00:00.000Z",
    "tries": 14,
    "last_answer": "vastai answers 500",
}


@pytest.mark.parametrize(
    ("console", "where"),
    [("https://cloud.vast.ai/", "at https://cloud.vast.ai/"), (None, "in the console of vastai")],
)
def test_a_machine_that_is_not_destroyed_is_told_with_what_to_do(
    console: str | None, where: str
) -> None:
    """Which, whose, since when, what was answered last, and where to destroy it by hand."""
    provider = {"name": "vastai", "console": console, "failing_destructions": [FAILING]}

    (finding,) = present_destructions(provider)

    assert finding.level == FAIL
    assert finding.text == (
        f"vastai does not destroy machine 31 of {SESSION_ID} since 2026-03-01T12:00:00.000Z "
        "(failed 14 times): vastai answers 500"
    )
    assert where in finding.remedy


def test_an_orphan_that_is_not_destroyed_is_told_as_one() -> None:
    """Nobody looks for it among the sessions."""
    orphan = {**FAILING, "orphaned": True}

    (finding,) = present_destructions({"name": "vastai", "failing_destructions": [orphan]})

    assert "no session holds" in finding.text


@pytest.mark.usefixtures("folder")
def test_a_broker_that_asks_for_a_look_is_no_failure(api: StubApi) -> None:
    """It works: what is wrong is wrong at a provider."""
    api.answers("GET /health", {"status": "degraded", "troubles": ["vastai does not destroy"]})
    api.answers("GET /api/v1/providers", {"providers": []})

    result = gpu_broker("doctor")

    assert "warn  broker" in result.stdout
    assert "vastai does not destroy" in result.stdout
