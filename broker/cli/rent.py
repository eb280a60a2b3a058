"""`rent`: turns an offer, or what an offer must have, into a session."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import click

from broker.cli import keys
from broker.cli.client import Answer, Body, Client, RequestFailed, path_of
from broker.cli.exits import BrokerUnreachable, CommandFailed, on_interrupt
from broker.cli.once import carried_out_once, idempotency_option
from broker.cli.output import (
    JSON,
    dollars,
    gpus,
    output_option,
    print_json,
    print_raw,
    progress,
    show,
)
from broker.cli.request_fields import FIELDS, parse_request
from broker.cli.session_views import print_session
from broker.cli.waiting import FINAL, insist, wait_for

_MAYBE_RENTED = (
    "A machine may have been rented all the same: `gpu-broker sessions list` shows it, "
    "`gpu-broker sessions delete SESSION` ends it."
)


def _request_options(command: click.decorators.FC) -> click.decorators.FC:
    return reduce(lambda decorated, field: field.option()(decorated), reversed(FIELDS), command)


@click.command(
    epilog="""\b
Examples:
  gpu-broker rent --gpu-type "RTX 4090" --max-price 0.50 --wait
  gpu-broker rent --offer-id vastai-12345 --hours 2 --save-key ./key
  gpu-broker rent -o json --min-vram 80 --env HF_TOKEN=... --label team=vision"""
)
@_request_options
@keys.save_options
@idempotency_option
@click.option("--wait", is_flag=True, help="Show the stages until the session runs.")
@output_option
def rent(
    save_key: str | None,
    force: bool,
    idempotency_key: str,
    wait: bool,
    output: str,
    **options: Any,
) -> None:
    """Rent an offer, or the cheapest that fits.

    Without an offer and without criteria it is the cheapest of all. The private key is
    saved, and remembered for `gpu-broker ssh` and `gpu-broker cp`. Where the answer is lost,
    the same command with the --idempotency-key that is told then gives the same session.
    """
    body = parse_request(options, consumer=_login_name())
    own_key = options.get("ssh_public_key")
    keys.refuse_file_for_own_key(save_key, own_key)
    client = Client.from_environment()
    with keys.reserved(save_key, overwrite=force) as place:
        answer = _create(client, body, idempotency_key, wait=wait)
        session: Body = answer.body["session"]
        private_key = answer.body.get("ssh_private_key")
        key_file = keys.keep_issued(place, session["id"], private_key, own_key)
    with _told_in_any_case(session):
        if wait:
            answer.body["session"] = session = _follow(client, answer, output)
        if output == JSON and wait:
            print_json(answer.body)
        else:
            show(answer, output, lambda created: _print_created(created["session"], key_file))
    _fail_if_ended(session)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "gpu-broker"


def _create(client: Client, body: Mapping[str, object], key: str, *, wait: bool) -> Answer:
    """Ask for the session; one that was asked for before may need to boot before its key comes."""

    def ask() -> Answer:
        return client.post(path_of("sessions"), body, idempotency_key=key)

    with carried_out_once(key, _MAYBE_RENTED):
        if wait:
            with progress() as show_stage:
                return insist(ask, show_stage)
        try:
            return ask()
        except RequestFailed as refusal:
            if refusal.may_pass:
                refusal.hint = "With --wait this goes on asking."
            raise


@contextmanager
def _told_in_any_case(session: Body) -> Iterator[None]:
    """Whoever cannot be shown inside the block what was rented learns which session goes on."""
    goes_on = (
        f"{session['id']} goes on ({gpus(session)}, {dollars(session.get('price_per_hour'))}/h): "
        f"`gpu-broker sessions delete {session['id']}` ends it, "
        f"`gpu-broker sessions get {session['id']}` shows it."
    )
    try:
        with on_interrupt(lambda: f"Interrupted. {goes_on}"):
            yield
    except (BrokerUnreachable, RequestFailed) as error:
        error.hint = goes_on
        raise
    except OSError as error:
        why = error.strerror or error
        raise CommandFailed(f"The session cannot be printed: {why}. {goes_on}") from error


def _follow(client: Client, created: Answer, output: str) -> Body:
    """The session when it runs or has ended.

    With `-o json` the answer to the creation, with its key, is printed even where this fails.
    """
    try:
        with progress() as show_stage:
            session_id = created.body["session"]["id"]
            return wait_for(client, session_id, {"running", *FINAL}, show_stage)
    except (CommandFailed, KeyboardInterrupt):
        if output == JSON:
            print_raw(created.raw)
        raise


def _print_created(session: Body, key_file: Path | None) -> None:
    if session["status"] in FINAL:
        print_session(session)
        return
    print_session(
        session,
        ("key", key_file),
        ("log in", f"gpu-broker ssh {session['id']}"),
        ("finish", f"gpu-broker sessions done {session['id']}"),
    )


def _fail_if_ended(session: Body) -> None:
    if session["status"] in FINAL:
        why = session.get("error") or session.get("status_reason") or "nobody says why"
        raise CommandFailed(f"{session['id']} ended as {session['status']}: {why}")
