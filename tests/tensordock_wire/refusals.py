"""How the service says no."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web

from tests.wire import answers
from tests.wire.answers import Body, reply

NO_NODES = "No available nodes found"
NO_PUBLIC_IP = "No available public IPs on hostnode"
HOST_UNAVAILABLE = "Hostnode unavailable"
DEPLOY_ERROR = "An unexpected error during deployment occurred, please try again"
NO_BALANCE = "You need at least $1 in your balance to deploy a virtual machine"


class ErrorShape(StrEnum):
    """How the error of an answer with status 200 is told."""

    TEXT = "text"
    """`{"status": 400, "error": "…"}`: what was seen."""
    OBJECT = "object"
    """`error` is an object with a `message`."""
    LIST = "list"
    """`error` is a list of such objects."""
    WRAPPED = "wrapped"
    """All of it stands in `data`."""


@dataclass
class Refused(answers.Refused):
    """A refusal that can be raised: an error in a body whose status is another one."""

    text: str
    status: int = 400
    http_status: int = 200
    shape: ErrorShape = ErrorShape.TEXT

    def response(self) -> web.Response:
        return reply(self._body(), self.http_status)

    def _body(self) -> Body:
        if self.http_status >= 400:
            return {"error": self.text}
        errors = {
            ErrorShape.OBJECT: {"message": self.text},
            ErrorShape.LIST: [{"message": self.text}],
        }
        body: Body = {"status": self.status, "error": errors.get(self.shape, self.text)}
        return {"data": body} if self.shape is ErrorShape.WRAPPED else body


@dataclass
class Invalid(answers.Refused):
    """A body that makes no sense: 400 with everything that is wrong with it."""

    issues: list[Body] = field(default_factory=list)

    def add(self, code: str, message: str, *path: str) -> None:
        """A further thing that is wrong, and where it stands in the body."""
        self.issues.append({"code": code, "message": message, "path": ["data", *path]})

    def response(self) -> web.Response:
        return reply(self.issues, 400)


def error(status: int, text: str) -> Refused:
    """A refusal whose status is that of the answer."""
    return Refused(text, status, http_status=status)


def no_such_instance() -> Refused:
    """It is gone, or never was."""
    return error(404, "Instance not found")


def bad_token() -> Refused:
    """Nobody has this token."""
    return error(401, "Invalid API credentials")


def not_allowed() -> Refused:
    """The token is somebody's, but not for this."""
    return error(403, "You do not have permission to perform this action")


def too_many_calls() -> Refused:
    """The organization has called too often."""
    return error(429, "Rate limit exceeded. Please try again later.")
