"""`sessions list|get|events|done|extend|delete`."""

from __future__ import annotations

import click

from broker.cli.client import Body, Client, path_of
from broker.cli.output import (
    Column,
    cell,
    dollars,
    gpus,
    output_option,
    present_remaining,
    print_card,
    print_fields,
    print_table,
    show,
)
from broker.cli.waiting import FINAL
from broker.clock import utcnow


@click.group(
    epilog="""\b
Examples:
  gpu-broker sessions list --status running
  gpu-broker sessions done sess-abc2345xyz"""
)
def sessions() -> None:
    """See, extend and end rented machines."""


@sessions.command(
    "list",
    epilog="""\b
Example:
  gpu-broker sessions list --status pending,provisioning,running""",
)
@click.option("--consumer-id", help="Only this consumer's.")
@click.option("--status", help="Only these, a comma list: running,stopping ...")
@click.option("--provider", help="Only on this provider.")
@click.option("--limit", type=int, help="At most this many (1-1000).")
@click.option("--offset", type=int, help="Leave out the first so many.")
@output_option
def list_sessions(output: str, **filters: object) -> None:
    """All sessions, the newest first."""
    answer = Client.from_environment().get(path_of("sessions"), **filters)
    show(answer, output, _print_sessions)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions get sess-abc2345xyz -o json"""
)
@click.argument("session")
@output_option
def get(session: str, output: str) -> None:
    """One session: where it is, what it costs, when it ends, what was tried."""
    show(Client.from_environment().get(path_of("sessions", session)), output, print_session)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions events sess-abc2345xyz"""
)
@click.argument("session")
@output_option
def events(session: str, output: str) -> None:
    """What happened to a session, the oldest first."""
    answer = Client.from_environment().get(path_of("sessions", session, "events"))
    show(answer, output, _print_events)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions done sess-abc2345xyz"""
)
@click.argument("session")
@output_option
def done(session: str, output: str) -> None:
    """Say that the work is finished: the machine is destroyed soon."""
    answer = Client.from_environment().post(path_of("sessions", session, "done"))
    show(answer, output, print_fields)


@sessions.command(
    epilog="""\b
Examples:
  gpu-broker sessions extend sess-abc2345xyz --hours 2
  gpu-broker sessions extend sess-abc2345xyz --minutes 30"""
)
@click.argument("session")
@click.option("--hours", type=int, help="So many hours more (1-12).")
@click.option("--minutes", type=int, help="Or so many minutes more (1-720).")
@output_option
def extend(session: str, hours: int | None, minutes: int | None, output: str) -> None:
    """Keep the machine for longer."""
    if (hours is None) == (minutes is None):
        raise click.UsageError("Give either --hours or --minutes.")
    more = {"additional_minutes": minutes} if hours is None else {"additional_hours": hours}
    answer = Client.from_environment().post(path_of("sessions", session, "extend"), more)
    show(answer, output, print_fields)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions delete sess-abc2345xyz"""
)
@click.argument("session")
@output_option
def delete(session: str, output: str) -> None:
    """Destroy the machine at once."""
    answer = Client.from_environment().delete(path_of("sessions", session))
    show(answer, output, print_fields)


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
        *(("attempt", _attempt(attempt)) for attempt in session.get("attempts") or ()),
        *beside,
    ]
    print_card((name, value) for name, value in lines if value)


def _print_sessions(body: Body) -> None:
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


def _print_events(body: Body) -> None:
    columns: list[Column] = [
        ("AT", "created_at"),
        ("EVENT", "type"),
        ("DATA", "data"),
    ]
    print_table(columns, body["events"], empty="Nothing has happened.")


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
    return present_remaining(session.get("expires_at"), utcnow())


def _attempt(attempt: Body) -> str:
    outcome = attempt.get("outcome") or "open"
    reason = f" ({attempt['reason']})" if attempt.get("reason") else ""
    return f"{attempt.get('n')}  {cell(attempt.get('offer_id'))}  {outcome}{reason}"
