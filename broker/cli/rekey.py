"""`sessions rekey`: another key for a machine whose key is lost."""

from __future__ import annotations

from pathlib import Path

import click

from broker.cli import keys
from broker.cli.client import Client, path_of
from broker.cli.completion import session_argument
from broker.cli.once import carried_out_once, idempotency_option
from broker.cli.output import output_option, print_card, show
from broker.cli.request_fields import KEY_TYPES, read_public_key


@click.command(
    epilog="""\b
Examples:
  gpu-broker sessions rekey sess-abc2345xyz
  gpu-broker sessions rekey sess-abc2345xyz --save-key ./key --force
  gpu-broker sessions rekey sess-abc2345xyz --ssh-public-key ~/.ssh/id_ed25519.pub"""
)
@session_argument
@click.option("--ssh-public-key", help="Your own public key, or its file.")
@click.option("--ssh-key-type", type=click.Choice(KEY_TYPES), help="The kind of key that is made.")
@keys.save_options
@idempotency_option
@output_option
def rekey(
    session: str,
    ssh_public_key: str | None,
    ssh_key_type: str | None,
    save_key: str | None,
    force: bool,
    idempotency_key: str,
    output: str,
) -> None:
    """Put a fresh key on a running machine.

    The key before it stops working. The new one is saved, and remembered for
    `gpu-broker ssh` and `gpu-broker cp`.
    """
    keys.refuse_file_for_own_key(save_key, ssh_public_key)
    body = _request(ssh_public_key, ssh_key_type)
    client = Client.from_environment()
    with keys.reserved(save_key, overwrite=force) as place:
        with carried_out_once(idempotency_key, f"The key of {session} may have changed."):
            answer = client.post(
                path_of("sessions", session, "rekey"), body, idempotency_key=idempotency_key
            )
        private_key = answer.body.get("ssh_private_key")
        key_file = keys.keep_issued(place, session, private_key, ssh_public_key)
    show(answer, output, lambda _: _print_rekeyed(session, key_file))


def _request(public_key: str | None, key_type: str | None) -> dict[str, str]:
    given = {
        "ssh_public_key": None if public_key is None else read_public_key(public_key),
        "ssh_key_type": key_type,
    }
    return {name: value for name, value in given.items() if value is not None}


def _print_rekeyed(session_id: str, key_file: Path | None) -> None:
    print_card(
        [
            ("session", session_id),
            ("key", key_file or "your own"),
            ("log in", f"gpu-broker ssh {session_id}"),
        ]
    )
