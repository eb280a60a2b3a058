"""The installed command in the hands of an operator."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli_broker import CommandLine, serving, wait_until
from tests.e2e.conftest import RENT


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
        created = apart.ask(*RENT)
        first.terminate()
        assert first.wait(20) == 0
    with serving(apart):
        session = apart.ask("sessions", "get", created["session"]["id"])
        wait_until(lambda: apart.run("ssh", session["id"], "--", "true").returncode == 0)

    assert session["ssh_port"] == created["session"]["ssh_port"]


def test_a_machine_whose_database_is_lost_is_cleaned_up(apart: CommandLine) -> None:
    """Shown first, destroyed when told, and then there is nothing left.

    Where one is left the exit code tells it.
    """
    with serving(apart):
        apart.ask(*RENT)
    for file in Path(apart.database).parent.glob("gpu-broker.db*"):
        file.unlink()
    arguments = ("cleanup-orphans", "--simulate", "--database", apart.database)

    shown = apart.ask(*arguments, "--force")["machines"]
    failing = json.dumps([{"fault": "error", "operation": "destroy", "times": 1}])
    unserved = CommandLine(apart.folder, {**apart.environment, "SIMULATOR_FAULTS": failing})
    failed = unserved.run(*arguments, "--force", "--execute")
    destroyed = apart.ask(*arguments, "--force", "--execute")["machines"]
    left = apart.succeed(*arguments)

    assert [(row["verdict"], row["destroyed"]) for row in shown] == [("orphaned", False)]
    assert failed.returncode == 1
    assert "Destroying failed" in failed.stderr
    assert [(row["verdict"], row["destroyed"]) for row in destroyed] == [("orphaned", True)]
    assert left == "No machine carries a label of a gpu-broker.\n"


@pytest.mark.parametrize("command", [("cleanup-orphans", "--execute"), ("sweep", "--once")])
def test_an_operator_who_interrupts_learns_what_goes_on(
    apart: CommandLine, command: tuple[str, ...]
) -> None:
    """Whatever was asked for is not undone by Ctrl-C."""
    slow = json.dumps([{"fault": "slow", "operation": "list", "delay": "10m", "times": 9}])
    slowed = CommandLine(apart.folder, {**apart.environment, "SIMULATOR_FAULTS": slow})
    process = slowed.start(*command, "--simulate", "--database", apart.database)
    wait_until(Path(apart.database).with_name("simulator.db").exists)

    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "goes on there" in stderr.splitlines()[-1]


def test_a_sweep_without_a_broker_ends_what_is_over(apart: CommandLine) -> None:
    """It explains first; `--once` acts."""
    with serving(apart):
        session_id = apart.ask(*RENT)["session"]["id"]
        apart.succeed("sessions", "done", session_id)
    arguments = ("sweep", "--simulate", "--database", apart.database)

    explained = apart.ask(*arguments)
    acted = apart.ask(*arguments, "--once")

    assert (explained["dry_run"], acted["dry_run"]) == (True, False)
    assert apart.ask(*arguments)["actions"] == []
