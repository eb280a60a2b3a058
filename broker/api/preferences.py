"""The Prefer header: whether a client would rather not wait."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

HEADER = "Prefer"
RESPOND_ASYNC = "respond-async"
APPLIED = "Preference-Applied"

FOLLOWED: Mapping[str, str] = {APPLIED: RESPOND_ASYNC}
"""Tells a client that its preference was followed."""


def wants_asynchronous(request: web.Request) -> bool:
    """Whether the answer is to come at once, and the work to go on by itself."""
    given = ",".join(request.headers.getall(HEADER, [])).replace(";", ",").split(",")
    return RESPOND_ASYNC in {preference.strip().lower() for preference in given}
