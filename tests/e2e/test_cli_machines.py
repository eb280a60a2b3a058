"""The installed command and the machines that it rents."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.cli.exits import CommandFailed
from broker.cli.machine import logged_in
from tests.e2e.cli_broker import CommandLine
from tests.e2e.conftest import RENT

_OPENSSH = shutil.which("ssh")
_needs_openssh = pytest.mark.skipif(_OPENSSH is None, reason="there is no OpenSSH here")


def test_rent_waits_until_the_machine_is_proved(
    broker: CommandLine, rented: dict[str, Any]
) -> None:
    """The printed document has the key, and the session as it runs."""
    session = rented["session"]

    assert session["status"] == "running"
    assert session["gpu_type"] == "RTX 4090"
    assert session["known_hosts"]
    assert "PRIVATE KEY" in rented["ssh_private_key"]
    assert broker.ask("sessions", "get", session["id"])["id"] == session["id"]


def test_ssh_runs_a_command_with_the_remembered_key(
    broker: CommandLine, rented: dict[str, Any]
) -> None:
    """Without a word about keys or addresses."""
    printed = broker.succeed("ssh", rented["session"]["id"], "--", "nvidia-smi", "-L")

    assert "RTX 4090" in printed


@pytest.mark.parametrize("path", [None, "/nonexistent"], ids=["openssh", "without openssh"])
def test_ssh_exits_as_the_command_exits(
    broker: CommandLine, rented: dict[str, Any], path: str | None
) -> None:
    """Output on its own stream, and the exit code passed on, with and without OpenSSH."""
    there = CommandLine(broker.folder, {**broker.environment, **({"PATH": path} if path else {})})

    done = there.run("ssh", rented["session"]["id"], "--", "echo out; echo err >&2; exit 7")

    assert (done.returncode, done.stdout) == (7, "out\n")
    assert done.stderr.endswith("err\n")


@_needs_openssh
def test_ssh_refuses_a_machine_with_another_host_key(
    broker: CommandLine, rented: dict[str, Any], tmp_path: Path
) -> None:
    """The proved host key is the only one that is accepted."""
    session = rented["session"]
    broker.succeed("ssh-config", session["id"])
    hosts = broker.folder / ".local" / "state" / "gpu-broker" / "known_hosts" / session["id"]
    address = hosts.read_text().split()[0]
    (tmp_path / "hosts").write_text(f"{address} {_another_host_key()}\n")
    block = broker.succeed("ssh-config", session["id"]).replace(str(hosts), str(tmp_path / "hosts"))
    (tmp_path / "config").write_text(block)

    done = _openssh(tmp_path / "config", session["id"], "true")

    assert done.returncode == 255
    assert "verification failed" in done.stderr


@pytest.mark.parametrize("known", ["", "{address} {other}"], ids=["none", "another"])
def test_without_openssh_a_machine_with_another_host_key_is_refused_too(
    broker: CommandLine, rented: dict[str, Any], tmp_path: Path, known: str
) -> None:
    """Copies, too, go to the proved machine only; an unknown host key is not learnt."""
    session = broker.ask("sessions", "get", rented["session"]["id"])
    key = tmp_path / "key"
    key.write_text(rented["ssh_private_key"])
    address = session["known_hosts"][0].split()[0]
    hosts = tmp_path / "hosts"
    hosts.write_text(known.format(address=address, other=_another_host_key()))

    with pytest.raises(CommandFailed, match="Cannot log in"), logged_in(session, key, hosts):
        pytest.fail("the host key is not the proved one")


@_needs_openssh
def test_ssh_config_leads_openssh_to_the_machine(
    broker: CommandLine, rented: dict[str, Any], tmp_path: Path
) -> None:
    """The printed block is all that OpenSSH needs."""
    session_id = rented["session"]["id"]
    (tmp_path / "config").write_text(broker.succeed("ssh-config", session_id))

    done = _openssh(tmp_path / "config", session_id, "hostname")

    assert done.returncode == 0, done.stderr


def test_a_saved_key_is_the_owners_only_and_opens_the_machine(
    broker: CommandLine, rented: dict[str, Any], tmp_path: Path
) -> None:
    """`--key` beats what is remembered."""
    key = tmp_path / "key"
    key.write_text(rented["ssh_private_key"])
    key.chmod(0o600)
    elsewhere = CommandLine(tmp_path, broker.environment)

    done = elsewhere.run("ssh", rented["session"]["id"], "--key", str(key), "--", "echo", "in")

    assert (done.returncode, done.stdout) == (0, "in\n")


def test_rekey_gives_another_key_and_the_old_one_is_dead(broker: CommandLine) -> None:
    """Over the broker's own access; `ssh` uses the new one without being told."""
    created = broker.ask(*RENT, "--name", "rekeyed")
    session_id = created["session"]["id"]
    old = broker.folder / "old-key"
    old.write_text(created["ssh_private_key"])
    old.chmod(0o600)

    broker.succeed("sessions", "rekey", session_id)
    with_new = broker.run("ssh", session_id, "--", "true")
    with_old = broker.run("ssh", session_id, "--key", str(old), "--", "true")

    assert with_new.returncode == 0, with_new.stderr
    assert with_old.returncode == 255
    broker.succeed("sessions", "delete", session_id)


