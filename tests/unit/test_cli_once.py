"""Requests that spend: done once, and never lost together with their answer."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from broker.cli import keys, waiting
from tests.unit.cli_stub import CREATED, PRIVATE_KEY, SESSION_ID, StubApi, gpu_broker

_CREATE = "POST /api/v1/sessions"
_NOT_YET = {"error": "No login yet.", "code": "conflict", "retry_suggested": True}
_SPENDING = [
    (_CREATE, ("rent",)),
    (
        f"POST /api/v1/sessions/{SESSION_ID}/extend",
        ("sessions", "extend", SESSION_ID, "--hours", "1"),
    ),
    (f"POST /api/v1/sessions/{SESSION_ID}/rekey", ("sessions", "rekey", SESSION_ID)),
]
spending = pytest.mark.parametrize(
    ("request_", "arguments"), _SPENDING, ids=["rent", "extend", "rekey"]
)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub answers at once; nothing is to be waited for."""
    monkeypatch.setattr(waiting, "_LOOK_EVERY_SECONDS", 0.0)


@spending
def test_every_call_has_a_key_of_its_own(
    api: StubApi, request_: str, arguments: tuple[str, ...]
) -> None:
    """Two calls are two wishes, unless somebody says that they are one."""
    api.answers(request_, {"error": "no"}, 400)

    gpu_broker(*arguments)
    gpu_broker(*arguments)
    gpu_broker(*arguments, "--idempotency-key", "mine")

    first, second, given = [asked.idempotency_key for asked in api.asked]
    assert uuid.UUID(first) != uuid.UUID(second)
    assert given == "mine"


@spending
def test_a_lost_answer_names_the_key_that_gets_it(
    api: StubApi, request_: str, arguments: tuple[str, ...]
) -> None:
    """The broker did not answer: exit code 3, and what may have happened."""
    api.loses_the_answer(request_)

    result = gpu_broker(*arguments)

    (asked,) = api.asked
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"--idempotency-key {asked.idempotency_key}" in result.stderr
    assert "may have" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [({"error": "Odd.", "code": "internal_error"}, 500, 1), (b"<html>Bad gateway</html>", 502, 3)],
    ids=["the broker stumbled", "a proxy answered"],
)
def test_an_answer_that_tells_nothing_is_a_lost_one(
    api: StubApi, body: object, status: int, code: int
) -> None:
    """Nobody knows then whether a machine was rented."""
    api.answers(_CREATE, body, status)

    result = gpu_broker("rent", "--idempotency-key", "it's mine")

    assert result.exit_code == code
    assert "--idempotency-key 'it'\"'\"'s mine'" in result.stderr


