"""Exit codes and error lines: what scripts rely on."""

from __future__ import annotations

import socket

import pytest

from tests.unit.cli_stub import RUNNING, SESSION_ID, StubApi, gpu_broker

_SESSION_PATH = f"/api/v1/sessions/{SESSION_ID}"


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
