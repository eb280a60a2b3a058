"""What can go wrong at the simulated service: kinds of calls, and a word for each misfortune."""

from __future__ import annotations

from enum import StrEnum

from tests.wire.misfortunes import BOOT as A_BOOT
from tests.wire.misfortunes import INSTEAD, SPOILT, Common, Vocabulary


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


class Word(StrEnum):
    """What goes wrong."""

    # Instead of doing it: any call.
    SLOW = Common.SLOW.value
    HANGS = Common.HANGS.value
    RESET = Common.RESET.value
    ERROR = "error"
    """Status 500, or `status`, with a JSON body."""
    HTML = Common.HTML.value
    RATE_LIMITED = "rate_limited"
    """429 with `text` or a body of the usual shape, and `retry_after`."""
    QUOTA = "quota"
    """429 `search_quota_exceeded`."""
    BAD_KEY = "bad_key"
    """401, or `status`: the service has also said it with 404."""
    NOT_ALLOWED = "not_allowed"
    """403: the key lacks the permission."""
    DEPRECATED = "deprecated"
    """410 `deprecated_endpoint`."""
    ANSWER = Common.ANSWER.value
    # It is done, but the answer is spoilt: any call.
    REPLY_RESET = Common.REPLY_RESET.value
    REPLY_HANGS = Common.REPLY_HANGS.value
    REPLY_BAD_GATEWAY = Common.REPLY_BAD_GATEWAY.value
    TRUNCATED = Common.TRUNCATED.value
    HUGE = Common.HUGE.value
    CHARSET = Common.CHARSET.value
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
    PARTIAL_LIST = "partial_list"
    """The last row is missing although it was counted, and there is no further page."""
    DUPLICATE_ROWS = "duplicate_rows"
    EMPTY_LIST = "empty_list"
    """No rows and no count, whatever there is."""
    NULL_INSTANCE = "null_instance"
    """`{"instances": null}` for a machine that lives."""
    IGNORED = "ignored"
    """Accepted, and nothing happens."""
    LINGERS = "lingers"
    """A destruction that takes `delay`."""
    QUEUED = "queued"
    """A start that has to wait, `delay` long or for ever."""
    # The life of a new machine.
    APPEARS_LATE = "appears_late"
    """It is in no answer before `delay` has passed; its creation is answered as usual."""
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
    KEY_LATE = "key_late"
    """Keys attached by the API work `delay` later than usual."""
    KEY_DROPPED = "key_dropped"
    """The first attached key is accepted and lost."""
    WRONG_GPU = "wrong_gpu"
    """The driver shows another GPU than the row."""
    PRICE_RAISED = "price_raised"
    """The row costs twice what the offer did."""
    RELABELLED = "relabelled"
    """Somebody gives it the label `text` when `delay` has passed."""


_OWN: dict[str, str] = {
    Word.OFFER_GONE: Operation.CREATE,
    Word.HOST_BUSY: Operation.CREATE,
    Word.NO_CREDIT: Operation.CREATE,
    Word.SPEND_LIMIT: Operation.CREATE,
    Word.STOPPED_CONTRACT: Operation.CREATE,
    Word.PARTIAL_LIST: Operation.LIST,
    Word.DUPLICATE_ROWS: Operation.LIST,
    Word.EMPTY_LIST: Operation.LIST,
    Word.NULL_INSTANCE: Operation.SHOW,
    Word.IGNORED: Operation.DESTROY,
    Word.LINGERS: Operation.DESTROY,
    Word.QUEUED: Operation.CHANGE,
    Word.QUOTA: Operation.SEARCH,
}
_STATUS = "status"
_ASPECTS: dict[str, str] = {
    **dict.fromkeys((Word.STUCK_LOADING, Word.ABANDONED, Word.EXITED, Word.UNKNOWN), _STATUS),
    **dict.fromkeys((Word.OFFLINE, Word.CDI_ERROR, Word.IMAGE_FAULT, Word.OUTBID), _STATUS),
}
VOCABULARY = Vocabulary(
    instead=INSTEAD
    | {
        *(Word.ERROR, Word.RATE_LIMITED, Word.QUOTA),
        *(Word.BAD_KEY, Word.NOT_ALLOWED, Word.DEPRECATED),
    },
    spoilt=SPOILT,
    own=_OWN,
    aspects=_ASPECTS,
)
"""What kind of misfortune each word is."""
