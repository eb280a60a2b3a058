"""The way into the machines of the simulated market, without SSH: what they would answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from broker.ssh.errors import HostKeyChanged, NotYet, NotYetReason
from broker.ssh.login import SshResult, bare_host_key
from broker.ssh.probe import IDLE_COMMAND, VERIFY_COMMAND
from providers.base import Endpoint
from providers.simulator.account import Account
from providers.simulator.machine import Machine, address_without_ssh

_NOT_FOUND = 127


class SimulatedLogins:
    """Logs in as `SshPool` does, on machines that are no more than a line of the account.

    Whether a machine connects and which keys it accepts says the market's own record of it, by
    `now`, the market's clock. It knows the commands that look at a machine, and no other.
    """

    def __init__(self, data_dir: Path, now: Callable[[], datetime]) -> None:
        """`data_dir` is where the market keeps its account."""
        self._account = Account(data_dir)
        self._now = now
        self.load: dict[str, float] = {}
        """Machine -> how busy its GPUs are, in percent; those that are not here rest."""

    async def run(
        self,
        endpoint: Endpoint,
        user: str,
        key: str,
        command: str,
        *,
        host_keys: tuple[str, ...],
        timeout: timedelta,  # noqa: ASYNC109
    ) -> SshResult:
        """As `Logins.run`."""
        machine = await self._reach(endpoint, timeout)
        host_key = _public(machine.launch.host_key)
        if host_keys and host_key not in map(bare_host_key, host_keys):
            raise HostKeyChanged
        if user != machine.launch.user or not self._accepts(machine, key):
            raise NotYet(NotYetReason.KEY_REFUSED)
        if command == VERIFY_COMMAND:
            return SshResult(
                0, _steps(start=[], gpus=_gpus(machine), keys=_keys(machine)), "", host_key
            )
        if command == IDLE_COMMAND:
            load = [f"{self.load.get(str(machine.id), 0.0):.0f}"] * machine.launch.gpu_count
            return SshResult(0, _steps(start=[], load=load, who=[]), "", host_key)
        return SshResult(_NOT_FOUND, "", "not found", host_key)

    async def banner(self, endpoint: Endpoint, *, timeout: timedelta) -> str:  # noqa: ASYNC109
        """As `Logins.banner`."""
        await self._reach(endpoint, timeout)
        return "SSH-2.0-simulated"

    def close(self) -> None:
        """Let go of the account."""
        self._account.close()

    async def _reach(self, endpoint: Endpoint, timeout: timedelta) -> Machine:  # noqa: ASYNC109
        """The machine that answers there."""
        machine = self._find(endpoint)
        if machine is None or not machine.is_connecting(self._now()):
            raise NotYet(NotYetReason.REFUSED)
        delay = machine.fate.answer_delay
        await asyncio.sleep(min(delay, timeout).total_seconds())
        if delay >= timeout:
            raise NotYet(NotYetReason.TIMED_OUT)
        return machine

    def _find(self, endpoint: Endpoint) -> Machine | None:
        machines = self._account.live(self._now())
        return next((one for one in machines if address_without_ssh(one.id) == endpoint.host), None)

    def _accepts(self, machine: Machine, private_key: str) -> bool:
        known = [bare_host_key(line) for line in machine.launch.public_keys]
        return machine.is_accepting_keys(self._now()) and _public(private_key) in known


def _public(private_key: str) -> str:
    load = load_ssh_private_key if "OPENSSH" in private_key else load_pem_private_key
    key = load(private_key.encode(), None).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _gpus(machine: Machine) -> list[str]:
    model = machine.model
    return [f"{model.driver_name}, {model.mib}"] * machine.launch.gpu_count


def _keys(machine: Machine) -> list[str]:
    return list(machine.launch.public_keys)


def _steps(**steps: Iterable[str]) -> str:
    """The output of a command of `broker.ssh.probe`."""
    told = ""
    for name, lines in steps.items():
        told += "".join(f"{line}\n" for line in lines) + f"\n::gpu-broker:: {name} 0\n"
    return told
