"""Sessions as people read them: a table, a card, a history."""

from __future__ import annotations

from broker.cli.client import Body
from broker.cli.output import (
    Column,
    cell,
    dollars,
    gpus,
    present_remaining,
    print_card,
    print_table,
)
from broker.cli.waiting import FINAL
from broker.clock import utcnow


def print_session(session: Body, *beside: tuple[str, object]) -> None:
    """A readable card of one session, without what is not known, and what stands `beside` it."""
    is_over = session["status"] in FINAL
    lines = [
        ("session", session["id"]),
        ("status", _status(session)),
        ("error", session.get("error")),
        ("machine", f"{gpus(session)}, {cell(session.get('location'))}"),
        ("offer", session.get("offer_id")),
        ("instance", session.get("provider_instance_id")),
        ("price", f"{dollars(session.get('price_per_hour'))}/h"),
        ("cost so far", dollars(session.get("accrued_cost"))),
        ("ssh", _ssh(session)),
        ("api endpoint", session.get("api_endpoint")),
        ("consumer", session.get("consumer_id")),
        ("name", session.get("name")),
        ("labels", session.get("labels")),
        ("created", session.get("created_at")),
        ("ended", session.get("stopped_at")) if is_over else ("ends", session.get("expires_at")),
        ("ends in", _ends_in(session)),
        ("held until", None if is_over else _held(session)),
        *(("attempt", _attempt(attempt)) for attempt in session.get("attempts") or ()),
        *beside,
    ]
    print_card((name, value) for name, value in lines if value)


def print_sessions(body: Body) -> None:
    """A row per session."""
    columns: list[Column] = [
        ("SESSION", "id"),
        ("STATUS", _status),
        ("GPU", gpus),
        ("$/H", "price_per_hour"),
        ("SSH", _ssh),
        ("ENDS IN", _ends_in),
        ("COST", "accrued_cost"),
        ("NAME", "name"),
    ]
    print_table(columns, body["sessions"], empty="No sessions.")


def print_events(body: Body) -> None:
    """A row per event."""
    columns: list[Column] = [
        ("AT", "created_at"),
        ("EVENT", "type"),
        ("DATA", "data"),
    ]
    print_table(columns, body["events"], empty="Nothing has happened.")


def print_receipt(receipt: Body) -> None:
    """A card of how a session ended, with a line for each machine."""
    reason = f" ({receipt['reason']})" if receipt.get("reason") else ""
    lines = [
        ("session", receipt["session_id"]),
        ("status", f"{receipt['status']}{reason}"),
        ("error", receipt.get("error")),
        ("consumer", receipt.get("consumer_id")),
        ("created", receipt.get("created_at")),
        ("running", receipt.get("running_at")),
        ("due", receipt.get("due_at")),
        ("destroy asked", receipt.get("destroy_asked_at")),
        ("destroy accepted", receipt.get("destroy_accepted_at")),
        *(("observed gone", _observation(one)) for one in receipt["observations"]),
        ("proved gone", receipt.get("proved_gone_at")),
        ("reap delay", _seconds(receipt.get("reap_delay_seconds"))),
        ("billed", _billed(receipt)),
        *(("machine", _machine(machine)) for machine in receipt["machines"]),
    ]
    print_card((name, value) for name, value in lines if value)


def _observation(observation: Body) -> str:
    by = observation.get("by")
    return f"{observation['observed_at']}{f' by {by}' if by else ''}"


def _machine(machine: Body) -> str:
    which = machine.get("instance_id") or "none was made"
    return f"{machine['n']}  {cell(machine.get('offer_id'))}  {which}  {_billed(machine)}"


def _billed(row: Body) -> str:
    return f"{dollars(row['billed'])} for {_seconds(row['billed_seconds'])}"


def _seconds(value: object) -> str | None:
    return None if value is None else f"{cell(value)} s"


def _status(session: Body) -> str:
    reason = session.get("status_reason")
    return f"{session['status']} ({reason})" if reason else str(session["status"])


def _ssh(session: Body) -> str | None:
    if not session.get("ssh_host"):
        return None
    return f"{session.get('ssh_user')}@{session['ssh_host']}:{session.get('ssh_port')}"


def _ends_in(session: Body) -> str | None:
    if session["status"] in FINAL:
        return None
    ends_at = max(filter(None, (session.get("expires_at"), session.get("held_until"))), default="")
    return present_remaining(ends_at, utcnow())


def _held(session: Body) -> str | None:
    if not session.get("held_until"):
        return None
    return f"{session['held_until']}: {cell(session.get('hold_reason'))}"


def _attempt(attempt: Body) -> str:
    outcome = attempt.get("outcome") or "open"
    reason = f" ({attempt['reason']})" if attempt.get("reason") else ""
    return f"{attempt.get('n')}  {cell(attempt.get('offer_id'))}  {outcome}{reason}"
