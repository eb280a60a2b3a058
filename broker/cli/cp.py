"""`cp`: files and folders to and from a rented machine, over SFTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import TYPE_CHECKING

import click

from broker.cli.client import Client
from broker.cli.exits import CommandFailed, on_interrupt
from broker.cli.machine import find_machine, goes_on, known_hosts_file, logged_in
from broker.cli.output import printable, progress, warn
from broker.cli.ssh import key_file_of, key_option

if TYPE_CHECKING:
    from paramiko import SFTPClient

_REMOTE = re.compile(r"(?P<session>sess-[a-z0-9]+):(?P<path>.*)", re.DOTALL)
_PERMISSIONS = 0o777


@dataclass(frozen=True, slots=True)
class Remote:
    """A path on the machine of a session; relative means below its user's home."""

    session: str
    path: PurePosixPath

    def __str__(self) -> str:
        return f"{self.session}:{self.path}"


def parse_place(text: str) -> Path | Remote:
    """`SESSION:/path` is on a machine, everything else is here."""
    match = _REMOTE.fullmatch(text)
    if match is None:
        return Path(text).expanduser()
    return Remote(match["session"], PurePosixPath(match["path"].removeprefix("~/") or "."))


@click.command(
    "cp",
    epilog="""\b
Examples:
  gpu-broker cp train.py sess-abc2345xyz:/root/
  gpu-broker cp -r sess-abc2345xyz:/root/results .""",
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("-r", "--recursive", is_flag=True, help="Copy folders too.")
@key_option
def cp(source: str, target: str, recursive: bool, key: str | None) -> None:
    """Copy files to or from a machine.

    One of SRC and DST is SESSION:/path.
    """
    is_into = target.endswith("/")
    match parse_place(source), parse_place(target):
        case Path() as local, Remote() as remote:
            _transfer(
                remote, key, lambda copier: copier.upload(local, remote.path, is_into), recursive
            )
        case Remote() as remote, Path() as local:
            _transfer(
                remote, key, lambda copier: copier.download(remote.path, local, is_into), recursive
            )
        case _:
            raise click.UsageError("Exactly one of SRC and DST is on a machine: SESSION:/path.")


def _transfer(
    remote: Remote, key: str | None, transfer: Callable[[Copier], None], recursive: bool
) -> None:
    from paramiko import SSHException  # noqa: PLC0415 - keeps `--help` quick

    with on_interrupt(lambda: f"Interrupted: the copy is incomplete. {goes_on(remote.session)}"):
        machine = find_machine(Client.from_environment(), remote.session)
        key_file = key_file_of(remote.session, key)
        with logged_in(machine, key_file, known_hosts_file(machine)) as client, progress() as show:
            try:
                with client.open_sftp() as sftp:
                    transfer(Copier(sftp, recursive, show))
            except OSError as error:
                why = error.strerror or error
                raise CommandFailed(f"{error.filename or remote}: {why}") from error
            except (SSHException, EOFError) as error:
                raise CommandFailed(f"The connection to {remote.session} broke.") from error


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies over one SFTP connection; like `cp`, into the target where that is a folder.

    In a folder only files and folders are copied: a link to a folder may lead in circles,
    and a pipe never ends.
    """

    sftp: SFTPClient
    is_recursive: bool
    show: Callable[[str], None]

    def upload(self, source: Path, target: PurePosixPath, is_into: bool) -> None:
        """From here to the machine; `is_into`: the target must be a folder."""
        is_inside = S_ISDIR(self._mode(target))
        _need_folder(target, is_there=is_inside or source.is_dir() or not is_into)
        self._put(source, target / source.absolute().name if is_inside else target)

    def download(self, source: PurePosixPath, target: Path, is_into: bool) -> None:
        """From the machine to here; `is_into`: the target must be a folder."""
        is_inside = target.is_dir()
        _need_folder(target, is_there=is_inside or S_ISDIR(self._mode(source)) or not is_into)
        with _named(source):
            name = PurePosixPath(self.sftp.normalize(str(source))).name
        self._get(source, target / name if is_inside else target)

    def _put(self, source: Path, target: PurePosixPath) -> None:
        if not source.is_dir():
            self.show(str(source))
            with _named(target):
                self.sftp.put(str(source), str(target))
                self.sftp.chmod(str(target), source.stat().st_mode & _PERMISSIONS)
            return
        self._need_recursive(source)
        if not S_ISDIR(self._mode(target)):
            with _named(target):
                self.sftp.mkdir(str(target))
        for child in sorted(source.iterdir()):
            is_linked_folder = child.is_symlink() and child.is_dir()
            if is_linked_folder or not (child.is_dir() or child.is_file()):
                warn(f"{child} is neither a file nor a folder: left out.")
            else:
                self._put(child, target / child.name)

    def _get(self, source: PurePosixPath, target: Path) -> None:
        with _named(source):
            mode = self.sftp.stat(str(source)).st_mode or 0
        if not S_ISDIR(mode):
            self.show(str(source))
            with _named(source):
                self.sftp.get(str(source), str(target))
            target.chmod(mode & _PERMISSIONS)
            return
        self._need_recursive(source)
        target.mkdir(exist_ok=True)
        with _named(source):
            entries = self.sftp.listdir_attr(str(source))
        for entry in sorted(entries, key=lambda entry: entry.filename):
            child = source / _plain_name(entry.filename)
            mode = self._mode(child)
            is_linked_folder = S_ISLNK(entry.st_mode or 0) and S_ISDIR(mode)
            if is_linked_folder or not (S_ISDIR(mode) or S_ISREG(mode)):
                warn(f"{child} is neither a file nor a folder: left out.")
            else:
                self._get(child, target / child.name)

    def _need_recursive(self, folder: PurePath) -> None:
        if not self.is_recursive:
            raise click.UsageError(f"{folder} is a folder: -r copies it.")

    def _mode(self, path: PurePosixPath) -> int:
        """What is there on the machine; 0 where there is nothing."""
        try:
            return self.sftp.stat(str(path)).st_mode or 0
        except FileNotFoundError:
            return 0


@contextmanager
def _named(path: PurePosixPath) -> Iterator[None]:
    """Name the file on the machine in an error that names none: SFTP does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _need_folder(target: PurePath, *, is_there: bool) -> None:
    if not is_there:
        raise CommandFailed(f"{target}/ is not a folder.")


def _plain_name(name: str) -> str:
    """A machine must not choose where on this side its files are written."""
    if "/" in name or name in ("", ".", ".."):
        raise CommandFailed(f"The machine names a file {printable(name)!r}: refused.")
    return name
