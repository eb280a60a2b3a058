"""`rent`: what is asked, what is kept, what is printed."""

from __future__ import annotations

import getpass
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from broker.cli import keys, waiting
from tests.unit.cli_stub import (
    CREATED,
    PRIVATE_KEY,
    RUNNING,
    SESSION,
    SESSION_ID,
    StubApi,
    gpu_broker,
)

_CREATE = "POST /api/v1/sessions"
_GET = f"GET /api/v1/sessions/{SESSION_ID}"


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub answers at once; nothing is to be waited for."""
    monkeypatch.setattr(waiting, "_LOOK_EVERY_SECONDS", 0.0)


def test_without_options_the_cheapest_is_rented_for_the_login_name(api: StubApi) -> None:
    """One request with the defaults."""
    api.answers(_CREATE, CREATED, 201)

    result = gpu_broker("rent")

    assert result.exit_code == 0
    assert [asked.body for asked in api.asked] == [
        {"consumer_id": getpass.getuser(), "workload_type": "llm", "reservation_hours": 1}
    ]


def test_options_become_fields(api: StubApi) -> None:
    """Aliases and repeated options included."""
    api.answers(_CREATE, CREATED, 201)

    gpu_broker(
        "provision", "--consumer-id", "team", "--offer-id", "simulator-17", "--hours", "2",
        "--exposed-ports", "8000", "--exposed-ports", "9000", "--label", "a=b",
        "--no-managed-access",
    )  # fmt: skip

    assert api.asked[0].body == {
        "consumer_id": "team",
        "offer_id": "simulator-17",
        "workload_type": "llm",
        "reservation_hours": 2,
        "exposed_ports": [8000, 9000],
        "labels": {"a": "b"},
        "managed_access": False,
    }


def test_the_key_is_saved_and_never_printed_to_people(api: StubApi, tmp_path: Path) -> None:
    """The card names the file, not the key."""
    api.answers(_CREATE, CREATED, 201)

    result = gpu_broker("rent", "--save-key", str(tmp_path / "key"))

    assert (tmp_path / "key").read_text() == PRIVATE_KEY
    assert str(tmp_path / "key") in result.stdout
    assert "PRIVATE KEY" not in result.output
    assert CREATED["session_token"] not in result.stdout.split()


def test_json_is_the_body_of_the_creation_and_the_key_is_remembered(api: StubApi) -> None:
    """The API's body has the key; `ssh` finds it as well."""
    raw = json.dumps(CREATED, indent=1).encode()
    api.answers(_CREATE, raw, 201)

    result = gpu_broker("rent", "-o", "json")
    key = keys.find(SESSION_ID)

    assert result.stdout_bytes == raw
    assert key is not None
    assert key.read_text() == PRIVATE_KEY


def test_waiting_shows_every_stage_once_and_ends_when_it_runs(api: StubApi) -> None:
    """Plain lines on stderr where there is no terminal."""
    booting = {**SESSION, "provider_instance_id": None}
    proving = {**RUNNING, "status": "provisioning"}
    api.answers(_CREATE, CREATED, 201)
    for session in (booting, booting, SESSION, proving, RUNNING):
        api.answers(_GET, session)

    result = gpu_broker("rent", "--wait")

    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "provisioning: simulator makes a machine of simulator-17",
        "provisioning: machine i-1 boots",
        "provisioning: proving login and 1x RTX 4090 at 127.0.0.1:40022",
    ]
    assert "root@127.0.0.1:40022" in result.stdout


def test_waiting_with_json_prints_the_creation_with_the_session_as_it_became(
    api: StubApi,
) -> None:
    """The key, the token and the final session in one document."""
    api.answers(_CREATE, CREATED, 201)
    api.answers(_GET, RUNNING)

    result = gpu_broker("rent", "--wait", "-o", "json")

    assert json.loads(result.stdout) == {**CREATED, "session": RUNNING}


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_session_that_fails_while_waiting_exits_with_1_and_the_reason(
    api: StubApi, output: str
) -> None:
    """The outcome is printed, and the last line says why."""
    failed = {**SESSION, "status": "failed", "status_reason": "boot_timeout", "error": "No boot."}
    api.answers(_CREATE, CREATED, 201)
    api.answers(_GET, failed)

    result = gpu_broker("rent", "--wait", "-o", output)

    assert result.exit_code == 1
    assert SESSION_ID in result.stdout
    assert result.stderr.splitlines()[-1] == f"Error: {SESSION_ID} ended as failed: No boot."


