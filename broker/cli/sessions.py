"""`sessions list|get|events|receipt|diagnostics|heartbeat|done|extend|hold|...|delete`."""

from __future__ import annotations

import click

from broker.cli.client import Client, path_of
from broker.cli.completion import session_argument
from broker.cli.exits import on_interrupt
from broker.cli.once import carried_out_once, idempotency_option
from broker.cli.output import output_option, print_fields, show
from broker.cli.rekey import rekey
from broker.cli.session_views import print_events, print_receipt, print_session, print_sessions

_MAYBE_ENDING = (
    "Interrupted. {session} may be ending all the same: `gpu-broker sessions get {session}` "
    "shows it, and ending it again does no harm."
)


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
    show(answer, output, print_sessions)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions get sess-abc2345xyz -o json"""
)
@session_argument
@output_option
def get(session: str, output: str) -> None:
    """One session: where it is, what it costs, when it ends, what was tried."""
    show(Client.from_environment().get(path_of("sessions", session)), output, print_session)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions events sess-abc2345xyz"""
)
@session_argument
@output_option
def events(session: str, output: str) -> None:
    """What happened to a session, the oldest first."""
    answer = Client.from_environment().get(path_of("sessions", session, "events"))
    show(answer, output, print_events)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions receipt sess-abc2345xyz"""
)
@session_argument
@output_option
def receipt(session: str, output: str) -> None:
    """How an ended session ended: due, destroyed, proved gone, billed."""
    answer = Client.from_environment().get(path_of("sessions", session, "receipt"))
    show(answer, output, print_receipt)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions diagnostics sess-abc2345xyz"""
)
@session_argument
@click.option("--any", "is_any", is_flag=True, help="Of a session that does not run yet, too.")
@output_option
def diagnostics(session: str, output: str, *, is_any: bool) -> None:
    """A running session at a glance: access, uptime, what is left."""
    path = path_of("sessions", session, "diagnostics")
    answer = Client.from_environment().get(path, any="true" if is_any else None)
    show(answer, output, print_fields)


@sessions.command(
    epilog="""\b
Examples:
  gpu-broker sessions heartbeat sess-abc2345xyz
  gpu-broker sessions heartbeat sess-abc2345xyz --gpu-util 0 --idle-seconds 600"""
)
@session_argument
@click.option("--gpu-util", type=float, help="How busy the GPUs are, in per cent.")
@click.option("--idle-seconds", type=float, help="For how long nothing has been done.")
@click.option("--token", help="The session_token; the broker's own users need none.")
@output_option
def heartbeat(session: str, output: str, **fields: object) -> None:
    """Say how busy a machine is, so that it is not taken for idle, or is."""
    sent = {name: value for name, value in fields.items() if value is not None}
    answer = Client.from_environment().post(path_of("sessions", session, "heartbeat"), sent)
    show(answer, output, print_fields)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions done sess-abc2345xyz"""
)
@session_argument
@output_option
def done(session: str, output: str) -> None:
    """Say that the work is finished: the machine is destroyed soon."""
    with on_interrupt(lambda: _MAYBE_ENDING.format(session=session)):
        answer = Client.from_environment().post(path_of("sessions", session, "done"))
    show(answer, output, print_fields)


@sessions.command(
    epilog="""\b
Examples:
  gpu-broker sessions extend sess-abc2345xyz --hours 2
  gpu-broker sessions extend sess-abc2345xyz --minutes 30"""
)
@session_argument
@click.option("--hours", type=int, help="So many hours more (1-12).")
@click.option("--minutes", type=int, help="Or so many minutes more (1-720).")
@idempotency_option
@output_option
def extend(
    session: str, hours: int | None, minutes: int | None, idempotency_key: str, output: str
) -> None:
    """Keep the machine for longer."""
    if (hours is None) == (minutes is None):
        raise click.UsageError("Give either --hours or --minutes.")
    more = {"additional_minutes": minutes} if hours is None else {"additional_hours": hours}
    with carried_out_once(idempotency_key, f"{session} may have been extended all the same."):
        answer = Client.from_environment().post(
            path_of("sessions", session, "extend"), more, idempotency_key=idempotency_key
        )
    show(answer, output, print_fields)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions hold sess-abc2345xyz --hours 2 --reason "the run is nearly done\""""
)
@session_argument
@click.option("--hours", type=int, help="For so many hours from now on.")
@click.option("--minutes", type=int, help="Or for so many minutes.")
@click.option("--reason", required=True, help="Why; whoever finds it held will read it.")
@output_option
def hold(session: str, hours: int | None, minutes: int | None, reason: str, output: str) -> None:
    """Keep the broker from ending a session by itself, for a while.

    Neither expiry nor the hard maximum, idleness or a machine that is called lost ends it
    until then; its consumer still can.
    """
    if (hours is None) == (minutes is None):
        raise click.UsageError("Give either --hours or --minutes.")
    span = {"minutes": minutes} if hours is None else {"hours": hours}
    sent = {**span, "reason": reason}
    answer = Client.from_environment().post(path_of("sessions", session, "hold"), sent)
    show(answer, output, print_fields)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions release sess-abc2345xyz"""
)
@session_argument
@output_option
def release(session: str, output: str) -> None:
    """Let a held session go: it ends at once where its lease is over."""
    answer = Client.from_environment().delete(path_of("sessions", session, "hold"))
    show(answer, output, print_fields)


@sessions.command(
    epilog="""\b
Example:
  gpu-broker sessions delete sess-abc2345xyz"""
)
@session_argument
@output_option
def delete(session: str, output: str) -> None:
    """Destroy the machine at once.

    It waits for the proof that it is gone, 30 seconds at most; after that, and after
    Ctrl-C, the broker goes on by itself.
    """
    with on_interrupt(lambda: _MAYBE_ENDING.format(session=session)):
        answer = Client.from_environment().delete(path_of("sessions", session))
    show(answer, output, print_fields)


sessions.add_command(rekey)
