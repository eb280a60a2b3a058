"""What can go wrong at the simulated service: kinds of calls, and a word for each misfortune."""

from __future__ import annotations

from enum import StrEnum

from tests.wire.misfortunes import BOOT as A_BOOT
from tests.wire.misfortunes import INSTEAD, OWN, Common, Vocabulary


class Operation(StrEnum):
    """A kind of call."""

    LOCATIONS = "locations"
    HOSTNODES = "hostnodes"
    CREATE = "create"
    LIST = "list"
    SHOW = "show"
    DESTROY = "destroy"
    START = "start"
    STOP = "stop"
    MODIFY = "modify"
    SECRETS = "secrets"
    BALANCE = "balance"
    """The one call of the old API."""
    OTHER = "other"
    BOOT = A_BOOT
    """The life of a machine that is being created; no call of its own."""


class Word(Common):
    """What goes wrong, beside what can go wrong at any service."""

    # Instead of doing it: any call.
    BAD_TOKEN = "bad_token"
    """401 although the token is right."""
    # A creation: an error body, with status 200, or `status`, and `text` where it is given.
    NO_NODES = "no_nodes"
    NO_PUBLIC_IP = "no_public_ip"
    HOST_UNAVAILABLE = "host_unavailable"
    DEPLOY_ERROR = "deploy_error"
    NO_BALANCE = "no_balance"
    IMAGE_REFUSED = "image_refused"
    """400: the host has no such image."""
    NO_ID = "no_id"
    """It is made, and the answer tells no id."""
    # The life of a new machine.
    STUCK_CREATING = "stuck_creating"
    """`creating` for ever, without an address."""
    FAILED = "failed"
    """`text`, or `error`, `delay` after its creation."""
    STOPPED = "stopped"
    """Stopped by the host `delay` after its creation."""
    RECLAIMED = "reclaimed"
    """`stoppeddisassociated` `delay` after its creation: the GPUs are somebody else's."""
    ADDRESS_LATE = "address_late"
    """`running` without an address, `delay` long; without one: for ever."""
    SSH_LATE = "ssh_late"
    """SSH answers `delay` later than usual; without one: never."""
    UNREACHABLE = "unreachable"
    """`delay` after its creation nothing of it answers, until `until` has passed."""
    FORWARDS_IGNORED = "forwards_ignored"
    """`portForwards` is empty for ever, and nothing is forwarded."""
    PORTS_REMAPPED = "ports_remapped"
    """The external ports are others than were asked for."""
    KEY_IGNORED = "key_ignored"
    """`ssh_key` is not installed."""
    CLOUD_INIT_IGNORED = "cloud_init_ignored"
    """Nothing of `cloud_init` is run."""
    NO_DRIVER = "no_driver"
    """There is no `nvidia-smi` until `delay` after SSH answers; without one: never."""


_OWN: dict[str, str] = {
    **OWN,
    **dict.fromkeys(
        (
            *(Word.NO_NODES, Word.NO_PUBLIC_IP, Word.HOST_UNAVAILABLE, Word.DEPLOY_ERROR),
            *(Word.NO_BALANCE, Word.IMAGE_REFUSED, Word.NO_ID),
        ),
        Operation.CREATE.value,
    ),
}
_ASPECTS: dict[str, str] = {
    **dict.fromkeys((Word.STUCK_CREATING, Word.FAILED, Word.STOPPED, Word.RECLAIMED), "status"),
    **dict.fromkeys((Word.FORWARDS_IGNORED, Word.PORTS_REMAPPED), "forwards"),
}
VOCABULARY = Vocabulary(
    instead=INSTEAD | {Word.BAD_TOKEN},
    own=_OWN,
    aspects=_ASPECTS,
)
"""What kind of misfortune each word is."""
