"""Where the database is."""

from __future__ import annotations

from pathlib import Path

from broker.errors import StartupError

_SCHEME = "sqlite:///"


def database_path(url: str) -> Path:
    """The absolute path in `url`: a path, or `sqlite:///` and a path. Raises StartupError."""
    name = url.removeprefix(_SCHEME)
    if "://" in name:
        raise StartupError(
            f"A database of the kind {name.split('://')[0]} is not supported; "
            f"name a file, or {_SCHEME} and a file."
        )
    if name in {"", ":memory:"}:
        raise StartupError("The database has to be a file, so that it survives the broker.")
    return Path(name).expanduser().absolute()
