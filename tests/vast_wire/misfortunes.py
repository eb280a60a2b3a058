"""What can go wrong at the simulated service: words, when each happens, and the list of plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


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
    BOOT = "boot"
    """The life of a machine that is being created; no call of its own."""


class Word(StrEnum):
    """What goes wrong."""

    # Instead of doing it: any call.
    SLOW = "slow"
    """`delay` passes first."""
    HANGS = "hangs"
    """Nothing is done and nothing answered, until the client gives up."""
    RESET = "reset"
    """Nothing is done, and the connection drops."""
    ERROR = "error"
    """Status 500, or `status`, with a JSON body."""
    HTML = "html"
    """Status 502, or `status`, with a page of HTML."""
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
    ANSWER = "answer"
    """Exactly `status` and `text`."""
    # It is done, but the answer is spoilt: any call.
    REPLY_RESET = "reply_reset"
    REPLY_HANGS = "reply_hangs"
    REPLY_BAD_GATEWAY = "reply_bad_gateway"
    TRUNCATED = "truncated"
    """The first half of the right body."""
    HUGE = "huge"
    """50 MB of JSON."""
    CHARSET = "charset"
    """A Content-Type with `; charset=utf-8`."""
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


INSTEAD = frozenset(
    {
        *(Word.SLOW, Word.HANGS, Word.RESET, Word.ERROR, Word.HTML, Word.RATE_LIMITED, Word.QUOTA),
        *(Word.BAD_KEY, Word.NOT_ALLOWED, Word.DEPRECATED, Word.ANSWER),
    }
)
SPOILT = frozenset(
    {
        *(Word.REPLY_RESET, Word.REPLY_HANGS, Word.REPLY_BAD_GATEWAY),
        *(Word.TRUNCATED, Word.HUGE, Word.CHARSET),
    }
)
OWN = {
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
"""The call that a word is about when no other one is named."""
_STATUS = "status"
_ASPECTS = {
    **dict.fromkeys((Word.STUCK_LOADING, Word.ABANDONED, Word.EXITED, Word.UNKNOWN), _STATUS),
    **dict.fromkeys((Word.OFFLINE, Word.CDI_ERROR, Word.IMAGE_FAULT, Word.OUTBID), _STATUS),
}


@dataclass(frozen=True)
class Misfortune:
    """One plan: what goes wrong with the next `times` calls, or new machines."""

    word: Word
    operation: Operation | None = None
    """None: the call that the word is about, else any call."""
    times: int = 1
    delay: timedelta = timedelta()
    until: timedelta | None = None
    """After which time it is over again."""
    status: int | None = None
    text: str | None = None
    retry_after: float | None = None
    skip: int = 0
    """That many calls, or machines, go well first."""

    @property
    def is_about_boot(self) -> bool:
        """Whether it is the life of a new machine that it spoils."""
        return self.word not in INSTEAD | SPOILT and self.word not in OWN

    def concerns(self, operation: Operation) -> bool:
        """Whether a call of this kind can suffer it."""
        if operation is Operation.BOOT:
            return self.is_about_boot
        if self.is_about_boot:
            return False
        planned = self.operation or OWN.get(self.word)
        return planned is None or planned is operation


class Misfortunes:
    """The plans that are not used up yet, oldest first."""

    def __init__(self) -> None:
        self._plans: list[_Plan] = []

    def add(self, *misfortunes: Misfortune) -> None:
        """Plan them."""
        self._plans += [_Plan(one, one.skip, one.times) for one in misfortunes]

    def clear(self) -> None:
        """From now on all goes well."""
        self._plans = []

    def take(self, operation: Operation) -> Sequence[Misfortune]:
        """What this call suffers: the oldest plan of each kind, once less to come.

        A call can suffer something before, something of its own, and something after; a new
        machine several things that do not contradict each other.
        """
        taken: dict[str, Misfortune] = {}
        for plan in self._plans:
            one = plan.misfortune
            if one.concerns(operation) and _kind(one.word) not in taken and plan.is_due():
                taken[_kind(one.word)] = one
        self._plans = [plan for plan in self._plans if plan.left > 0]
        return tuple(taken.values())


@dataclass
class _Plan:
    """A misfortune and how often it is still to come."""

    misfortune: Misfortune
    skip: int
    left: int

    def is_due(self) -> bool:
        """Whether it happens now; each call counts."""
        if self.skip > 0:
            self.skip -= 1
            return False
        self.left -= 1
        return True


def _kind(word: Word) -> str:
    """Of each kind at most one happens to one call or machine."""
    if word in INSTEAD:
        return "instead"
    if word in SPOILT:
        return "spoilt"
    return "own" if word in OWN else _ASPECTS.get(word, word)