def test_a_broker_that_restarts_is_waited_for(api: StubApi) -> None:
    """503 while it starts is not the end of a session."""
    api.answers(_CREATE, CREATED, 201)
    api.answers(_GET, {"error": "starting", "code": "not_ready"}, 503)
    api.answers(_GET, RUNNING)

    result = gpu_broker("rent", "--wait")

    assert result.exit_code == 0
    assert "the broker is away" in result.stderr


def test_a_refused_rental_leaves_no_key_file(api: StubApi, tmp_path: Path) -> None:
    """The place was only reserved."""
    api.answers(_CREATE, {"error": "No offer fits.", "code": "no_offer_fits"}, 404)

    result = gpu_broker("rent", "--save-key", str(tmp_path / "key"))

    assert result.exit_code == 1
    assert not (tmp_path / "key").exists()


def test_an_existing_key_file_stops_the_rental_before_it_begins(
    api: StubApi, tmp_path: Path
) -> None:
    """Nothing is rented whose key could not be saved."""
    (tmp_path / "key").write_text("precious")

    result = gpu_broker("rent", "--save-key", str(tmp_path / "key"))

    assert (result.exit_code, api.asked) == (2, [])


def test_ones_own_key_pair_is_remembered_for_ssh(api: StubApi, tmp_path: Path) -> None:
    """Where the public half is given as NAME.pub and NAME lies beside it."""
    (tmp_path / "id").write_text(PRIVATE_KEY)
    (tmp_path / "id.pub").write_text("ssh-ed25519 AAAA me\n")
    api.answers(_CREATE, {**CREATED, "ssh_private_key": None}, 201)

    result = gpu_broker("rent", "--ssh-public-key", str(tmp_path / "id.pub"))
    key = keys.find(SESSION_ID)

    assert result.exit_code == 0
    assert api.asked[0].body["ssh_public_key"] == "ssh-ed25519 AAAA me"
    assert key is not None
    assert key.resolve() == tmp_path / "id"


@pytest.mark.parametrize("lost", ["connection", "refused"])
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_broker_that_is_gone_for_good_leaves_what_was_rented_in_sight(
    api: StubApi, monkeypatch: pytest.MonkeyPatch, lost: str, output: str
) -> None:
    """Which session goes on and what ends it; for a script the answer with the key in it."""
    monkeypatch.setattr(waiting, "_PATIENCE_SECONDS", 0.0)
    raw = json.dumps(CREATED, indent=1).encode()
    api.answers(_CREATE, raw, 201)
    if lost == "connection":
        api.loses_the_answer(_GET)
    else:
        api.answers(_GET, {"error": "Odd.", "code": "internal_error"}, 500)

    result = gpu_broker("rent", "--wait", "-o", output)

    assert result.exit_code == (3 if lost == "connection" else 1)
    assert f"`gpu-broker sessions delete {SESSION_ID}` ends it" in result.stderr.splitlines()[-1]
    assert result.stdout_bytes == (raw if output == "json" else b"")


@pytest.mark.parametrize("stdout", [">&-", ">/dev/full"], ids=["closed", "full"])
@pytest.mark.parametrize("options", [(), ("--wait",), ("-o", "json"), ("--wait", "-o", "json")])
def test_a_session_that_cannot_be_printed_is_named_on_stderr(
    api: StubApi, stdout: str, options: tuple[str, ...]
) -> None:
    """It costs money: nobody may have to look for it."""
    api.answers(_CREATE, CREATED, 201)
    api.answers(_GET, RUNNING)
    command = f'exec "$0" -m broker rent "$@" {stdout}'

    done = subprocess.run(  # noqa: S603 - this very program
        ["sh", "-c", command, sys.executable, *options],  # noqa: S607 - any shell closes a stream
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert f"`gpu-broker sessions delete {SESSION_ID}` ends it" in done.stderr
    assert done.stderr.count("Error: ") == done.stderr.count("\n") == 1


@pytest.mark.parametrize("request_", [_CREATE, _GET])
def test_ctrl_c_says_what_goes_on_and_how_to_end_it(api: StubApi, request_: str) -> None:
    """130, and a hint that fits the moment: before the answer, or while waiting."""
    api.answers(_CREATE, CREATED, 201)
    api.answers(_GET, SESSION)
    process = subprocess.Popen(
        [sys.executable, "-m", "broker", "rent", "--wait", "-o", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def press_ctrl_c(asked: str) -> None:
        if asked == request_:
            process.send_signal(signal.SIGINT)

    api.before_answering = press_ctrl_c

    stdout, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert stdout == (json.dumps(CREATED) if request_ == _GET else "")
    assert "gpu-broker sessions delete" in stderr
    assert (SESSION_ID in stderr) == (request_ == _GET)
    assert (f"--idempotency-key {api.asked[0].idempotency_key}" in stderr) == (request_ == _CREATE)
