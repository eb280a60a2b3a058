"""Where private keys and host keys of rented machines are kept for `ssh` and `cp`.

    $XDG_STATE_HOME/gpu-broker   (else ~/.local/state/gpu-broker), 0700
        keys/SESSION             the key, 0600, or a link to where the person wanted it
        known_hosts/SESSION      the host key that the broker proved, 0600

A key is returned once and never again. So the place for it is taken before anything is
rented: a full disk or a read-only folder costs nothing.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from broker.cli.exits import CommandFailed

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def state_folder() -> Path:
    """Where this person's keys are remembered."""
    base = os.environ.get("XDG_STATE_HOME", "")
    parent = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return parent / "gpu-broker"


def remembered(session_id: str) -> Path:
    """The place of a session's key, whether or not there is one."""
    return _folder("keys") / _checked(session_id)


def find(session_id: str, given: str | None = None) -> Path | None:
    """The key to log in with: the `given` file, else the remembered one, else None."""
    if given is not None:
        return Path(given)
    place = remembered(session_id)
    if place.is_symlink() and not place.exists():
        raise CommandFailed(
            f"The key of {session_id} was saved as {place.readlink()}, which is gone. "
            "Name the file with --key."
        )
    return place if place.exists() else None


def remember(session_id: str, key_file: Path) -> None:
    """Let `find` lead to a file that the person keeps."""
    place = remembered(session_id)
    place.unlink(missing_ok=True)
    place.symlink_to(key_file.expanduser().absolute())


def store_known_hosts(session_id: str, lines: Iterable[str]) -> Path:
    """A known_hosts file that holds exactly `lines`."""
    path = _folder("known_hosts") / _checked(session_id)
    draft = _draft(path.parent)
    draft.write_text("".join(f"{line}\n" for line in lines))
    return draft.replace(path)


def save_options(command: click.decorators.FC) -> click.decorators.FC:
    """`--save-key FILE` and `--force`, as `reserved` takes them."""
    command = click.option("--force", is_flag=True, help="Let --save-key overwrite FILE.")(command)
    return click.option(
        "--save-key", metavar="FILE", help="Keep the private key in FILE (mode 0600)."
    )(command)


class Place:
    """A file that waits for a private key. Where no key comes it leaves no trace."""

    def __init__(self, draft: Path, target: Path | None) -> None:
        self._draft = draft
        self._target = target
        self._is_kept = False

    def keep(self, session_id: str, key: str) -> Path:
        """Write the key for good (0600), remember it for its session; where it lies now."""
        with self._draft.open("w") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        self._is_kept = True
        path = self._draft.replace(self._target or remembered(session_id))
        if self._target is not None:
            remember(session_id, path)
        return path

    def release(self) -> None:
        if not self._is_kept:
            with suppress(FileNotFoundError):
                self._draft.unlink()


@contextmanager
def reserved(save_as: str | None, *, overwrite: bool = False) -> Iterator[Place]:
    """A place for a key, proved writable before it is needed.

    With `save_as` it is that file; one that exists is wrong usage unless `overwrite`.
    """
    place = _place(save_as, overwrite=overwrite)
    try:
        yield place
    finally:
        place.release()


def keep_issued(
    place: Place, session_id: str, private_key: str | None, own_key: str | None
) -> Path | None:
    """Keep the key that was made, or find the private half of `own_key`; where it lies.

    `own_key` is what `--ssh-public-key` was given. Raises CommandFailed.
    """
    if private_key:
        try:
            return place.keep(session_id, private_key)
        except OSError as error:
            raise CommandFailed(
                f"The key of {session_id} cannot be written ({error.strerror}) and is lost. "
                f"`gpu-broker sessions rekey {session_id}` makes another, "
                f"`gpu-broker sessions delete {session_id}` ends the session."
            ) from error
    private_half = _private_half(own_key) if own_key else None
    if private_half is not None:
        remember(session_id, private_half)
    return private_half


def refuse_file_for_own_key(save_key: str | None, own_key: str | None) -> None:
    """Raise click.UsageError where there will be no private key to save."""
    if save_key is not None and own_key is not None:
        raise click.UsageError("With --ssh-public-key there is no private key to --save-key.")


def _private_half(public_key: str) -> Path | None:
    """The file that OpenSSH puts beside `NAME.pub`."""
    if not public_key.endswith(".pub"):
        return None
    path = Path(public_key.removesuffix(".pub")).expanduser()
    return path if path.is_file() else None


def _place(save_as: str | None, *, overwrite: bool) -> Place:
    try:
        if save_as is None:
            return Place(_draft(_folder("keys")), None)
        target = Path(save_as).expanduser()
        if overwrite:
            return Place(_draft(target.parent), target)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as error:
        raise click.UsageError(f"{save_as} exists; --force overwrites it.") from error
    except OSError as error:
        raise click.UsageError(
            f"The key cannot be saved: {error.strerror}: {error.filename}."
        ) from error
    return Place(target, target)


def _draft(folder: Path) -> Path:
    """A new empty file, 0600."""
    handle, name = tempfile.mkstemp(prefix=".gpu-broker-", dir=folder)
    os.close(handle)
    return Path(name)


def _folder(name: str) -> Path:
    root = state_folder()
    for folder in (root, root / name):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root / name


def _checked(session_id: str) -> str:
    if not _SAFE_NAME.fullmatch(session_id):
        raise click.UsageError(f"{session_id!r} is not a session id.")
    return session_id
