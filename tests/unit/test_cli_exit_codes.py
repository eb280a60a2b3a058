"""Exit codes and error lines: what scripts rely on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.unit.cli_commands import APART, ASKING, PRINTING, commands
from tests.unit.cli_stub import CREATED, RUNNING, SESSION_ID, StubApi, gpu_broker

_SESSION_PATH = f"/api/v1/sessions/{SESSION_ID}"
_NAMES = [" ".join(words) for _, words in ASKING]


def test_a_request_that_is_granted_exits_with_0(api: StubApi) -> None:
    """Done."""
    api.answers(f"GET {_SESSION_PATH}", RUNNING)

    result = gpu_broker("sessions", "get", SESSION_ID)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "root@127.0.0.1:40022" in result.stdout


def test_a_refusal_exits_with_1_and_one_line_that_names_the_fields(api: StubApi) -> None:
    """Status, code, request id and every wrong field, on stderr, in one line."""
    body = {
        "error": "Wrong fields:\nname.",
        "code": "validation_error",
        "request_id": "r-1",
        "details": [{"field": "name", "message": "is too long"}],
    }
    api.answers("GET /api/v1/sessions", body, 400)

    result = gpu_broker("sessions", "list")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: Wrong fields: name. [name is too long] (400, validation_error, r-1)\n"
    )


def test_a_refusal_leaves_stdout_empty_for_scripts_too(api: StubApi) -> None:
    """`-o json` prints answers; what went wrong is on stderr."""
    result = gpu_broker("inventory", "-o", "json")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: The stub knows nothing of this. (404")


def test_every_command_is_in_the_table() -> None:
    """What the next tests say holds for all of them, and for new ones too."""
    known = {path for path, _ in commands()}
    leaves = {path for path, command in commands() if not isinstance(command, click.Group)}
    asking = {words[:n] for _, words in ASKING for n in (1, 2) if words[:n] in known}

    assert leaves - {("provision",)} == (asking & leaves) | APART


@pytest.mark.parametrize(("request_", "arguments"), ASKING, ids=_NAMES)
def test_every_refusal_exits_with_1(
    api: StubApi, request_: str, arguments: tuple[str, ...]
) -> None:
    """One line on stderr, nothing on stdout, and nothing asked twice."""
    refusal = {"error": "Not so.", "code": "conflict", "request_id": "r-1"}
    api.answers(request_, refusal, 409)

    result = gpu_broker(*arguments)

    assert (result.exit_code, result.stdout, len(api.asked)) == (1, "", 1)
    assert result.stderr == "Error: Not so. (409, conflict, r-1)\n"


@pytest.mark.parametrize("arguments", [words for _, words in ASKING], ids=_NAMES)
def test_every_command_exits_with_3_where_there_is_no_broker(
    api: StubApi, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """Whatever it wanted."""
    monkeypatch.setenv("GPU_BROKER_URL", "http://127.0.0.1:9")

    result = gpu_broker(*arguments)

    assert (result.exit_code, result.stdout, api.asked) == (3, "", [])
    assert result.stderr.startswith("Error: No broker can be reached at http://127.0.0.1:9")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("path", [path for path, _ in commands() if path], ids=" ".join)
def test_every_command_exits_with_2_for_an_option_that_it_has_not(path: tuple[str, ...]) -> None:
    """And says where its options are explained."""
    result = gpu_broker(*path, "--no-such-option")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: No such option")
    assert result.stderr.endswith(f"`gpu-broker {' '.join(path)} --help` explains.\n")


@pytest.mark.parametrize(("request_", "arguments"), PRINTING, ids=_NAMES[: len(PRINTING)])
def test_json_is_the_body_byte_for_byte_and_nothing_else(
    api: StubApi, request_: str, arguments: tuple[str, ...]
) -> None:
    """Whatever the API says reaches the script unchanged."""
    odd = json.dumps({**CREATED, "price": 1e-06}, indent=1).encode() + b"\n\n"
    api.answers(request_, odd)

    result = gpu_broker(*arguments, "-o", "json")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes == odd


@pytest.mark.parametrize(
    ("request_", "arguments"),
    [
        (f"DELETE {_SESSION_PATH}", ("sessions", "delete", SESSION_ID)),
        (f"POST {_SESSION_PATH}/done", ("sessions", "done", SESSION_ID)),
        (f"POST {_SESSION_PATH}/extend", ("sessions", "extend", SESSION_ID, "--hours", "1")),
        (f"POST {_SESSION_PATH}/rekey", ("sessions", "rekey", SESSION_ID)),
        (f"GET {_SESSION_PATH}", ("ssh", SESSION_ID)),
        (f"GET {_SESSION_PATH}", ("cp", "here", f"{SESSION_ID}:there")),
        ("GET /api/v1/sessions", ("sessions", "list")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_ctrl_c_tells_what_goes_on(api: StubApi, request_: str, arguments: tuple[str, ...]) -> None:
    """130, one line, and the command that shows or ends what was being dealt with."""
    process = subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", "broker", *arguments], stderr=subprocess.PIPE, text=True
    )
    api.before_answering = lambda _: process.send_signal(signal.SIGINT)

    _, stderr = process.communicate(timeout=60)

    assert [f"{asked.method} {asked.path}" for asked in api.asked] == [request_]
    assert process.returncode == 130
    assert stderr.strip().startswith("Error: Interrupted")
    assert stderr.strip().count("\n") == 0
    assert SESSION_ID in stderr or arguments == ("sessions", "list")
    assert "`gpu-broker sessions " in stderr or "--idempotency-key" in stderr


def test_a_full_disk_is_told_as_one(api: StubApi) -> None:
    """No mistake in the program, so nothing about debugging it."""
    api.answers("GET /api/v1/providers", {"providers": []})
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "broker", "providers", "-o", "json"],
            stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip

    assert (done.returncode, done.stderr) == (1, b"Error: No space left on device.\n")


@pytest.mark.parametrize(
    ("request_", "arguments"),
    [
        ("GET /api/v1/sessions", ("sessions", "list")),
        ("GET /api/v1/providers", ("providers",)),
        ("GET /api/v1/providers", ("providers", "-o", "json")),
        ("", ("openapi",)),
        ("", ("--help",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_closed_stdout_is_told_as_one(
    api: StubApi, request_: str, arguments: tuple[str, ...]
) -> None:
    """As with a full disk: what was asked for has reached nobody."""
    api.answers(request_, {"providers": [], "sessions": [], "count": 0, "total": 0})

    done = subprocess.run(  # noqa: S603 - this very program
        ["sh", "-c", 'exec "$0" -m broker "$@" >&-', sys.executable, *arguments],  # noqa: S607
        stderr=subprocess.PIPE, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (1, b"Error: Bad file descriptor.\n")


def test_a_closed_stderr_changes_no_exit_code(api: StubApi) -> None:
    """Nobody reads the sentence; scripts read the number."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -m broker providers 2>&-', sys.executable],  # noqa: S607
        env={**os.environ, "GPU_BROKER_URL": "nonsense"}, check=False,
    )  # fmt: skip

    assert (done.returncode, api.asked) == (2, [])


