"""The flags that become settings: `serve`, `check-config`, and the commands without a broker."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from broker.cli.exits import WronglySetUp
from broker.cli.local import load, settings_options
from tests.unit.cli_stub import gpu_broker

pytestmark = pytest.mark.usefixtures("folder", "_bare_environment")


@pytest.fixture
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        monkeypatch.delenv(name)


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
