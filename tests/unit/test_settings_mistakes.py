"""Mistakes in the configuration: all of them at once, each at its path, without any secret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from broker.config import ConfigurationError, Settings, load_settings
from broker.errors import StartupError
from tests.unit.configurations import SECRET, problems_of, write

pytestmark = pytest.mark.usefixtures("folder")

EVERYWHERE = "0.0.0.0"  # noqa: S104 (the point of these tests)


def test_every_mistake_of_every_source_is_told_at_once(folder: Path) -> None:
    """One start shows them all, each with its path."""
    file = write(
        folder,
        "server:\n  port: 70000\n  hsot: x\n"
        "lifecycle:\n  check_interval: 5\n  lost_after: soon\n  price_tolerance: 0.05\n"
        "inventory: 3\nextra: 1\n",
    )
    write(folder, "SERVER_PROT=1\nnonsense\n", ".env")
    environment = {"LIFECYCLE_CHEK_INTERVAL": "1s", "LOG_LEVEL": "loud", "SERVER_HOST": EVERYWHERE}

    problems = problems_of(file, environment, {"server.color": "red"})

    env_file = str(folder / ".env")
    assert set(problems) == {
        "server.port",
        "server.hsot",
        "lifecycle.check_interval",
        "lifecycle.lost_after",
        "lifecycle.price_tolerance",
        "inventory",
        "extra",
        "SERVER_PROT",
        f"{env_file}, line 2",
        "LIFECYCLE_CHEK_INTERVAL",
        "logging.level",
        "server.host",
        "server.color",
    }
    assert problems["server.hsot"] == "is not a setting (in config.yaml); did you mean host?"
    assert problems["SERVER_PROT"] == f"is not a setting ({env_file}); did you mean SERVER_PORT?"
    assert problems["LIFECYCLE_CHEK_INTERVAL"] == (
        "is not a setting; did you mean LIFECYCLE_CHECK_INTERVAL?"
    )
    assert problems["lifecycle.check_interval"].startswith("5 has no unit: write 5s or 5m")
    assert problems["inventory"].startswith("must be a section with the keys cache_ttl,")
    assert problems["logging.level"].endswith("(from LOG_LEVEL)")


def test_the_error_reads_as_a_list_and_ends_a_start() -> None:
    """Its text names every problem, and whoever handles a failed start handles it."""
    with pytest.raises(StartupError) as caught:
        load_settings(file=None, environment={"SERVER_PORT": "x", "LOG_FORMAT": "y"})

    assert str(caught.value).splitlines() == [
        "The configuration has 2 problems:",
        "  server.port: must be a whole number (from SERVER_PORT)",
        "  logging.format: must be 'text' or 'json' (from LOG_FORMAT)",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "SSH_AUTH_SOCK",
        "SSH_CONNECTION",
        "SERVER_NAME",
        "DATABASE_USER",
        "DATABASE_HOST",
        "VAST_URL",
    ],
)
def test_variables_of_other_programs_are_left_alone(name: str) -> None:
    """Only what looks like one of our settings is reported."""
    assert load_settings(file=None, environment={name: "x"}) == Settings()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SERVER_PROT", "SERVER_PORT"),
        ("SSH_VERIFY_TIMOUT", "SSH_VERIFY_TIMEOUT"),
        ("PROVIDERS_VASTAI_APIKEY", "PROVIDERS_VASTAI_API_KEY"),
        ("TENSORDOCK_API_TOKN", "TENSORDOCK_API_TOKEN"),
    ],
)
def test_a_slip_in_a_variables_name_is_told(name: str, meant: str) -> None:
    """A setting that would silently not work is reported with the name that was meant."""
    problems = problems_of(environment={name: "1s"})

    assert problems == {name: f"is not a setting; did you mean {meant}?"}


def test_a_variable_of_our_own_section_is_reported_even_without_a_likeness() -> None:
    """Nobody but the broker has a LIFECYCLE_ section."""
    assert problems_of(environment={"LIFECYCLE_COLOUR": "red"}) == {
        "LIFECYCLE_COLOUR": "is not a setting"
    }


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"SERVER_HOST": EVERYWHERE}, "server.host"),
        ({"SERVER_HOST": "::"}, "server.host"),
        ({"SERVER_HOST": "broker.example"}, "server.host"),
        ({"INVENTORY_CACHE_TTL": "10m", "INVENTORY_BACKOFF_TTL": "1m"}, "inventory.backoff_ttl"),
        ({"DATABASE_PATH": "a.db", "DATABASE_URL": "b.db"}, "database.url"),
        ({"SIMULATOR_MARKET_FILE": "missing.json"}, "providers.simulator.market_file"),
    ],
)
def test_contradictions_are_refused(environment: Mapping[str, str], path: str) -> None:
    """What cannot be true together, or is not there, is told before anything starts."""
    assert set(problems_of(environment=environment)) == {path}


@pytest.mark.parametrize(
    "environment",
    [
        {"SERVER_HOST": EVERYWHERE, "SERVER_ALLOW_OPEN": "true"},
        {"SERVER_HOST": "localhost"},
        {"SERVER_HOST": "127.1.2.3"},
        {"INVENTORY_BACKOFF_TTL": "1s"},
        {"INVENTORY_CACHE_TTL": "1h"},
        {"DATABASE_PATH": "a.db", "DATABASE_URL": "a.db"},
    ],
)
def test_what_only_looks_like_a_contradiction_is_accepted(environment: Mapping[str, str]) -> None:
    """A default that was never written contradicts nobody."""
    load_settings(file=None, environment=environment)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SERVER_PORT", "-1"),
        ("SERVER_PORT", "65536"),
        ("SERVER_PORT", "80.5"),
        ("SERVER_HOST", " "),
        ("SERVER_ALLOW_OPEN", "perhaps"),
        ("DEPLOYMENT_ID", ""),
        ("DEPLOYMENT_ID", "a\tb"),
        ("DEPLOYMENT_ID", "x" * 129),
        ("DATABASE_PATH", ":memory:"),
        ("DATABASE_URL", "postgresql://user:word@host/name"),
        ("LIFECYCLE_CHECK_INTERVAL", "0s"),
        ("LIFECYCLE_LOST_AFTER", "-1s"),
        ("LIFECYCLE_LOST_AFTER", "9" * 30 + "h"),
        ("HARD_MAX_HOURS", "0"),
        ("HARD_MAX_HOURS", "nan"),
        ("HARD_MAX_HOURS", "1e9"),
        ("VASTAI_PACE", "-1"),
        ("VASTAI_PACE", "inf"),
        ("VASTAI_API_URL", "console.vast.ai"),
        ("VASTAI_API_URL", "https://user:word@console.vast.ai"),
        ("VASTAI_API_URL", "https://user@console.vast.ai"),
        ("VASTAI_API_URL", "https://console.vast.ai?a=b"),
        ("SIMULATOR_FAULTS", "slow"),
        ("SIMULATOR_FAULTS", '["slow"]'),
        ("SIMULATOR_OFFERS", "0"),
    ],
)
def test_values_out_of_their_bounds_are_refused(variable: str, text: str) -> None:
    """Each is one problem that names where the value stands."""
    (message,) = problems_of(environment={variable: text}).values()

    assert message.endswith(f"(from {variable})")


@pytest.mark.parametrize(
    "text",
    [
        "server: {port: yes}",
        "server: {host: 1}",
        "server: {allow_open: 7}",
        "lifecycle: {hard_max_hours: true}",
        "lifecycle: {check_interval: true}",
        "lifecycle: {check_interval: [1s]}",
        "lifecycle: {deployment_id: 12345}",
        "data_dir: ''",
        "providers: {simulator: {faults: {fault: slow}}}",
        "providers: {vastai: {api_key: 12345}}",
    ],
)
def test_values_of_a_wrong_type_are_refused(folder: Path, text: str) -> None:
    """YAML's own types are not bent into ours."""
    (message,) = problems_of(write(folder, text)).values()

    assert message.endswith("(in config.yaml)")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("server: {port: 1", "line 1 is not YAML"),
        ("server:\n\tport: 1\n", "line 2 is not YAML"),
        ("- server\n", "must hold sections"),
        ("just words\n", "must hold sections"),
        ("a: !!python/object/apply:os.getcwd []\n", "line 1 is not YAML"),
        ("a: \x00\n", "is not YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_one_clear_problem(folder: Path, text: str, told: str) -> None:
    """It names the file and, where there is one, the line."""
    file = write(folder, text)

    problems = problems_of(file)

    assert list(problems) == [str(file)]
    assert told in problems[str(file)]


def test_a_file_that_cannot_be_read_is_one_clear_problem(folder: Path) -> None:
    """Missing, a folder, or not text: told, not raised."""
    binary = folder / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x01")

    for file in (folder / "missing.yaml", folder, binary):
        assert "cannot be read" in problems_of(file)[str(file)]


def test_a_key_that_stands_twice_is_reported_with_its_lines(folder: Path) -> None:
    """The second one would silently win."""
    file = write(folder, "server:\n  port: 1\nlogging: {level: info}\nserver:\n  host: '::1'\n")

    assert problems_of(file) == {f"{file}, line 4": "server stands already in line 1"}


def test_secrets_are_in_no_problem(folder: Path) -> None:
    """A key that cannot be right is refused without being repeated."""
    yaml_file = write(folder, f"providers: {{vastai: {{api_key: [{SECRET}]}}}}\n")
    write(folder, f"VASTAI_API_KEY {SECRET}\nTENSORDOCK_API_TOKEN='{SECRET} x'\n", ".env")

    with pytest.raises(ConfigurationError) as caught:
        load_settings(
            file=yaml_file,
            environment={"DATABASE_URL": f"postgresql://u:{SECRET}@h/d", "VAST_API_KEY": SECRET},
        )

    assert SECRET not in str(caught.value)
    assert "database.url" in str(caught.value)