def test_a_reader_that_has_enough_ends_the_command_quietly(api: StubApi) -> None:
    """As with `| head -1`."""
    api.answers("GET /api/v1/providers", b'{"providers": []}' + b" " * 1_000_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "broker", "providers", "-o", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None

    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(60)


@pytest.mark.parametrize(
    "arguments",
    [
        ("sessions", "get"),
        ("sessions", "extend", SESSION_ID),
        ("sessions", "extend", SESSION_ID, "--hours", "1", "--minutes", "1"),
        ("inventory", "--no-such-option"),
        ("inventory", "simulator-1", "--gpu-type", "A100"),
        ("templates", "abc", "--name", "x"),
        ("costs", "--consumer-id", "me", "summary"),
        ("rent", "--env", "A"),
        ("rent", "--save-key", "/no/such/folder/key"),
        ("rent", "--save-key", "key", "--ssh-public-key", "ssh-ed25519 AAAA"),
        ("completion",),
        ("completion", "csh"),
        ("cp", "here", "there"),
        ("cp", f"{SESSION_ID}:/a", f"{SESSION_ID}:/b"),
        ("nonsense",),
    ],
)
def test_wrong_usage_exits_with_2_and_asks_nothing(
    api: StubApi, arguments: tuple[str, ...]
) -> None:
    """Nothing is sent to the broker, and the one line on stderr says where to read more."""
    result = gpu_broker(*arguments)

    assert (result.exit_code, result.stdout, api.asked) == (2, "", [])
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert "\N{REPLACEMENT CHARACTER}" not in result.stderr


def test_no_command_shows_the_help_as_wrong_usage() -> None:
    """A person who types the bare name learns what there is."""
    result = gpu_broker()

    assert result.exit_code == 2
    assert "Commands:" in result.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://", "http://[", "http://h:x"])
def test_an_address_that_is_none_exits_with_2(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """GPU_BROKER_URL is configuration."""
    monkeypatch.setenv("GPU_BROKER_URL", url)

    result = gpu_broker("providers")

    assert result.exit_code == 2
    assert "GPU_BROKER_URL" in result.stderr


def test_a_broker_that_is_not_there_exits_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says where it was looked for, and how to start one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("GPU_BROKER_URL", f"http://127.0.0.1:{port}")

    result = gpu_broker("providers")

    assert (result.exit_code, result.stdout) == (3, "")
    assert f"http://127.0.0.1:{port}" in result.stderr
    assert "gpu-broker serve" in result.stderr
    assert result.stderr.count("\n") == 1


def test_something_else_that_answers_is_no_broker(api: StubApi) -> None:
    """A web page at the broker's address is not taken for an answer."""
    api.answers("GET /api/v1/providers", b"<html>hello</html>")

    result = gpu_broker("providers")

    assert (result.exit_code, result.stdout) == (3, "")
    assert "not a gpu-broker" in result.stderr


def test_a_proxy_for_the_world_is_not_asked_for_this_machine(
    api: StubApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker on loopback is reached whatever http_proxy says."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    api.answers("GET /api/v1/providers", {"providers": []})

    assert gpu_broker("providers").exit_code == 0


def test_what_nobody_expected_is_a_sentence_and_no_traceback(api: StubApi) -> None:
    """Even an answer without its fields ends in one line."""
    api.answers("GET /api/v1/providers", {})

    result = gpu_broker("providers")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Unexpected: KeyError")
    assert result.stderr.count("\n") == 1
