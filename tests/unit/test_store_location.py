"""What names a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.errors import StartupError
from broker.store.location import database_path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/var/lib/broker.db", Path("/var/lib/broker.db")),
        ("sqlite:////var/lib/broker.db", Path("/var/lib/broker.db")),
        ("data/broker.db", Path.cwd() / "data/broker.db"),
        ("sqlite:///data/broker.db", Path.cwd() / "data/broker.db"),
        ("~/broker.db", Path.home() / "broker.db"),
    ],
)
def test_a_path_and_a_url_name_a_file(url: str, path: Path) -> None:
    """Three slashes are a relative path, four an absolute one."""
    assert path == database_path(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://user:pass@db/broker", "kind postgresql is not supported"),
        ("sqlite:///:memory:", "has to be a file"),
        (":memory:", "has to be a file"),
        ("", "has to be a file"),
    ],
)
def test_what_is_no_file_is_refused(url: str, why: str) -> None:
    """The message says so, and keeps the credentials to itself."""
    with pytest.raises(StartupError, match=why) as refused:
        database_path(url)
    assert "pass" not in str(refused.value)
