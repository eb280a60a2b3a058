"""The ownership label: our mark on every instance, set by the call that creates it.

`gpub-{deployment}-{session}-{deadline}-{attempt}`, lower case, DNS-safe, at most 48
characters. `deadline` is minutes since the epoch: the instant after which the
instance has no right to live, whatever became of the database.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

PREFIX = "gpub-"
SESSION_ID_PREFIX = "sess-"

_LABEL = re.compile(
    r"gpub-(?P<deployment>[a-z0-9]{1,16})-(?P<session>[a-z2-7]{10,12})"
    r"-(?P<deadline>[0-9]{1,10})-(?P<attempt>[1-9])"
)
_PLAIN_DEPLOYMENT = re.compile(r"[a-z0-9]{1,16}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Label:
    """A parsed label."""

    deployment: str
    """The deployment part, not the deployment id."""
    session_id: str
    deadline: datetime
    attempt: int

    def __str__(self) -> str:
        session = self.session_id.removeprefix(SESSION_ID_PREFIX)
        minutes = (self.deadline - _EPOCH) // timedelta(minutes=1)
        return f"{PREFIX}{self.deployment}-{session}-{minutes}-{self.attempt}"


def deployment_part(deployment_id: str) -> str:
    """The part of every label that tells our instances from everybody else's."""
    if _PLAIN_DEPLOYMENT.fullmatch(deployment_id):
        return deployment_id
    digest = hashlib.sha256(deployment_id.encode()).digest()
    return base64.b32encode(digest).decode().lower()[:8]


@lru_cache(maxsize=16_384)  # every list shows the same labels again
def parse_label(text: str | None) -> Label | None:
    """The label in `text`, or None where it is not one of any broker's."""
    match = _LABEL.fullmatch(text or "")
    if match is None:
        return None
    return Label(
        deployment=match["deployment"],
        session_id=SESSION_ID_PREFIX + match["session"],
        deadline=_EPOCH + timedelta(minutes=int(match["deadline"])),
        attempt=int(match["attempt"]),
    )


def is_unreadable(text: str | None, deployment: str) -> bool:
    """Whether `text` names this deployment part as its labels do, and is none of them."""
    words = (text or "").split("-")
    return words[:2] == [PREFIX.rstrip("-"), deployment] and parse_label(text) is None
