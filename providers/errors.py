"""What can go wrong at a marketplace, told in classes.

    ProviderError
    ├── NotFound            the instance does not exist (any more)
    ├── OfferGone           somebody else rented it, or it was withdrawn
    ├── RateLimited         asked too often; `retry_after` says how long to wait
    ├── Unauthorized        the credentials are wrong, expired or too weak
    ├── InsufficientFunds   the account cannot pay
    ├── InvalidRequest      the marketplace refuses what was asked, whoever asks
    │   └── ImageUnavailable    because of the image
    ├── Unavailable         no answer, or an answer that says "not now"
    ├── BadResponse         an answer that cannot be understood
    └── OutcomeUnknown      a creation whose effect cannot be told

Only `OutcomeUnknown` leaves open whether a machine was made: every other error
raised by `create` means that none was. Messages are for people; no caller reads
them. They never hold a credential.
"""

from __future__ import annotations

from datetime import timedelta


class ProviderError(Exception):
    """The marketplace did not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class NotFound(ProviderError):
    """The marketplace says that this machine does not exist."""


class OfferGone(ProviderError):
    """The offer is no longer available."""


class RateLimited(ProviderError):
    """The marketplace was asked too often."""

    def __init__(self, message: str | None = None, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unauthorized(ProviderError):
    """The marketplace does not accept the credentials."""


class InsufficientFunds(ProviderError):
    """The marketplace account cannot pay for this."""


class InvalidRequest(ProviderError):
    """The marketplace refuses this request."""


class ImageUnavailable(InvalidRequest):
    """The marketplace does not have this image."""


class Unavailable(ProviderError):
    """The marketplace does not answer."""


class BadResponse(ProviderError):
    """The marketplace gave an answer that cannot be understood."""


class OutcomeUnknown(ProviderError):
    """The marketplace may or may not have made the machine."""
