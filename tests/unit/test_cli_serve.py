"""The flags that become settings: `serve`, `check-config`, and the commands without a broker."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from broker.cli.exits import WronglySetUp
from broker.cli.local import load, settings_options
from tests.unit.cli_stub import gpu_broker

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], None),
        (["--simulate"], ""),
        (["--simulate", "--database", "x.db"], ""),
        (["--simulate", "market.json"], "market.json"),
        (["--simulate=market.json", "--database", "x.db"], "market.json"),
    ],
)
def test_simulate_takes_a_file_or_nothing(arguments: list[str], expected: str | None) -> None:
    """The flag alone means the default market, and never swallows the next option."""
    seen: list[str | None] = []

    @click.command()
    @settings_options
    def command(simulate: str | None, **_: object) -> None:
        seen.append(simulate)

    CliRunner().invoke(command, arguments, catch_exceptions=False)

    assert seen == [expected]


def test_flags_become_settings(folder: Path) -> None:
    """Host, port, database and the recorded market."""
    (folder / "market.json").write_text("[]")

    settings = load(config=None, database="x.db", simulate="market.json", host="::1", port=9999)

    assert (settings.server.host, settings.server.port) == ("::1", 9999)
    assert settings.database_path == folder / "x.db"
    assert settings.providers.simulator.enabled
    assert settings.providers.simulator.market_file == folder / "market.json"


def test_simulate_alone_is_the_default_market() -> None:
    """No file is looked for."""
    settings = load(config=None, database=None, simulate="")

    assert settings.enabled_providers == ("simulator",)
    assert settings.providers.simulator.market_file is None


def test_every_mistake_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, each with its path."""
    monkeypatch.setenv("SERVER_PORT", "eighty")
    monkeypatch.setenv("LIFECYCLE_LOST_AFTER", "soon")

    with pytest.raises(WronglySetUp) as caught:
        load(config=None, database=None, simulate=None)

    paths = {line.partition(":")[0] for line in caught.value.message.splitlines()}
    assert paths == {"server.port", "lifecycle.lost_after"}


@pytest.mark.parametrize(
    "command",
    [("serve",), ("check-config",), ("sweep", "--once"), ("cleanup-orphans",)],
    ids=" ".join,
)
def test_a_wrong_configuration_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Before anything starts, whatever the command."""
    monkeypatch.setenv("SERVER_PORT", "eighty")

    result = gpu_broker(*command)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: server.port: must be a whole number")


@pytest.mark.parametrize("deployment", ["", " ", "a\nb", "x" * 300])
def test_a_deployment_that_no_broker_can_have_is_refused(deployment: str) -> None:
    """What the setting does not take names nobody's machines."""
    result = gpu_broker("cleanup-orphans", "--simulate", "--execute", "--deployment", deployment)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: lifecycle.deployment_id: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("words", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("{}", "is no recorded market"),
        ('{"offers": 3}', "is no recorded market"),
        ("[1, 2]", "is no recorded market"),
    ],
    ids=["words", "depth", "empty", "number", "numbers"],
)
@pytest.mark.parametrize(
    "command", [("serve",), ("check-config",), ("sweep", "--once")], ids=" ".join
)
def test_a_recording_that_is_no_market_is_a_wrong_configuration(
    folder: Path, command: tuple[str, ...], text: str, told: str
) -> None:
    """One line with the setting and the file."""
    file = folder / "market.json"
    file.write_text(text)

    result = gpu_broker(*command, "--simulate", str(file))

    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert line.startswith(f"Error: providers.simulator.market_file: {file} {told}")
    assert line.endswith("(on the command line)")


@pytest.mark.parametrize("command", [("serve", "--simulate"), ("check-config",)], ids=" ".join)
def test_every_mistake_in_every_misfortune_is_told_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Each with its number in the list and its field."""
    monkeypatch.setenv("SERVER_PORT", "eighty")
    faults = '[{"fault": "zzz"}, {"fault": "slow"}, {"fault": "slow", "times": 0, "colour": 1}]'
    monkeypatch.setenv("SIMULATOR_FAULTS", faults)

    result = gpu_broker(*command)

    lines = dict(line.removeprefix("Error: ").split(": ", 1) for line in result.stderr.splitlines())
    assert (result.exit_code, result.stdout) == (2, "")
    assert set(lines) == {
        "server.port",
        "providers.simulator.faults.0.fault",
        "providers.simulator.faults.2.times",
        "providers.simulator.faults.2.colour",
    }
    assert all("(from S" in message for message in lines.values())


def test_a_misfortune_of_the_yaml_file_is_told_with_its_place(folder: Path) -> None:
    """And with the file."""
    file = folder / "config.yaml"
    file.write_text("providers: {simulator: {faults: [{fault: slow, delay: soon}]}}")

    result = gpu_broker("check-config", "--config", str(file))

    assert 2 == result.exit_code
    assert result.stderr.startswith("Error: providers.simulator.faults.0.delay: must be a duration")
    assert result.stderr.endswith("(in config.yaml)\n")


def test_an_account_that_cannot_be_opened_ends_a_start_with_a_sentence(folder: Path) -> None:
    """No adapter's error leaves the process as it is."""
    (folder / "simulator.db").write_bytes(b"no database " * 1000)

    result = gpu_broker(
        *("sweep", "--once", "--simulate", "--database", str(folder / "broker.db")),
    )

    (line,) = result.stderr.splitlines()
    assert (2, "") == (result.exit_code, result.stdout)
    assert line.startswith("Error: The provider simulator cannot be opened: The simulated account")


def test_serve_without_a_provider_says_how_to_set_one() -> None:
    """Or how to try the simulated market."""
    result = gpu_broker("serve")

    assert result.exit_code == 2
    assert "VASTAI_API_KEY" in result.stderr
    assert "--simulate" in result.stderr


def test_check_config_shows_every_setting_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dotted paths, values as they are written, secrets masked."""
    monkeypatch.setenv("VASTAI_API_KEY", "key-4711")

    result = gpu_broker("check-config")

    shown = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert result.exit_code == 0
    assert shown["server.port"] == "8080"
    assert shown["lifecycle.lost_after"] == "2m"
    assert shown["providers.vastai.api_key"] == "***"
    assert "4711" not in result.output
