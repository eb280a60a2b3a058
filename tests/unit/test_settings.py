"""The settings: where they come from, what wins, and how they are shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from broker.config import Settings, load_settings, present_settings
from broker.config.names import environment_names, setting_paths
from tests.unit.configurations import SECRET, write

pytestmark = pytest.mark.usefixtures("folder")


def test_nothing_at_all_gives_the_documented_defaults(folder: Path) -> None:
    """The defaults of the documented table hold without any configuration."""
    settings = load_settings(file=None, environment={})

    assert settings.server.host == "127.0.0.1"
    assert settings.server.port == 8080
    assert settings.database_path == folder / "data" / "gpu-broker.db"
    assert settings.data_dir == folder / "data"
    assert settings.lifecycle.check_interval == timedelta(seconds=5)
    assert settings.lifecycle.hard_max == timedelta(hours=12)
    assert settings.lifecycle.price_tolerance == Decimal("0.05")
    assert settings.inventory.backoff_ttl == timedelta(minutes=5)
    assert settings.ssh.verify_timeout == timedelta(minutes=15)
    assert settings.providers.simulator.drift == timedelta(seconds=30)
    assert settings.enabled_providers == ()


def test_each_source_beats_the_one_below_it(folder: Path) -> None:
    """Flags beat the environment, which beats .env, which beats the file, which beats defaults."""
    file = write(folder, "server: {port: 1}\n")

    def port(environment: Mapping[str, str], flags: Mapping[str, object]) -> int:
        return load_settings(file=file, environment=environment, flags=flags).server.port

    assert port({}, {}) == 1
    write(folder, "SERVER_PORT=2\n", ".env")
    assert port({}, {}) == 2
    assert port({"SERVER_PORT": "3"}, {}) == 3
    assert port({"SERVER_PORT": "3"}, {"server.port": 4}) == 4
    assert port({"SERVER_PORT": "3"}, {"server.port": None}) == 3


def test_the_env_file_lies_beside_the_yaml_file(folder: Path) -> None:
    """With a YAML file its neighbour is read, without one that of the working directory."""
    (folder / "etc").mkdir()
    write(folder, "SERVER_PORT=1\n", ".env")
    write(folder / "etc", "SERVER_PORT=2\n", ".env")
    file = write(folder / "etc", "")

    assert load_settings(file=None, environment={}).server.port == 1
    assert load_settings(file=file, environment={}).server.port == 2


def test_the_env_file_stays_out_of_the_process_environment(folder: Path) -> None:
    """Reading .env changes nothing for the process, and takes nothing from it."""
    write(folder, "VASTAI_API_KEY=a$HOME\n", ".env")

    settings = load_settings(file=None, environment={})

    assert settings.providers.vastai.api_key is not None
    assert settings.providers.vastai.api_key.get_secret_value() == "a$HOME"
    assert "VASTAI_API_KEY" not in os.environ


def test_the_env_file_may_hold_comments_quotes_and_the_clients_address(folder: Path) -> None:
    """What people write into .env files is understood."""
    text = "# a comment\n\nexport LIFECYCLE_LOST_AFTER='3s'\nGPU_BROKER_URL=http://127.0.0.1:1\n"
    write(folder, text, ".env")

    settings = load_settings(file=None, environment={})

    assert settings.lifecycle.lost_after == timedelta(seconds=3)


@pytest.mark.parametrize(
    ("variable", "text", "path", "expected"),
    [
        ("SERVER_HOST", "::1", "server.host", "::1"),
        ("DATABASE_PATH", "x.db", "database.url", "x.db"),
        ("DATABASE_URL", "x.db", "database.url", "x.db"),
        ("LOG_LEVEL", "DEBUG", "logging.level", "debug"),
        ("LOG_FORMAT", "json", "logging.format", "json"),
        ("DEPLOYMENT_ID", "blue", "lifecycle.deployment_id", "blue"),
        ("LIFECYCLE_CHECK_INTERVAL", "500ms", "lifecycle.check_interval", "500ms"),
        ("RECONCILIATION_INTERVAL", "1s", "lifecycle.reconciliation_interval", "1s"),
        ("ORPHAN_GRACE_PERIOD", "0s", "lifecycle.orphan_grace_period", "0s"),
        ("HARD_MAX_HOURS", "0.5", "lifecycle.hard_max_hours", 0.5),
        ("LIFECYCLE_LOST_AFTER", "2s", "lifecycle.lost_after", "2s"),
        ("LIFECYCLE_PRICE_TOLERANCE", "7.5%", "lifecycle.price_tolerance", "7.5%"),
        ("LIFECYCLE_IDLE_POLICY", "observe", "lifecycle.idle_policy", "observe"),
        ("INVENTORY_CACHE_TTL", "1s", "inventory.cache_ttl", "1s"),
        ("INVENTORY_BACKOFF_TTL", "2s", "inventory.backoff_ttl", "2s"),
        ("SSH_VERIFY_TIMEOUT", "1h30m", "ssh.verify_timeout", "1h30m"),
        ("SSH_CHECK_INTERVAL", "100ms", "ssh.check_interval", "100ms"),
        ("SIMULATOR_BOOT_TIME", "0", "providers.simulator.boot_time", "0s"),
        ("SIMULATOR_DRIFT", "0s", "providers.simulator.drift", "0s"),
        ("VASTAI_API_KEY", SECRET, "providers.vastai.api_key", "***"),
        ("VAST_API_KEY", SECRET, "providers.vastai.api_key", "***"),
        ("VASTAI_API_URL", "http://127.0.0.1:1/", "providers.vastai.api_url", "http://127.0.0.1:1"),
        ("VASTAI_PACE", "0", "providers.vastai.pace", 0),
        ("TENSORDOCK_API_TOKEN", SECRET, "providers.tensordock.api_token", "***"),
        ("TENSORDOCK_AUTH_ID", SECRET, "providers.tensordock.auth_id", "***"),
        ("TENSORDOCK_PACE", "0.5", "providers.tensordock.pace", 0.5),
        ("TENSORDOCK_DEFAULT_IMAGE", "ubuntu", "providers.tensordock.default_image", "ubuntu"),
    ],
)
def test_the_documented_variables_set_their_keys(
    variable: str, text: str, path: str, expected: object
) -> None:
    """Every variable of the documented table arrives where the table says."""
    shown: object = present_settings(load_settings(file=None, environment={variable: text}))
    for word in path.split("."):
        assert isinstance(shown, dict)
        shown = shown[word]

    assert expected == shown


def test_every_key_can_be_set_by_its_path_in_capitals() -> None:
    """Each key has its path as a variable, and no variable means two keys."""
    names = [name for path in setting_paths() for name in environment_names(path)]

    assert "PROVIDERS_SIMULATOR_MARKET_FILE" in names
    assert {path.upper().replace(".", "_") for path in setting_paths()} <= set(names)
    assert len(set(names)) == len(names)


def test_the_data_folder_is_the_databases_unless_it_is_told(folder: Path) -> None:
    """Without BROKER_DATA_DIR, keys lie beside the database."""
    beside = load_settings(file=None, environment={"DATABASE_PATH": "a/b.db"})
    told = load_settings(file=None, environment={"BROKER_DATA_DIR": "c"})

    assert beside.data_dir == folder / "a"
    assert told.data_dir == folder / "c"


def test_a_database_address_of_sqlite_means_its_file() -> None:
    """`sqlite:///` and a plain path are the same."""
    settings = load_settings(file=None, environment={"DATABASE_URL": "sqlite:////tmp/x.db"})

    assert settings.database_path == Path("/tmp/x.db").resolve()  # noqa: S108 (never opened)


def test_misfortunes_come_as_a_list_from_the_file_or_as_json(folder: Path) -> None:
    """The simulator's faults are mappings, in an environment variable as JSON."""
    file = write(folder, "providers: {simulator: {faults: [{fault: slow, delay: 2s}]}}\n")
    variable = {"SIMULATOR_FAULTS": '[{"fault": "slow", "delay": "2s"}]'}

    from_file = load_settings(file=file, environment={})
    from_variable = load_settings(file=None, environment=variable)

    assert from_file.providers.simulator.faults == ({"fault": "slow", "delay": "2s"},)
    assert from_file.providers.simulator.faults == from_variable.providers.simulator.faults


