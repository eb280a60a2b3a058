"""The machines of all accounts, as the command line shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.cli_stub import StubApi, gpu_broker

UNREADABLE = {"error": "vastai cannot be listed: no.", "code": "provider_unavailable"}


def account(provider: str, *instances: str) -> dict[str, Any]:
    """The answer about one account."""
    return {
        "provider": provider,
        "instances": [{"instance_id": one, "ownership": "foreign"} for one in instances],
        "count": len(instances),
        "burn_per_hour": 0.5,
    }


def accounts(api: StubApi, *names: str) -> None:
    """These providers are configured."""
    api.answers("GET /api/v1/providers", {"providers": [{"name": name} for name in names]})


def test_without_a_name_every_account_is_shown(api: StubApi) -> None:
    """A row per machine, whichever account it is in."""
    accounts(api, "vastai", "tensordock")
    api.answers("GET /api/v1/providers/vastai/instances", account("vastai", "31", "32"))
    api.answers("GET /api/v1/providers/tensordock/instances", account("tensordock"))

    result = gpu_broker("providers", "instances")

    assert result.exit_code == 0
    assert ["vastai", "vastai"] == [line.split()[0] for line in result.stdout.splitlines()[1:]]
    assert "vastai: $0.5/h in all." in result.stderr


def test_an_account_that_cannot_be_listed_does_not_hide_the_others(api: StubApi) -> None:
    """The others are shown, and the command fails: this is not everything."""
    accounts(api, "vastai", "tensordock")
    api.answers("GET /api/v1/providers/vastai/instances", UNREADABLE, 503)
    api.answers("GET /api/v1/providers/tensordock/instances", account("tensordock", "a-1"))

    result = gpu_broker("providers", "instances", "-o", "json")

    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert ["tensordock"] == [one["provider"] for one in report["accounts"]]
    assert ["vastai"] == list(report["unlisted"])
    assert "vastai cannot be listed" in result.stderr


@pytest.mark.parametrize(
    ("label", "shown"),
    [("my-training", "my-training"), ("gpub-4f2k9qzw-abc234defg-29494320-1", "-"), (None, "-")],
)
def test_a_label_is_shown_where_it_does_not_name_the_session(
    api: StubApi, label: str | None, shown: str
) -> None:
    """A machine whose label was changed by hand can be told from the others."""
    held = {"instance_id": "31", "ownership": "ours", "session_id": "sess-abc234defg"}
    answer = account("vastai") | {"instances": [held | {"label": label}]}
    api.answers("GET /api/v1/providers/vastai/instances", answer)

    result = gpu_broker("providers", "instances", "vastai")

    assert shown == result.stdout.splitlines()[1].split()[-1]


def test_an_empty_account_says_so(api: StubApi) -> None:
    """In a sentence, not with an empty table."""
    api.answers("GET /api/v1/providers/vastai/instances", account("vastai"))

    result = gpu_broker("providers", "instances", "vastai")

    assert result.stdout == "No machine runs in the account of vastai.\n"


def test_what_could_not_be_asked_is_not_called_empty(api: StubApi) -> None:
    """No word on standard output; the error tells why, and the exit code."""
    accounts(api, "vastai")
    api.answers("GET /api/v1/providers/vastai/instances", UNREADABLE, 503)

    result = gpu_broker("providers", "instances")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "vastai cannot be listed" in result.stderr
