"""`ssh`, `ssh-config`, `cp`: what they call OpenSSH with, and what they refuse."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from broker.cli.cp import Remote, parse_place
from broker.cli.ssh import present_host_block, ssh_arguments
from tests.unit.cli_stub import KNOWN_HOST, RUNNING, SESSION, SESSION_ID, StubApi, gpu_broker

_GET = f"GET /api/v1/sessions/{SESSION_ID}"


def test_ssh_offers_one_key_and_accepts_one_host_key() -> None:
    """Nothing of the person's own configuration may widen that."""
    arguments = ssh_arguments(dict(RUNNING), Path("/k"), Path("/hosts"), ("nvidia-smi", "-L"))

    assert arguments == [
        "-o", 'UserKnownHostsFile="/hosts"',
        "-o", "GlobalKnownHostsFile=/dev/null",
        "-o", "StrictHostKeyChecking=yes",
        "-o", 'IdentityFile="/k"',
        "-o", "IdentitiesOnly=yes",
        "-p", "40022", "-l", "root", "--", "127.0.0.1", "nvidia-smi", "-L",
    ]  # fmt: skip


def test_a_file_name_is_taken_literally_by_openssh() -> None:
    """A percent sign begins a token there, a blank ends a word."""
    arguments = ssh_arguments(dict(RUNNING), Path("/a b/100%"), Path("/hosts"), ())

    assert 'IdentityFile="/a b/100%%"' in arguments


def test_without_a_key_the_persons_own_are_tried() -> None:
    """No identity is named then."""
    arguments = ssh_arguments(dict(RUNNING), None, Path("/hosts"), ())

    assert not any("Identit" in argument for argument in arguments)


def test_a_host_block_is_named_by_the_session() -> None:
    """So that `ssh SESSION` works once it stands in ~/.ssh/config."""
    assert present_host_block(dict(RUNNING), Path("/k"), Path("/hosts")).splitlines() == [
        f"Host {SESSION_ID}",
        "    HostName 127.0.0.1",
        "    Port 40022",
        "    User root",
        '    UserKnownHostsFile "/hosts"',
        "    GlobalKnownHostsFile /dev/null",
        "    StrictHostKeyChecking yes",
        '    IdentityFile "/k"',
        "    IdentitiesOnly yes",
    ]


def test_ssh_config_writes_the_host_key_that_was_proved(api: StubApi, tmp_path: Path) -> None:
    """The file that the block names holds the session's known_hosts lines."""
    api.answers(_GET, RUNNING)

    result = gpu_broker("ssh-config", SESSION_ID)

    hosts = tmp_path / "state" / "gpu-broker" / "known_hosts" / SESSION_ID
    assert result.exit_code == 0
    assert f'UserKnownHostsFile "{hosts}"' in result.stdout
    assert hosts.read_text() == f"{KNOWN_HOST}\n"
    assert "--key" in result.stderr


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ({**SESSION, "status": "stopped"}, "its machine is gone"),
        ({**SESSION, "status": "failed"}, "its machine is gone"),
        (SESSION, "no SSH address yet"),
        ({**RUNNING, "known_hosts": []}, "host key is not proved yet"),
        ({**RUNNING, "ssh_host": "-oProxyCommand=id"}, "ssh_host"),
        ({**RUNNING, "ssh_user": "root\n    ProxyCommand id"}, "ssh_user"),
    ],
)
@pytest.mark.parametrize(
    "arguments",
    [("ssh", SESSION_ID), ("ssh-config", SESSION_ID), ("cp", "x", f"{SESSION_ID}:")],
    ids=lambda arguments: arguments[0],
)
def test_a_machine_that_cannot_be_reached_is_told_as_it_is(
    api: StubApi, session: dict[str, object], expected: str, arguments: tuple[str, ...]
) -> None:
    """No address, no proved host key, no machine: exit code 1 and the reason."""
    api.answers(_GET, session)

    result = gpu_broker(*arguments)

    assert result.exit_code == 1
    assert expected in result.stderr


def test_a_key_file_that_does_not_exist_is_wrong_usage(api: StubApi) -> None:
    """It is told before anything else happens."""
    result = gpu_broker("ssh", SESSION_ID, "--key", "/no/such/key")

    assert (result.exit_code, api.asked) == (2, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("results", Path("results")),
        ("./sess-abc:x", Path("sess-abc:x")),
        ("C:/x", Path("C:/x")),
        (f"{SESSION_ID}:/root/x", Remote(SESSION_ID, PurePosixPath("/root/x"))),
        (f"{SESSION_ID}:x", Remote(SESSION_ID, PurePosixPath("x"))),
        (f"{SESSION_ID}:~/x", Remote(SESSION_ID, PurePosixPath("x"))),
        (f"{SESSION_ID}:", Remote(SESSION_ID, PurePosixPath())),
    ],
)
def test_a_place_is_here_or_on_a_machine(text: str, expected: object) -> None:
    """What begins with a session's id and a colon is there; the machine's home is the default."""
    assert parse_place(text) == expected
