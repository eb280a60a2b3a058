"""One simulated Vast.ai service with one account, served on loopback in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.vast_wire import account_keys, extras, instance_keys, listing, searching
from tests.vast_wire.account_keys import AccountKeys
from tests.vast_wire.answers import refuse
from tests.vast_wire.contracts import BootTimeline
from tests.vast_wire.extras import Extras
from tests.vast_wire.fleet import Fleet
from tests.vast_wire.gate import Admission, answer
from tests.vast_wire.hosts import default_rows
from tests.vast_wire.instances import Instances
from tests.vast_wire.ledger import Ledger, charge_rows
from tests.vast_wire.limits import Limiter, Violation
from tests.vast_wire.machines import Machines
from tests.vast_wire.market import Market
from tests.vast_wire.misfortunes import VOCABULARY
from tests.vast_wire.operations import operation_of
from tests.vast_wire.outputs import Outputs
from tests.vast_wire.published import PUBLISHED
from tests.vast_wire.renting import Renting
from tests.vast_wire.templates import Templates
from tests.vast_wire.templates import routes as template_routes
from tests.wire.answers import Body, reply
from tests.wire.gate import Gate
from tests.wire.misfortunes import Misfortunes
from tests.wire.service import Service
from tests.wire.serving import serving

API_KEY = "0123456789abcdef" * 4
_USER_ID = 123_456
_CREDIT = 100.0


class VastWire(Service):
    """The service. Build it with `open_vast_wire`."""

    def __init__(
        self,
        *,
        api_key: str,
        fleet: Fleet,
        market_templates: Templates,
        limiter: Limiter,
    ) -> None:
        admission = Admission(api_key=api_key, limiter=limiter, by_key=fleet.by_key)
        super().__init__(
            Gate(
                vocabulary=VOCABULARY,
                misfortunes=fleet.misfortunes,
                operation_of=operation_of,
                settle=fleet.settle,
                admit=admission.admit,
                answer=answer,
            )
        )
        self.api_key = api_key
        self.fleet = fleet
        self.keys: AccountKeys = fleet.keys
        self.templates = market_templates
        self.extras = Extras(
            offers=fleet.offers,
            instances=fleet.rows,
            charges=lambda: charge_rows(fleet.contracts.values(), fleet.now()),
        )
        self._limiter = limiter

    @property
    def violations(self) -> Sequence[Violation]:
        """The calls that came too early, where there are limits."""
        return self._limiter.violations

    @property
    def credit(self) -> Decimal:
        """USD that can be spent now."""
        self.fleet.settle()
        return Decimal(str(round(self.fleet.ledger.credit, 6)))

    @credit.setter
    def credit(self, credit: Decimal) -> None:
        self.fleet.settle()
        self.fleet.ledger.credit = float(credit)
        self.fleet.settle()

    def drain(self, per_second: Decimal) -> None:
        """From now on, credit goes away beside the machines."""
        self.fleet.settle()
        self.fleet.ledger.drain_per_second = float(per_second)

    def use_network(self, instance_id: int | str, *, down_gb: float = 0, up_gb: float = 0) -> None:
        """Let a machine have received and sent so much."""
        self.fleet.settle()
        contract = self.fleet.find(instance_id)
        self.fleet.ledger.charge_traffic(contract, down_gb=down_gb, up_gb=up_gb)

    def instance(self, instance_id: int | str) -> Body | None:
        """The row of an instance as the list shows it; None when it is gone."""
        return next((row for row in self.instances() if str(row["id"]) == str(instance_id)), None)

    def instances(self) -> list[Body]:
        """All rows, as the list shows them."""
        self.fleet.settle()
        return self.fleet.rows()

    def add_instance(self, **fields: Any) -> int:
        """An instance of somebody else in the same account, with these fields in its row."""
        self.fleet.settle()
        return self.fleet.add(fields).id

    def offers(self) -> list[Body]:
        """What can be rented now."""
        self.fleet.settle()
        return self.fleet.offers()

    def routes(self) -> Iterator[web.RouteDef]:
        outputs = Outputs(self.fleet)
        for table in (
            searching.routes(self.fleet),
            Renting(self.fleet, self.templates).routes(),
            listing.routes(self.fleet),
            extras.routes(self.extras),
            extras.open_routes(self.extras),
            Instances(self.fleet).routes(),
            instance_keys.routes(self.fleet),
            account_keys.routes(self.keys),
            template_routes(self.templates),
            outputs.routes(),
            outputs.open_routes(),
            [web.get(path, self._show_user) for path in _USER_PATHS],
            [web.route("*", "/{path:.*}", _not_found)],
        ):
            yield from table

    async def _show_user(self, _: web.Request) -> web.Response:
        self.fleet.settle()
        return reply(
            {
                "id": _USER_ID,
                "username": "somebody",
                "email": "somebody@example.com",
                "fullname": "Some Body",
                "credit": self.fleet.ledger.credit,
                "balance": 0.0,
                "balance_threshold": 0.0,
                "has_billing": True,
                "billaddress_country": "US",
                "host_agreement_accepted": None,
                "ssh_key": None,
                "api_key": self.api_key,
                "sid": "0",
            }
        )


_USER_PATHS = ("/api/v0/users/current", "/api/v0/users/current/")


async def _not_found(request: web.Request) -> web.Response:
    return refuse(404, "not_found", f"There is nothing at {request.path}.")


@asynccontextmanager
async def open_vast_wire(
    data_dir: Path,
    *,
    now: Callable[[], datetime],
    rows: Sequence[Mapping[str, Any]] | None = None,
    offers: int = 60,
    api_key: str = API_KEY,
    boot: BootTimeline | None = None,
    ssh: bool = True,
    limits: bool | float = False,
    templates: Sequence[Mapping[str, Any]] = PUBLISHED,
    port: int = 0,
) -> AsyncIterator[VastWire]:
    """Serve a fresh account on loopback, with its machines' disks in `data_dir`.

    `rows` are offers as a search tells them, instead of the default market of `offers` rows.
    Without `ssh` no process is started, and machines name a port at which nothing answers.
    `limits` stretches the documented intervals between calls; True: as they are.
    """
    started_at = now()
    rows = default_rows(offers, started_at.timestamp()) if rows is None else rows
    market_templates = Templates(now)
    for template in templates:
        market_templates.add(**template)
    fleet = Fleet(
        market=Market(rows, started_at.timestamp()),
        machines=Machines(data_dir, now, ssh=ssh),
        ledger=Ledger(_CREDIT, started_at),
        keys=AccountKeys(now),
        misfortunes=Misfortunes(VOCABULARY),
        boot=boot or BootTimeline(),
        now=now,
    )
    wire = VastWire(
        api_key=api_key,
        fleet=fleet,
        market_templates=market_templates,
        limiter=Limiter(float(limits)),
    )
    pulse = fleet.settle if ssh else None
    try:
        async with serving(wire, pulse=pulse, port=port) as wire.url:
            yield wire
    finally:
        await fleet.machines.close()
