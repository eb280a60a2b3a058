"""The simulated marketplace itself, without anything that goes wrong on the way to it.

    Marketplace ─┬─ Market      what can be rented
                 ├─ Account     what is rented, in a file
                 └─ Keeper      the process in which the machines run

Every call blocks for a moment, and all belong to the thread that made it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from providers.base import Instance, LaunchSpec, Offer, OfferList
from providers.docker_flags import parse_docker_flags
from providers.errors import BadResponse, InvalidRequest, NotFound, OfferGone
from providers.json_text import parse_json
from providers.simulator.account import Account, OfferTaken
from providers.simulator.faults import Fault
from providers.simulator.keeper import Keeper
from providers.simulator.machine import Fate, Machine, launch_of, present_instance
from providers.simulator.market import Market, default_market, host_of, recorded_market
from providers.simulator.templates import DEFAULT_IMAGE, find_template

_LONGEST_NUMBER = 18


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """How the simulated market is to be."""

    data_dir: Path
    """Where the account and the machines' disks are."""
    boot_time: timedelta = timedelta(seconds=3)
    drift: timedelta = timedelta(seconds=30)
    """How often the default market moves; zero: never."""
    seed: int = 1
    offers: int = 400
    ssh: bool = True
    """Without it no process is started, and machines name an address where nothing answers."""
    market_file: Path | None = None
    """A recorded search answer of Vast.ai, instead of the default market."""
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Bill:
    """One line of the account's statement."""

    instance_id: str
    label: str
    price_per_hour: Decimal
    begins_at: datetime
    ends_at: datetime | None
    """When its destruction was accepted; None while the meter runs."""
    billed: Decimal
    """USD up to the instant of the statement."""


class Marketplace:
    """One account at the simulated marketplace, and the machines that it has rented."""

    def __init__(self, options: SimulatorOptions, now: Callable[[], datetime]) -> None:
        """Open the account and run its machines. Raises `BadResponse` where there is no market."""
        self._options = options
        self._now = now
        self._market = _open_market(options)
        self._account = Account(options.data_dir)
        self._keeper = Keeper(options.data_dir) if options.ssh else None
        if self._account.has_live(now()):
            self._tell(now())

    @property
    def machines_pid(self) -> int | None:
        """The id of the process in which the machines run, while there is one."""
        return self._keeper.pid if self._keeper else None

    def close(self) -> None:
        """Stop the machines; they are still rented."""
        if self._keeper:
            self._keeper.close()
        self._account.close()

    def offers(self) -> OfferList:
        """Everything that can be rented now."""
        now = self._now()
        taken = self._account.taken(now)
        free = (o for o in self._market.at(now).values() if host_of(o) not in taken)
        return OfferList(tuple([replace(offer, fetched_at=now) for offer in free]))

    def rent(
        self,
        spec: LaunchSpec,
        decide_fate: Callable[[datetime], Fate],
        *,
        appears_in: timedelta = timedelta(),
    ) -> Instance:
        """Make a machine that appears after `appears_in`, with the fate of its birth.

        Raises `OfferGone` and `InvalidRequest`; then no fate was decided.
        """
        now = self._now()
        offer = self._market.at(now).get(spec.offer.provider_id)
        if offer is None:
            raise OfferGone(f"There is no offer {spec.offer.id} on the market any more.")
        spec = _completed(spec, offer)
        launch = launch_of(spec, offer, host_id=host_of(offer), host_key=_new_host_key())
        try:
            machine = self._account.rent(launch, decide_fate, now=now, created_at=now + appears_in)
        except OfferTaken as error:
            raise OfferGone(f"The machine behind {offer.id} is rented.") from error
        self._tell(now)
        return self._present(machine, now)

    def instances(self) -> tuple[Instance, ...]:
        """Everything that is rented, and listed, now."""
        now = self._now()
        machines = self._account.live(now)
        listed = [self._present(machine, now) for machine in machines if machine.is_listed(now)]
        if listed:
            self._tell(now)
        return tuple(listed)

    def instance(self, instance_id: str) -> Instance:
        """One of them. Raises `NotFound`."""
        now = self._now()
        return self._present(self._find(instance_id, now), now)

    def history(self, instance_id: str) -> Machine | None:
        """What the account knows of a machine, gone or not; None where there never was one."""
        return self._account.find(int(instance_id)) if _is_number(instance_id) else None

    def destroy(self, instance_id: str, *, gone_in: timedelta = timedelta()) -> None:
        """Accept the end of a machine, which is gone after `gone_in`. Raises `NotFound`."""
        now = self._now()
        machine = self._find(instance_id, now)
        self._account.destroy(machine.id, destroyed_at=now, gone_at=now + gone_in)
        self._tell(now)

    def statement(self, now: datetime) -> tuple[Bill, ...]:
        """Every machine ever rented and what it has cost up to `now`, oldest first."""
        return tuple(
            Bill(
                instance_id=str(machine.id),
                label=machine.launch.label,
                price_per_hour=machine.launch.price_per_hour,
                begins_at=machine.created_at,
                ends_at=machine.destroyed_at,
                billed=machine.billed(now),
            )
            for machine in self._account.all()
        )

    def _find(self, instance_id: str, now: datetime) -> Machine:
        machine = self.history(instance_id)
        if machine is None or not machine.is_listed(now):
            raise NotFound(f"There is no machine {instance_id}.")
        return machine

    def _tell(self, now: datetime) -> None:
        if self._keeper:
            self._keeper.tell(now)

    def _present(self, machine: Machine, now: datetime) -> Instance:
        return present_instance(machine, now, has_ssh=self._options.ssh)


def _open_market(options: SimulatorOptions) -> Market:
    if options.market_file is not None:
        return read_market(options.market_file)
    return default_market(seed=options.seed, offers=options.offers, drift=options.drift)


def read_market(path: Path) -> Market:
    """The market in a recorded search answer of Vast.ai. Raises `BadResponse`, naming the file."""
    try:
        return recorded_market(parse_json(path.read_text("utf-8")))
    except OSError as error:
        raise BadResponse(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise BadResponse(f"{path} is not JSON: {error}.") from error
    except BadResponse as error:
        raise BadResponse(f"{path} is no recorded market: {error}") from error


def _completed(spec: LaunchSpec, offer: Offer) -> LaunchSpec:
    """`spec` with the image to run, and with what its template brings beside it.

    A template's start command is left alone: it would run on this very computer. Raises
    `InvalidRequest` where the host cannot do what is asked.
    """
    if offer.max_disk_gb is not None and spec.disk_gb > offer.max_disk_gb:
        raise InvalidRequest(
            f"The host has {offer.max_disk_gb} GB of disk, not {spec.disk_gb} GB: ask for less."
        )
    if spec.template_hash_id is None:
        return replace(spec, image=spec.image or DEFAULT_IMAGE)
    template = find_template(spec.template_hash_id)
    if template is None:
        raise InvalidRequest(f"There is no template {spec.template_hash_id}.")
    env = {**parse_docker_flags(template.env).env, **spec.env}
    return replace(spec, image=spec.image or template.tagged_image, env=env)


def _is_number(text: str) -> bool:
    """Whether `text` can be the id of a machine; SQLite's own numbers end at 63 bits."""
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER


def _new_host_key() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
