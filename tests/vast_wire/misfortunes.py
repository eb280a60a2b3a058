"""What can go wrong at the simulated service: kinds of calls, and a word for each misfortune."""

from __future__ import annotations

from enum import StrEnum

from tests.wire.misfortunes import BOOT as A_BOOT
from tests.wire.misfortunes import INSTEAD, OWN, Common, Vocabulary


class Operation(StrEnum):
    """A kind of call."""

    SEARCH = "search"
    CREATE = "create"
    LIST = "list"
    OLD_LIST = "old_list"
    SHOW = "show"
    CHANGE = "change"
    """PUT on an instance: its state or its label."""
    DESTROY = "destroy"
    REBOOT = "reboot"
    BID = "bid"
    PREPAY = "prepay"
    LOGS = "logs"
    COMMAND = "command"
    ATTACH = "attach"
    DETACH = "detach"
    ATTACHED = "attached"
    """The keys of one instance."""
    KEYS = "keys"
    """The keys of the account."""
    NEW_KEY = "new_key"
    TEMPLATES = "templates"
    NEW_TEMPLATE = "new_template"
    USER = "user"
    CHARGES = "charges"
    INVOICES = "invoices"
    SECRETS = "secrets"
    OPEN = "open"
    """The lists of GPUs, and results; without a key."""
    OTHER = "other"
    BOOT = A_BOOT
    """The life of a machine that is being created; no call of its own."""


class Word(Common):
    """What goes wrong, beside what can go wrong at any service."""

    # Instead of doing it: any call.
    QUOTA = "quota"
    """429 `search_quota_exceeded`."""
    BAD_KEY = "bad_key"
    """401, or `status`: the service has also said it with 404."""
    DEPRECATED = "deprecated"
    """410 `deprecated_endpoint`."""
    # The call's own.
    OFFER_GONE = "offer_gone"
    """400, or `status` 404 or 410."""
    HOST_BUSY = "host_busy"
    """The host cannot start it now: 410 for whoever says `cancel_unavail`, for the others a
    stopped machine whose disk is billed, and `success: true`."""
    NO_CREDIT = "no_credit"
    SPEND_LIMIT = "spend_limit"
    STOPPED_CONTRACT = "stopped_contract"
    """`success: false` with `new_contract`: a stopped machine whose disk is billed."""
    NULL_INSTANCE = "null_instance"
    """`{"instances": null}` for a machine that lives."""
    QUEUED = "queued"
    """A start that has to wait, `delay` long or for ever."""
    # The life of a new machine.
    STUCK_LOADING = "stuck_loading"
    ABANDONED = "abandoned"
    """`created`, and everything else `stopped`."""
    EXITED = "exited"
    UNKNOWN = "unknown"
    OFFLINE = "offline"
    """These three: instead of running, or `delay` after it, until `until` if there is one."""
    CDI_ERROR = "cdi_error"
    IMAGE_FAULT = "image_fault"
    """`text`, or `manifest unknown`, in `status_msg`."""
    OUTBID = "outbid"
    """Stopped by itself `delay` after running, until `until` if there is one."""
    IP_NEWLINE = "ip_newline"
    """White space around `public_ipaddr`."""
    NO_PORTS = "no_ports"
    """`ports` is null."""
    DIRECT_REFUSES = "direct_refuses"
    DIRECT_SILENT = "direct_silent"
    """It takes connections and says nothing."""
    PROXY_REFUSES = "proxy_refuses"
    KEY_DROPPED = "key_dropped"
    """The first attached key is accepted and lost."""
    RELABELLED = "relabelled"
    """Somebody gives it the label `text` when `delay` has passed."""


_OWN: dict[str, str] = {
    **OWN,
    Word.OFFER_GONE: Operation.CREATE,
    Word.HOST_BUSY: Operation.CREATE,
    Word.NO_CREDIT: Operation.CREATE,
    Word.SPEND_LIMIT: Operation.CREATE,
    Word.STOPPED_CONTRACT: Operation.CREATE,
    Word.NULL_INSTANCE: Operation.SHOW,
    Word.QUEUED: Operation.CHANGE,
    Word.QUOTA: Operation.SEARCH,
}
_STATUS = "status"
_ASPECTS: dict[str, str] = {
    **dict.fromkeys((Word.STUCK_LOADING, Word.ABANDONED, Word.EXITED, Word.UNKNOWN), _STATUS),
    **dict.fromkeys((Word.OFFLINE, Word.CDI_ERROR, Word.IMAGE_FAULT, Word.OUTBID), _STATUS),
}
VOCABULARY = Vocabulary(
    instead=INSTEAD | {Word.QUOTA, Word.BAD_KEY, Word.DEPRECATED},
    own=_OWN,
    aspects=_ASPECTS,
)
"""What kind of misfortune each word is."""