def test_what_was_never_sent_needs_no_key(api: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no broker listens nothing can have happened; nor where it has refused."""
    api.answers(_CREATE, {"error": "No offer fits.", "code": "no_offer_fits"}, 404)
    refused = gpu_broker("rent")
    monkeypatch.setenv("GPU_BROKER_URL", "http://127.0.0.1:9")
    unreached = gpu_broker("rent")

    assert (refused.exit_code, unreached.exit_code) == (1, 3)
    assert "idempotency" not in refused.stderr + unreached.stderr


def test_the_key_of_a_lost_answer_gives_the_session_and_its_login(
    api: StubApi, tmp_path: Path
) -> None:
    """The file for the private key is free again for the second try."""
    arguments = ("rent", "--save-key", str(tmp_path / "key"), "--idempotency-key", "mine")
    api.loses_the_answer(_CREATE)
    api.answers(_CREATE, CREATED, 201)

    lost, found = gpu_broker(*arguments), gpu_broker(*arguments)

    assert (lost.exit_code, found.exit_code) == (3, 0)
    assert [asked.idempotency_key for asked in api.asked] == ["mine", "mine"]
    assert api.asked[0].body == api.asked[1].body
    assert (tmp_path / "key").read_text() == PRIVATE_KEY


def test_waiting_asks_again_until_the_machine_takes_a_key(api: StubApi) -> None:
    """A machine that boots cannot be given a fresh key; its broker says so."""
    for _ in range(3):
        api.answers(_CREATE, _NOT_YET, 409)
    api.answers(_CREATE, CREATED, 201)
    api.answers(f"GET /api/v1/sessions/{SESSION_ID}", {**CREATED["session"], "status": "running"})

    result = gpu_broker("rent", "--wait", "--idempotency-key", "mine")

    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("No login yet.") == 1
    assert {asked.idempotency_key for asked in api.asked if asked.method == "POST"} == {"mine"}


def test_without_waiting_it_is_asked_once(api: StubApi) -> None:
    """And the line says what would wait."""
    api.answers(_CREATE, _NOT_YET, 409)

    result = gpu_broker("rent", "--idempotency-key", "mine")

    assert (result.exit_code, len(api.asked)) == (1, 1)
    assert "--wait" in result.stderr


@pytest.mark.parametrize("key", ["", "x" * 129, "a\nb", "sch\u00f6n"])
def test_a_key_that_no_header_can_hold_is_wrong_usage(api: StubApi, key: str) -> None:
    """Nothing is asked then."""
    result = gpu_broker("rent", "--idempotency-key", key)

    assert (result.exit_code, api.asked) == (2, [])


def test_rekey_saves_the_new_key_where_ssh_finds_it(api: StubApi) -> None:
    """The one before is forgotten: it opens nothing any more."""
    with keys.reserved(None) as place:
        place.keep(SESSION_ID, "old")
    api.answers(_SPENDING[2][0], {"session_id": SESSION_ID, "ssh_private_key": PRIVATE_KEY})

    result = gpu_broker("sessions", "rekey", SESSION_ID, "--ssh-key-type", "rsa")

    key = keys.find(SESSION_ID)
    assert result.exit_code == 0
    assert api.asked[0].body == {"ssh_key_type": "rsa"}
    assert key is not None
    assert key.read_text() == PRIVATE_KEY
    assert str(key) in result.stdout
    assert "PRIVATE KEY" not in result.output


def test_rekey_with_a_file_of_ones_own_choice_is_remembered(api: StubApi, tmp_path: Path) -> None:
    """As with `rent`."""
    api.answers(_SPENDING[2][0], {"session_id": SESSION_ID, "ssh_private_key": PRIVATE_KEY})

    gpu_broker("sessions", "rekey", SESSION_ID, "--save-key", str(tmp_path / "key"))

    key = keys.find(SESSION_ID)
    assert key is not None
    assert key.resolve() == tmp_path / "key"


def test_rekey_takes_a_key_of_ones_own(api: StubApi, tmp_path: Path) -> None:
    """The private half beside the named file is what `ssh` will use."""
    (tmp_path / "id").write_text(PRIVATE_KEY)
    (tmp_path / "id.pub").write_text("ssh-ed25519 AAAA me\n")
    api.answers(_SPENDING[2][0], {"session_id": SESSION_ID, "ssh_private_key": None})

    result = gpu_broker(
        "sessions", "rekey", SESSION_ID, "--ssh-public-key", str(tmp_path / "id.pub")
    )

    key = keys.find(SESSION_ID)
    assert result.exit_code == 0
    assert api.asked[0].body == {"ssh_public_key": "ssh-ed25519 AAAA me"}
    assert key is not None
    assert key.resolve() == tmp_path / "id"


def test_a_rekey_that_is_refused_keeps_the_old_key(api: StubApi) -> None:
    """It still opens the machine."""
    with keys.reserved(None) as place:
        place.keep(SESSION_ID, "old")
    api.answers(_SPENDING[2][0], {"error": "It stops.", "code": "conflict"}, 409)

    result = gpu_broker("sessions", "rekey", SESSION_ID)

    key = keys.find(SESSION_ID)
    assert result.exit_code == 1
    assert key is not None
    assert key.read_text() == "old"
