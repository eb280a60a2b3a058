"""What a deployment keeps for ever: its id, its own SSH key, the key of its sealed columns."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from broker.config.fields import parse_name
from broker.effects import Effect, effect
from broker.errors import StartupError
from broker.ssh.keys import KeyPair, load_or_create
from broker.store import Store

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_LENGTH = 8
DEPLOYMENT_ID = "deployment_id"
"""The key in `meta` under which a database remembers the id."""
_IN_LABELS = "the second word of the labels (gpub-ID-...) of this broker's machines"


def prepare_data_dir(data_dir: Path) -> None:
    """The folder of everything that is not in the database; raises StartupError."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = data_dir / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        message = f"data_dir {data_dir} cannot be written: {error.strerror}. Set BROKER_DATA_DIR."
        raise StartupError(message) from error


def require_database(path: Path, data_dir: Path) -> None:
    """Raise StartupError for an empty file where a deployment has had its database."""
    if path.exists() and not path.stat().st_size and _file_of_id(data_dir).exists():
        raise StartupError(
            f"The database {path} is empty, although a broker has worked here; put a backup in its "
            "place with `gpu-broker restore FILE`, or remove it to begin without its sessions."
        )


def sealing_key(data_dir: Path) -> bytes:
    """The key of the sealed columns, made at the first start."""
    path = data_dir / "secret.key"
    if not path.exists():
        _write_once(path, Fernet.generate_key().decode())
    return path.read_bytes().strip()


def own_key(data_dir: Path) -> KeyPair:
    """The broker's own SSH key, made at the first start."""
    return load_or_create(data_dir / "broker_ed25519")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Which broker this is, in the labels of its machines."""

    id: str
    is_new: bool
    """Nobody remembered an id: it was made at this start."""


async def ensure_deployment(store: Store, data_dir: Path, configured: str | None) -> Deployment:
    """The deployment, remembered in the database and beside it: either restores the other.

    Raises StartupError as `known_deployment` does.
    """
    known = await known_deployment(store, data_dir, configured)
    deployment_id = known or _new_id()
    if await store.meta(DEPLOYMENT_ID) != deployment_id:
        await store.set_meta(DEPLOYMENT_ID, deployment_id)
    path = _file_of_id(data_dir)
    if not path.exists() or path.read_bytes() != f"{deployment_id}\n".encode():
        _write_once(path, deployment_id)
    return Deployment(deployment_id, is_new=known is None)


async def known_deployment(
    store: Store | None, data_dir: Path, configured: str | None
) -> str | None:
    """The deployment id, as `agreed_id` tells it. Raises StartupError."""
    remembered = await store.meta(DEPLOYMENT_ID) if store is not None else None
    return agreed_id(remembered, data_dir, configured)


def agreed_id(remembered: str | None, data_dir: Path, configured: str | None) -> str | None:
    """The deployment id: as it is configured, or as database and data folder remember it.

    None where nobody does. Raises StartupError for a file that holds no id, and where the two
    do not agree: whoever takes the wrong one takes its own machines for another broker's.
    """
    if configured:
        return configured
    path = _file_of_id(data_dir)
    on_disk = _read_id(path, remembered) if path.exists() else None
    if remembered and on_disk and remembered != on_disk:
        raise StartupError(
            f"{path} holds the deployment id {on_disk}, and the database {remembered}. Set "
            f"DEPLOYMENT_ID to the one that is {_IN_LABELS}."
        )
    return remembered or on_disk


def _file_of_id(data_dir: Path) -> Path:
    return data_dir / "deployment-id"


def _read_id(path: Path, remembered: str | None) -> str:
    try:
        return parse_name(path.read_text("utf-8").strip())
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}. Let this user read and write it."
        raise StartupError(message) from error
    except ValueError as error:
        remedy = (
            f"The database remembers {remembered}: remove the file, and it is written anew."
            if remembered
            else f"Put it back from a backup, or set DEPLOYMENT_ID to what is {_IN_LABELS}."
        )
        raise StartupError(f"{path} does not hold a deployment id. {remedy}") from error


def _new_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def _write_once(path: Path, text: str) -> None:
    """A whole file of mode 0600, or none."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with effect(Effect.WRITE_FILE):
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
