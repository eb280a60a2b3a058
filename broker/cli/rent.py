"""`rent`: turns an offer, or what an offer must have, into a session."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import click

from broker.cli import keys
from broker.cli.client import Body, Client, path_of
from broker.cli.exits import CommandFailed, on_interrupt
from broker.cli.output import JSON, dollars, gpus, output_option, print_json, progress, show
from broker.cli.request_fields import FIELDS, parse_request
from broker.cli.sessions import print_session
from broker.cli.waiting import FINAL, wait_for

_MAYBE_RENTED = (
    "Interrupted while renting: a machine may have been rented all the same. `gpu-broker "
    "sessions list` shows it, `gpu-broker sessions delete SESSION` ends it."
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
@click.option("--save-key", metavar="FILE", help="Keep the private key in FILE (mode 0600).")
@click.option("--force", is_flag=True, help="Let --save-key overwrite FILE.")
@click.option("--wait", is_flag=True, help="Show the stages until the session runs.")
@output_option
def rent(save_key: str | None, force: bool, wait: bool, output: str, **options: Any) -> None:
    """Rent an offer, or the cheapest that fits.

    Without an offer and without criteria it is the cheapest of all. The private key is
    saved, and remembered for `gpu-broker ssh` and `gpu-broker cp`.
    """
    body = parse_request(options, consumer=_login_name())
    _refuse_key_file_for_own_key(save_key, body)
    client = Client.from_environment()
    with keys.reserved(save_key, overwrite=force) as place:
        with on_interrupt(lambda: _MAYBE_RENTED):
            answer = client.post(path_of("sessions"), body)
        session: Body = answer.body["session"]
        key_file = _keep_key(place, answer.body, options.get("ssh_public_key"))
    if wait:
        session = _follow(client, session)
        answer.body["session"] = session
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


def _refuse_key_file_for_own_key(save_key: str | None, body: Mapping[str, object]) -> None:
    if save_key is not None and "ssh_public_key" in body:
        raise click.UsageError("With --ssh-public-key there is no private key to --save-key.")


def _keep_key(place: keys.Place, created: Body, own_key: str | None) -> Path | None:
    """Keep the key that was made, or find the private half of the consumer's own."""
    session_id = created["session"]["id"]
    if private_key := created.get("ssh_private_key"):
        try:
            return place.keep(session_id, private_key)
        except OSError as error:
            raise CommandFailed(
                f"{session_id} is rented, but its key cannot be written ({error.strerror}) and "
                f"is lost. `gpu-broker sessions delete {session_id}` ends it."
            ) from error
    private_half = _private_half(own_key) if own_key else None
    if private_half is not None:
        keys.remember(session_id, private_half)
    return private_half


def _private_half(public_key: str) -> Path | None:
    """The file that OpenSSH puts beside `NAME.pub`."""
    if not public_key.endswith(".pub"):
        return None
    path = Path(public_key.removesuffix(".pub")).expanduser()
    return path if path.is_file() else None


def _follow(client: Client, session: Body) -> Body:
    def what_goes_on() -> str:
        return (
            f"Interrupted. {session['id']} goes on ({gpus(session)}, "
            f"{dollars(session.get('price_per_hour'))}/h): `gpu-broker sessions delete "
            f"{session['id']}` ends it, `gpu-broker sessions get {session['id']}` shows it."
        )

    with on_interrupt(what_goes_on), progress() as show_stage:
        return wait_for(client, session["id"], {"running", *FINAL}, show_stage)


def _print_created(session: Body, key_file: Path | None) -> None:
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
