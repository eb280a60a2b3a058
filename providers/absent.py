"""The stand-in for an account that cannot be spoken to: every call says why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NoReturn

from providers.base import Capabilities, Instance, LaunchSpec, OfferList
from providers.errors import Unauthorized

_CAPABILITIES = Capabilities(
    launch_modes=frozenset(),
    settle=timedelta(minutes=2),
    direct_proof=False,
    custom_image=False,
    environment=False,
    on_start=False,
    published_ports=False,
)


class AbsentProvider:
    """A provider without credentials, or without an adapter: nothing is known about its machines.

    Every call raises Unauthorized with the reason, so that nothing is ever concluded from it.
    """

    capabilities = _CAPABILITIES

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self._reason = reason

    async def list_offers(self) -> OfferList:
        self._refuse()

    async def create(self, spec: LaunchSpec) -> Instance:  # noqa: ARG002
        self._refuse()

    async def list_instances(self) -> Sequence[Instance]:
        self._refuse()

    async def get(self, instance_id: str) -> Instance:  # noqa: ARG002
        self._refuse()

    async def destroy(self, instance_id: str) -> None:  # noqa: ARG002
        self._refuse()

    async def close(self) -> None:
        """There is nothing to release."""

    def _refuse(self) -> NoReturn:
        raise Unauthorized(self._reason)
