"""Asking a published port whether an HTTP server answers behind it."""

from __future__ import annotations

from datetime import timedelta

import aiohttp

from providers.base import Endpoint

_PATIENCE = timedelta(seconds=5)
_BROKEN = 500


async def answers_http(endpoint: Endpoint) -> str | None:
    """None where a server answers with a status below 500; else what is missing, for people."""
    timeout = aiohttp.ClientTimeout(total=_PATIENCE.total_seconds())
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.get(url(endpoint), allow_redirects=False) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return f"Nothing answers HTTP at port {endpoint.port} yet."
    return None if status < _BROKEN else f"The port answers with status {status}."


def url(endpoint: Endpoint) -> str:
    """The address as a URL."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"http://{host}:{endpoint.port}"
