"""How the service says no to renting and to instances, in the bodies that were seen."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.wire import answers
from tests.wire.answers import Body, reply


class Refused(answers.Refused):
    """A refusal that can be raised."""

    def __init__(self, status: int, error: str, msg: str, **more: Any) -> None:
        super().__init__(msg)
        self.status, self.error, self.msg, self.more = status, error, msg, more

    def body(self) -> Body:
        """What the client is told."""
        return {"success": False, "error": self.error, "msg": self.msg, **self.more}

    def response(self) -> web.Response:
        """What the client is answered."""
        return reply(self.body(), self.status)


def invalid(msg: str, error: str = "invalid_args") -> Refused:
    """The request makes no sense."""
    return Refused(400, error, msg)


def no_such_instance(contract_id: object) -> Refused:
    """The instance is gone, or never was."""
    return Refused(404, "no_such_instance", f"Instance {contract_id} not found.")


def no_such_ask(ask_id: int, status: int) -> Refused:
    """The offer is gone, in one of the three ways in which the service says so."""
    if status == 410:
        msg = f"error 410/3907: no_such_ask Instance type {ask_id} is no longer available."
        return Refused(status, "no_such_ask", msg, ask_id=ask_id)
    msg = "error 404/3603: no_such_ask  Instance type by is not available."
    return Refused(status, "invalid_args", msg, ask_id=ask_id)


def no_credit() -> Refused:
    """There is no money to rent with."""
    msg = "Your account lacks credit; see the billing page to add credit."
    return Refused(400, "insufficient_credit", msg)


def bad_key(status: int = 401) -> Refused:
    """Nobody has this key."""
    return Refused(status, "auth_error", "Invalid user key")


def not_allowed() -> Refused:
    """The key is somebody's, but not for this."""
    return Refused(403, "not_authorized", "This key does not allow this action.")