def test_the_configured_marketplaces_are_named(folder: Path) -> None:
    """A key, a token or the switch of the simulator enables a provider."""
    environment = {"VASTAI_API_KEY": SECRET, "TENSORDOCK_API_TOKEN": SECRET}
    flags = {"providers.simulator.enabled": True}

    settings = load_settings(file=None, environment=environment, flags=flags)

    assert settings.enabled_providers == ("vastai", "tensordock", "simulator")


def test_an_empty_variable_sets_nothing() -> None:
    """Compose files pass on what is not set as an empty text."""
    environment = {"VASTAI_API_KEY": "", "LOG_LEVEL": "", "SERVER_PORT": ""}

    assert load_settings(file=None, environment=environment) == Settings()


def test_an_empty_secret_is_none(folder: Path) -> None:
    """A blank key enables nothing."""
    file = write(folder, "providers: {vastai: {api_key: ''}, tensordock: {api_token: ' '}}\n")

    assert load_settings(file=file, environment={}).enabled_providers == ()


def test_an_explicit_grace_can_be_told_from_the_default(folder: Path) -> None:
    """Machines older than the database obey the grace only where somebody set it."""
    same = write(folder, "lifecycle: {orphan_grace_period: 5m}\n")

    default = load_settings(file=None, environment={})
    explicit = load_settings(file=same, environment={})

    assert not default.lifecycle.orphan_grace_is_explicit
    assert explicit.lifecycle.orphan_grace_is_explicit


def test_settings_are_frozen() -> None:
    """Nobody changes a setting at run time."""
    with pytest.raises(ValidationError):
        Settings().server.port = 1  # type: ignore[misc]


def test_an_empty_file_and_empty_sections_set_nothing(folder: Path) -> None:
    """Commenting everything out leaves the defaults."""
    for text in ("", "# nothing\n", "server:\nlifecycle:\n  lost_after:\n"):
        assert load_settings(file=write(folder, text), environment={}) == Settings()


def test_every_secret_is_handed_to_whoever_masks_them() -> None:
    """The log learns all of them from one place."""
    environment = {
        "VASTAI_API_KEY": "key-1",
        "TENSORDOCK_API_TOKEN": "key-2",
        "TENSORDOCK_AUTH_ID": "key-3",
    }

    settings = load_settings(file=None, environment=environment)

    assert set(settings.secrets) == {"key-1", "key-2", "key-3"}


def test_secrets_are_in_no_text_of_the_settings() -> None:
    """Neither repr nor str nor what is shown to people holds a key."""
    environment = {
        "VASTAI_API_KEY": SECRET,
        "TENSORDOCK_API_TOKEN": SECRET,
        "TENSORDOCK_AUTH_ID": SECRET,
    }

    settings = load_settings(file=None, environment=environment)

    for text in (repr(settings), str(settings), str(present_settings(settings))):
        assert SECRET not in text
    assert settings.providers.vastai.api_key is not None
    assert settings.providers.vastai.api_key.get_secret_value() == SECRET
