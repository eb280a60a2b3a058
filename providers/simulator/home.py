"""The disk of a machine: a folder of this computer, with its home, its tools and its keys.

    {data_dir}/simulator-machines/{id}/
        root/    the home; `.ssh/authorized_keys` decides who may log in
        bin/     `nvidia-smi` and `who`, first on the PATH
        gpu      what `nvidia-smi` prints
        who      what `who` prints
        started  there once `on_start` has run

Commands run as the user who runs the broker, on this computer. They see none of the
broker's environment, but nothing keeps them from its files: the simulated market is for
its own user, on loopback.
"""

from __future__ import annotations

import shutil
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path

from providers.simulator.machine import Machine
from providers.simulator.nvidia_smi import FACTS_NAME, SCRIPT, render_facts

FOLDER = "simulator-machines"
MARK = "SIMULATED_MACHINE"
"""The environment variable by which the processes of a machine are known."""

_WHO = """#!/bin/sh
# who is logged in at a terminal of a simulated machine
[ -r "${0%/*}/../who" ] || exit 0
while IFS= read -r line; do printf '%s\\n' "$line"; done <"${0%/*}/../who"
"""
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Home:
    """The folder of one machine."""

    def __init__(self, data_dir: Path, machine: Machine) -> None:
        self.root = data_dir.resolve() / FOLDER / str(machine.id)
        self.path = self.root / "root"
        self._machine = machine

    def ensure(self) -> None:
        """Make it, unless it is there already: then its user may have changed everything."""
        if (self.root / FACTS_NAME).exists():
            return
        machine, bin_dir, ssh_dir = self._machine, self.root / "bin", self.path / ".ssh"
        for folder in (self.root.parent, self.root, bin_dir, self.path, ssh_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys = "".join(f"{key.strip()}\n" for key in machine.launch.public_keys)
        _write(ssh_dir / "authorized_keys", keys, mode=0o600)
        _write(bin_dir / "nvidia-smi", SCRIPT, mode=0o755)
        _write(bin_dir / "who", _WHO, mode=0o755)
        facts = render_facts(
            machine.model,
            machine.launch.gpu_count,
            cuda_version=machine.launch.cuda_version,
            identity=str(self.root),
        )
        # Written last: where it stands, nothing is missing.
        _write(self.root / FACTS_NAME, facts, mode=0o644)

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """What the machine's commands find in their environment."""
        return {
            **self._machine.launch.env,
            "HOME": str(self.path),
            "USER": self._machine.launch.user,
            "LOGNAME": self._machine.launch.user,
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            "PATH": f"{self.root / 'bin'}:{_SYSTEM_PATH}",
            "PS1": f"{self._machine.launch.user}@machine-{self._machine.id}:$ ",
            MARK: str(self.root),
        }

    def accepts(self, key: bytes) -> bool:
        """Whether `authorized_keys` holds the public key `key`, in SSH's wire format."""
        sought = b64encode(key).decode()
        try:
            lines = (self.path / ".ssh" / "authorized_keys").read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return False
        return any(sought in line.split() for line in lines if not line.startswith("#"))

    def show_users(self, lines: Iterable[str]) -> None:
        """What `who` is to print."""
        _write(self.root / "who", "".join(f"{line}\n" for line in lines), mode=0o644)

    def take_on_start(self) -> str | None:
        """The script to run at the first start of the machine; None at every other one."""
        started = self.root / "started"
        if self._machine.launch.on_start is None or started.exists():
            return None
        started.touch()
        return self._machine.launch.on_start


def _write(path: Path, text: str, *, mode: int) -> None:
    path.write_text(text, "utf-8")
    path.chmod(mode)
