"""Everything that a consumer can be told went wrong.

    BrokerError
    ├── ValidationFailed       400 validation_error
    ├── CapabilityUnsupported  400 capability_unsupported
    ├── InsufficientDisk       400 insufficient_disk
    ├── HardMaxExceeded        400 hard_max_exceeded
    ├── InsufficientFunds      402 insufficient_funds
    ├── NotFound               404 resource_not_found
    │   └── NoOfferFits        404 no_offer_fits
    │       └── OffersPassedOver 404 no_offer_fits, worth another try
    ├── Conflict               409 conflict
    │   ├── NoLoginYet         409 conflict, worth another try
    │   └── IdempotencyMismatch  409 idempotency_mismatch
    ├── ProviderRefused        502 provider_error
    ├── ProviderUnavailable    503 provider_unavailable
    │   └── ProviderDrains     503 provider_unavailable, not worth another try
    ├── StaleInventory         503 stale_inventory
    ├── NotReady               503 not_ready
    └── StoreFailed            500 internal_error
        └── StoreUnwritable    503 not_ready

The docstring of a class is its default message. `details` names the fields that are
wrong; `extra` holds further top-level fields of the JSON body.

Two more never leave the process as they are: `StaleWrite` makes a writer read again,
`StartupError` ends the process with exit code 2 and its message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class Detail:
    """One wrong field."""

    field: str
    message: str


class BrokerError(Exception):
    """The broker could not do what was asked."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry_suggested: ClassVar[bool | None] = None
    retry_after: ClassVar[int | None] = None
    """Seconds after which the same request may do."""

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Sequence[Detail] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message or (self.__doc__ or "").strip())
        self.details = tuple(details)
        self.extra = dict(extra or {})


class ValidationFailed(BrokerError):
    """The request is not valid."""

    status = 400
    code = "validation_error"


class CapabilityUnsupported(BrokerError):
    """The provider cannot do what was asked for."""

    status = 400
    code = "capability_unsupported"


class InsufficientDisk(BrokerError):
    """The disk is too small for the model."""

    status = 400
    code = "insufficient_disk"


class HardMaxExceeded(BrokerError):
    """The whole reservation would pass the hard maximum."""

    status = 400
    code = "hard_max_exceeded"


class InsufficientFunds(BrokerError):
    """The marketplace account cannot pay the reservation."""

    status = 402
    code = "insufficient_funds"


class NotFound(BrokerError):
    """There is nothing under this name."""

    status = 404
    code = "resource_not_found"

    @classmethod
    def named(cls, what: str, name: str) -> Self:
        """For a thing of the kind `what`; a name that no such thing can have is not repeated."""
        is_sane = name.isprintable() and len(name) <= _LONGEST_NAME
        return cls(f"There is no {what} {name}." if is_sane else f"There is no such {what}.")


class NoOfferFits(NotFound):
    """No offer fits the criteria."""

    code = "no_offer_fits"


class OffersPassedOver(NoOfferFits):
    """The offers that fit failed lately and are passed over for a while."""

    retry_suggested = True


class Conflict(BrokerError):
    """The request does not fit the present state."""

    status = 409
    code = "conflict"


class NoLoginYet(Conflict):
    """The machine cannot be logged into yet."""

    retry_suggested = True


class IdempotencyMismatch(Conflict):
    """This Idempotency-Key was used for another request."""

    code = "idempotency_mismatch"


class ProviderRefused(BrokerError):
    """The marketplace refused the request."""

    status = 502
    code = "provider_error"


class ProviderUnavailable(BrokerError):
    """No marketplace can be reached."""

    status = 503
    code = "provider_unavailable"
    retry_suggested = True


class ProviderDrains(ProviderUnavailable):
    """Nothing new is rented from this marketplace."""

    retry_suggested = False


class StaleInventory(BrokerError):
    """The offer is no longer available."""

    status = 503
    code = "stale_inventory"
    retry_suggested = True


class NotReady(BrokerError):
    """The broker is starting or stopping."""

    status = 503
    code = "not_ready"
    retry_suggested = True
    retry_after = 5


class StoreFailed(BrokerError):
    """The database could not do its work."""


class StoreUnwritable(StoreFailed):
    """The database cannot be written."""

    status = 503
    code = "not_ready"
    retry_suggested = True


class StaleWrite(Exception):
    """Somebody else has written this session since it was read."""


class DuplicateSession(Exception):
    """The consumer already has a live session of this offer."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id


class StartupError(Exception):
    """The broker cannot start; the message says why and what to do."""
