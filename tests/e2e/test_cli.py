"""The installed command against a real broker on the simulated market."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.cli.exits import CommandFailed
from broker.cli.machine import logged_in
from tests.e2e.cli_broker import CommandLine, free_port, serving, wait_until

_OPENSSH = shutil.which("ssh")
_needs_openssh = pytest.mark.skipif(_OPENSSH is None, reason="there is no OpenSSH here")
_RENT = ("rent", "--gpu-type", "RTX 4090", "--minutes", "30", "--wait")


@pytest.fixture
def apart(tmp_path: Path) -> CommandLine:
    """The command in an empty folder, without a broker."""
    return CommandLine(tmp_path, {"GPU_BROKER_URL": f"http://127.0.0.1:{free_port()}"})


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command beside a broker that all tests of this module share."""
    command_line = CommandLine(tmp_path_factory.mktemp("broker"))
    with serving(command_line):
        yield command_line


@pytest.fixture(scope="module")
def rented(broker: CommandLine) -> dict[str, Any]:
    """A running session, as `rent --wait -o json` prints it."""
    created: dict[str, Any] = broker.ask(*_RENT)
    return created


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


def test_files_and_folders_travel_there_and_back(
    broker: CommandLine, rented: dict[str, Any], tmp_path: Path
) -> None:
    """Contents, names and permissions arrive; into a folder where the target is one."""
    session_id = rented["session"]["id"]
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "data.bin").write_bytes(bytes(range(256)) * 1000)
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "loop").symlink_to(tree)

    up = broker.run("cp", "-r", str(tree), f"{session_id}:copy")
    broker.succeed("cp", "-r", f"{session_id}:copy", str(tmp_path / "back"))
    broker.succeed("cp", f"{session_id}:copy/run.sh", str(tmp_path))

    assert up.returncode == 0, up.stderr
    assert "left out" in up.stderr
    back = tmp_path / "back"
    assert sorted(path.name for path in back.rglob("*")) == ["data.bin", "deep", "run.sh"]
    assert (back / "deep" / "data.bin").read_bytes() == bytes(range(256)) * 1000
    assert (back / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "run.sh").read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("cp {here} {session}:x", 2),
        ("cp {here}/missing {session}:x", 1),
        ("cp {session}:missing {here}", 1),
        ("ssh sess-doesnotexist -- true", 1),
        ("sessions extend {session} --hours 12", 1),
    ],
)
def test_what_cannot_be_done_exits_with_its_code_and_one_line(
    broker: CommandLine,
    rented: dict[str, Any],
    tmp_path: Path,
    arguments: str,
    code: int,
) -> None:
    """1 for what failed, 2 for wrong usage, and never a traceback."""
    known = {"here": str(tmp_path), "session": rented["session"]["id"]}

    done = broker.run(*arguments.format(**known).split())

    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_a_session_can_be_seen_extended_and_its_history_read(
    broker: CommandLine, rented: dict[str, Any]
) -> None:
    """Tables and cards of a live session."""
    session_id = rented["session"]["id"]

    extended = broker.ask("sessions", "extend", session_id, "--minutes", "10")
    card = broker.succeed("sessions", "get", session_id)
    table = broker.succeed("sessions", "list", "--status", "running")
    events = broker.ask("sessions", "events", session_id)

    assert extended["new_expires_at"] > rented["session"]["expires_at"]
    assert "root@127.0.0.1" in card or rented["session"]["ssh_user"] in card
    assert session_id in table
    assert events["count"] == len(events["events"]) > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("inventory", "--gpu-type", "RTX 4090", "--verified", "--sort=-reliability"),
        ("gpus",),
        ("gpus", "RTX 4090"),
        ("templates",),
        ("costs",),
        ("costs", "summary"),
        ("providers",),
        ("sessions", "list"),
    ],
    ids=" ".join,
)
def test_every_table_has_a_heading_and_rows(
    broker: CommandLine, rented: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    """What the API answers fits what the tables look for."""
    assert len(broker.succeed(*arguments).splitlines()) > 1


def test_the_cheapest_offer_can_be_looked_at_in_full(broker: CommandLine) -> None:
    """By the id that the table shows, with the templates that fit it."""
    offer = broker.ask("inventory", "--limit", "1")["offers"][0]

    assert f"id                       {offer['id']}" in broker.succeed("inventory", offer["id"])
    assert broker.run("templates", "--offer-id", offer["id"]).returncode == 0


def test_done_ends_a_session_and_its_cost_stays_known(broker: CommandLine) -> None:
    """From rent to the bill."""
    created = broker.ask(*_RENT)
    session_id = created["session"]["id"]

    broker.succeed("sessions", "done", session_id)
    wait_until(lambda: broker.ask("sessions", "get", session_id)["status"] == "stopped")

    assert broker.ask("costs", "--session-id", session_id)["total_cost"] > 0
    assert "its machine is gone" in broker.run("ssh", session_id, "--", "true").stderr


def test_delete_ends_a_session_at_once(broker: CommandLine) -> None:
    """And doing it again is no mistake."""
    session_id = broker.ask(*_RENT)["session"]["id"]

    broker.succeed("sessions", "delete", session_id)
    broker.succeed("sessions", "delete", session_id)

    assert broker.ask("sessions", "get", session_id)["status"] == "stopped"


def test_a_sweep_beside_a_broker_is_done_by_the_broker(broker: CommandLine) -> None:
    """The one that holds the database is asked, wherever GPU_BROKER_URL leads."""
    elsewhere = CommandLine(
        broker.folder, {**broker.environment, "GPU_BROKER_URL": "http://127.0.0.1:9"}
    )

    done = elsewhere.run(
        "sweep", "--once", "--simulate", "--database", broker.database, "-o", "json"
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dry_run"] is False
    assert broker.environment["GPU_BROKER_URL"] in done.stderr


def test_cleaning_up_beside_a_broker_leaves_its_machines_alone(
    broker: CommandLine, rented: dict[str, Any]
) -> None:
    """A machine that a row claims is nobody's orphan."""
    instance = rented["session"]["provider_instance_id"]
    arguments = ("--simulate", "--database", broker.database, "--execute", "--force")

    report = broker.ask("cleanup-orphans", *arguments)

    verdicts = {row["instance_id"]: row["verdict"] for row in report["machines"]}
    assert verdicts[instance] == "claimed"
    assert broker.run("ssh", rented["session"]["id"], "--", "true").returncode == 0


def test_the_doctor_finds_nothing_wrong_with_a_broker_that_runs(broker: CommandLine) -> None:
    """Every line is well, and the exit code says so."""
    done = broker.run("doctor", "--simulate", "--database", broker.database)

    assert (done.returncode, done.stderr) == (0, "")
    assert "fail" not in done.stdout
    assert f"{broker.environment['GPU_BROKER_URL']} is ready" in done.stdout


def test_the_doctor_points_at_the_broker_that_holds_the_database(broker: CommandLine) -> None:
    """Where GPU_BROKER_URL leads elsewhere."""
    url = broker.environment["GPU_BROKER_URL"]
    lost = CommandLine(
        broker.folder, {**broker.environment, "GPU_BROKER_URL": "http://127.0.0.1:9"}
    )

    done = lost.run("doctor", "--simulate", "--database", broker.database)

    assert done.returncode == 1
    assert f"Set GPU_BROKER_URL={url}" in done.stdout


def test_the_doctor_alone_says_how_to_begin(apart: CommandLine) -> None:
    """Nothing is there yet, and nothing is made by looking."""
    done = apart.run("doctor", "--simulate")

    assert done.returncode == 0
    assert "gpu-broker serve" in done.stdout
    assert list(apart.folder.iterdir()) == []


def test_without_a_broker_requests_exit_with_3(apart: CommandLine) -> None:
    """And a sentence."""
    done = apart.run("sessions", "list", "-o", "json")

    assert (done.returncode, done.stdout) == (3, "")
    assert "No broker can be reached" in done.stderr


def test_serve_refuses_a_second_broker_on_its_database(broker: CommandLine) -> None:
    """Exit code 2 and who it is."""
    done = broker.run("serve", "--simulate", "--database", broker.database, "--port", "0")

    assert done.returncode == 2
    assert "Another gpu-broker" in done.stderr


def test_serve_stops_on_sigterm_and_keeps_what_was_rented(apart: CommandLine) -> None:
    """Exit code 0; the next broker has the same session at the same address."""
    with serving(apart) as first:
        created = apart.ask(*_RENT)
        first.terminate()
        assert first.wait(20) == 0
    with serving(apart):
        session = apart.ask("sessions", "get", created["session"]["id"])
        wait_until(lambda: apart.run("ssh", session["id"], "--", "true").returncode == 0)

    assert session["ssh_port"] == created["session"]["ssh_port"]


def test_a_machine_whose_database_is_lost_is_cleaned_up(apart: CommandLine) -> None:
    """Shown first, destroyed when told, and then there is nothing left."""
    with serving(apart):
        apart.ask(*_RENT)
    for file in Path(apart.database).parent.glob("gpu-broker.db*"):
        file.unlink()
    arguments = ("cleanup-orphans", "--simulate", "--database", apart.database)

    shown = apart.ask(*arguments, "--force")["machines"]
    destroyed = apart.ask(*arguments, "--force", "--execute")["machines"]
    left = apart.succeed(*arguments)

    assert [(row["verdict"], row["destroyed"]) for row in shown] == [("orphaned", False)]
    assert [(row["verdict"], row["destroyed"]) for row in destroyed] == [("orphaned", True)]
    assert left == "No machine carries a label of a gpu-broker.\n"


def test_a_sweep_without_a_broker_ends_what_is_over(apart: CommandLine) -> None:
    """It explains first; `--once` acts."""
    with serving(apart):
        session_id = apart.ask(*_RENT)["session"]["id"]
        apart.succeed("sessions", "done", session_id)
    arguments = ("sweep", "--simulate", "--database", apart.database)

    explained = apart.ask(*arguments)
    acted = apart.ask(*arguments, "--once")

    assert (explained["dry_run"], acted["dry_run"]) == (True, False)
    assert apart.ask(*arguments)["actions"] == []


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder, and the demo that ran there beside the credentials of real accounts."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / ".env").write_text("VASTAI_API_KEY=key\nVASTAI_API_URL=http://127.0.0.1:9\n")
    command_line = CommandLine(folder, {"TENSORDOCK_API_TOKEN": "token"})
    return folder, command_line.run("demo", "--data", "kept")


def test_the_demo_does_the_whole_job_and_leaves_nothing_running(
    demonstrated: tuple[Path, Any],
) -> None:
    """Market, rent, boot, login, done, cost, proof; exit code 0."""
    folder, done = demonstrated

    assert (done.returncode, done.stderr) == (0, "")
    steps = [line[:11].split() for line in done.stdout.splitlines() if line[1:4] == "/7 "]
    names = list(dict.fromkeys(name for _, name in steps))
    assert names == ["market", "rent", "boot", "login", "done", "cost", "proof"]
    assert "NVIDIA-SMI" in done.stdout
    assert "RTX 4090" in done.stdout
    assert _processes_in(folder) == []


def test_the_demo_touches_no_account_of_its_caller(demonstrated: tuple[Path, Any]) -> None:
    """Neither the environment nor a .env file reaches its broker."""
    folder, _ = demonstrated
    log = (folder / "kept" / "broker.log").read_text()

    assert "Ready." in log
    assert "vastai" not in log
    assert "tensordock" not in log


def test_a_demo_that_fails_says_why(apart: CommandLine) -> None:
    """Exit code 1, the reason last, nothing left."""
    done = apart.run("demo", "--gpu-type", "Voodoo 2")

    assert done.returncode == 1
    assert "has no Voodoo 2" in done.stderr.splitlines()[-1]
    assert list(apart.folder.iterdir()) == []
    assert _processes_in(apart.folder) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_ends_what_it_started(
    apart: CommandLine, signum: signal.Signals
) -> None:
    """The broker and its machine with it."""
    process = apart.start("demo")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("3/7"):
            break
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "have ended" in stderr
    assert list(apart.folder.iterdir()) == []
    assert _processes_in(apart.folder) == []


def _processes_in(folder: Path) -> list[int]:
    """The processes that were started with `folder` in their command or as their directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            here = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(folder) in words or here.startswith(str(folder)):
            found.append(int(process.name))
    return found


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
