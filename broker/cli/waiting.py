"""Following a session from afar until it is where somebody wants it."""

from __future__ import annotations

import time
from collections.abc import Callable, Container

from broker.cli.client import Answer, Body, Client, RequestFailed, path_of
from broker.cli.exits import BrokerUnreachable
from broker.cli.output import cell, gpus

FINAL = frozenset({"stopped", "failed"})
_LOOK_EVERY_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0
"""A broker that restarts keeps its machines: it is worth waiting for."""
_NOT_READY = 503


def wait_for(
    client: Client, session_id: str, statuses: Container[str], show: Callable[[str], None]
) -> Body:
    """The session as soon as its status is one of `statuses`; every new stage is shown once.

    The broker bounds every wait by the deadline of its attempts. One that stays away for
    a minute raises what it raised.
    """
    show = _unless_repeated(show)
    while True:
        session = _look(client, session_id, show).body
        if session["status"] in statuses:
            return session
        show(present_stage(session))
        time.sleep(_LOOK_EVERY_SECONDS)


def insist(ask: Callable[[], Answer], show: Callable[[str], None]) -> Answer:
    """Ask until the answer is no longer that the same request may be granted later."""
    show = _unless_repeated(show)
    while True:
        try:
            return ask()
        except RequestFailed as refusal:
            if not refusal.may_pass:
                raise
            show(str(refusal.body.get("error")))
        time.sleep(_LOOK_EVERY_SECONDS)


def present_stage(session: Body) -> str:
    """What a session is waiting for, as a line for a person."""
    waits = {
        "pending": "about to ask for a machine",
        "provisioning": _launching(session),
        "stopping": "its machine is being destroyed",
    }
    what = waits.get(session["status"], "its machine is in use")
    attempts = session.get("attempts") or []
    again = f" (attempt {len(attempts)})" if len(attempts) > 1 else ""
    return f"{session['status']}: {what}{again}"


def _unless_repeated(show: Callable[[str], None]) -> Callable[[str], None]:
    shown = ""

    def show_new(text: str) -> None:
        nonlocal shown
        if text != shown:
            show(shown := text)

    return show_new


def _launching(session: Body) -> str:
    if session.get("ssh_host"):
        address = f"{session['ssh_host']}:{session.get('ssh_port')}"
        return f"proving login and {gpus(session)} at {address}"
    if session.get("provider_instance_id"):
        return f"machine {session['provider_instance_id']} boots"
    return f"{cell(session.get('provider'))} makes a machine of {cell(session.get('offer_id'))}"


def _look(client: Client, session_id: str, show: Callable[[str], None]) -> Answer:
    patient_until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return client.get(path_of("sessions", session_id))
        except (BrokerUnreachable, RequestFailed) as error:
            is_away = isinstance(error, BrokerUnreachable) or error.status == _NOT_READY
            if not is_away or time.monotonic() > patient_until:
                raise
            show("the broker is away; machines outlive its restarts, so this waits a minute")
            time.sleep(2 * _LOOK_EVERY_SECONDS)
