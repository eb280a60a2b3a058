"""`cp`: files and folders to and from a rented machine, over SFTP."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import TYPE_CHECKING

import click

from broker.cli.client import Client
from broker.cli.exits import CommandFailed, on_interrupt
from broker.cli.machine import find_machine, known_hosts_file, logged_in
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
    here_or_there = parse_place(source), parse_place(target)
    with on_interrupt(lambda: "Interrupted: the copy is incomplete. The machine goes on."):
        match here_or_there:
            case Path() as local, Remote() as remote:
                _transfer(remote, key, lambda copier: copier.upload(local, remote.path), recursive)
            case Remote() as remote, Path() as local:
                _transfer(
                    remote, key, lambda copier: copier.download(remote.path, local), recursive
                )
            case _:
                raise click.UsageError("Exactly one of SRC and DST is on a machine: SESSION:/path.")


def _transfer(
    remote: Remote, key: str | None, transfer: Callable[[Copier], None], recursive: bool
) -> None:
    machine = find_machine(Client.from_environment(), remote.session)
    key_file = key_file_of(remote.session, key)
    from paramiko import SSHException  # noqa: PLC0415 - keeps `--help` quick

    with logged_in(machine, key_file, known_hosts_file(machine)) as client, progress() as show:
        try:
            with client.open_sftp() as sftp:
                transfer(Copier(sftp, recursive, show))
        except (OSError, SSHException, EOFError) as error:
            raise CommandFailed(f"The copy failed: {error or type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies over one SFTP connection; like `cp`, into the target where that is a folder.

    In a folder only files and folders are copied: a link to a folder may lead in circles,
    and a pipe never ends.
    """

    sftp: SFTPClient
    is_recursive: bool
    show: Callable[[str], None]

    def upload(self, source: Path, target: PurePosixPath) -> None:
        """From here to the machine."""
        is_inside = S_ISDIR(self._mode(target))
        self._put(source, target / source.absolute().name if is_inside else target)

    def download(self, source: PurePosixPath, target: Path) -> None:
        """From the machine to here."""
        name = PurePosixPath(self.sftp.normalize(str(source))).name
        self._get(source, target / name if target.is_dir() else target)

    def _put(self, source: Path, target: PurePosixPath) -> None:
        if not source.is_dir():
            self.show(str(source))
            self.sftp.put(str(source), str(target))
            self.sftp.chmod(str(target), source.stat().st_mode & _PERMISSIONS)
            return
        self._need_recursive(source)
        if not S_ISDIR(self._mode(target)):
            self.sftp.mkdir(str(target))
        for child in sorted(source.iterdir()):
            is_linked_folder = child.is_symlink() and child.is_dir()
            if is_linked_folder or not (child.is_dir() or child.is_file()):
                warn(f"{child} is neither a file nor a folder: left out.")
            else:
                self._put(child, target / child.name)

    def _get(self, source: PurePosixPath, target: Path) -> None:
        mode = self.sftp.stat(str(source)).st_mode or 0
        if not S_ISDIR(mode):
            self.show(str(source))
            self.sftp.get(str(source), str(target))
            target.chmod(mode & _PERMISSIONS)
            return
        self._need_recursive(source)
        target.mkdir(exist_ok=True)
        for entry in sorted(self.sftp.listdir_attr(str(source)), key=lambda entry: entry.filename):
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


def _plain_name(name: str) -> str:
    """A machine must not choose where on this side its files are written."""
    if "/" in name or name in ("", ".", ".."):
        raise CommandFailed(f"The machine names a file {printable(name)!r}: refused.")
    return name