def test_the_same_key_of_a_rental_gives_the_same_session(broker: CommandLine) -> None:
    """Whoever lost the answer asks again, and can log in."""
    arguments = (*RENT, "--idempotency-key", "the one")
    session_id = broker.ask(*arguments)["session"]["id"]
    (broker.folder / ".local/state/gpu-broker/keys" / session_id).unlink()

    again = broker.ask(*arguments)
    done = broker.run("ssh", session_id, "--", "true")

    assert again["session"]["id"] == session_id
    assert done.returncode == 0, done.stderr
    broker.succeed("sessions", "delete", session_id)


def test_files_and_folders_travel_there_and_back(
    broker: CommandLine, rented: dict[str, Any], tmp_path: Path
) -> None:
    """Contents, names and permissions arrive; into a folder where the target is one."""
    session_id = rented["session"]["id"]
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "data.bin").write_bytes(bytes(range(256)) * 1000)
    (tree / "two words").write_text("a")
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "loop").symlink_to(tree)

    up = broker.run("cp", "-r", str(tree), f"{session_id}:copy")
    broker.succeed("cp", "-r", f"{session_id}:copy", str(tmp_path / "back"))
    broker.succeed("cp", f"{session_id}:copy/run.sh", str(tmp_path))

    assert up.returncode == 0, up.stderr
    assert "left out" in up.stderr
    back = tmp_path / "back"
    assert sorted(path.name for path in back.rglob("*")) == [
        "data.bin",
        "deep",
        "run.sh",
        "two words",
    ]
    assert (back / "deep" / "data.bin").read_bytes() == bytes(range(256)) * 1000
    assert (back / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "run.sh").read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        ("cp {here} {session}:x", 2, "-r"),
        ("cp {here}/file {session}:nowhere/", 1, "nowhere/"),
        ("cp {here}/file {session}:nowhere/deep", 1, "nowhere/deep"),
        ("cp {session}:/etc/hostname {here}/nowhere/", 1, "nowhere/"),
        ("cp {here}/missing {session}:x", 1, "missing"),
        ("cp {session}:missing {here}", 1, "missing"),
        ("ssh sess-doesnotexist -- true", 1, "sess-doesnotexist"),
        ("sessions extend {session} --hours 12", 1, "hard_max_exceeded"),
    ],
)
def test_what_cannot_be_done_exits_with_its_code_and_one_line(
    broker: CommandLine,
    rented: dict[str, Any],
    tmp_path: Path,
    arguments: str,
    code: int,
    word: str,
) -> None:
    """1 for what failed, 2 for wrong usage, and the line says what it is about."""
    known = {"here": str(tmp_path), "session": rented["session"]["id"]}
    (tmp_path / "file").write_text("content")

    done = broker.run(*arguments.format(**known).split())

    assert done.returncode == code
    *_, last = done.stderr.splitlines()
    assert last.startswith("Error: ")
    assert word in last
    assert "Traceback" not in done.stderr


def _openssh(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert _OPENSSH is not None
    return subprocess.run(  # noqa: S603 - the program that the block is for
        [_OPENSSH, "-F", str(config), "-o", "BatchMode=yes", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _another_host_key() -> str:
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
