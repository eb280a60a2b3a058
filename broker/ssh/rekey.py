"""Exchanging a consumer's public key on a machine, over the broker's own access.

The new list of keys is written beside the old one and takes its place in one move, and
only when the broker's own key is in it: a full disk or a cut line locks nobody out.
"""

from __future__ import annotations

from broker.decide.proof import bare_public_key
from broker.ssh.login import SshResult
from broker.ssh.steps import SETUP, first_words, parse_keys, parse_steps

ISSUED = "gpu-broker:"
"""How the comment begins of every consumer's key that the broker has put on a machine."""


class NotExchanged(Exception):
    """The machine did not take the key; the message is what it said."""


def rekey_command(old_line: str, new_key: str, own_line: str) -> str:
    """The command that lets `new_key` in, and nobody any more who had a key from the broker.

    All three are public keys. Keys that the consumer has added are left alone.
    """
    old, own = (bare_public_key(line).split()[1] for line in (old_line, own_line))
    new = bare_public_key(new_key)
    return (
        f"sh -c '{SETUP}umask 077; "
        'f="$HOME/.ssh/authorized_keys"; f=$(readlink -f "$f" || echo "$f"); n="$f.gpu-broker"; '
        'cp -p "$f" "$n" && '
        f'{{ grep -vF -e "{old}" -e " {ISSUED}" "$f"; echo "{new} {ISSUED}rekeyed"; }} > "$n" && '
        f'grep -qF "{own}" "$n" && mv -f "$n" "$f"; did exchange; '
        'rm -f "$n"; cat "$f" 2>/dev/null; did keys\' 2>&1'
    )


def check_exchange(result: SshResult, old_line: str, new_key: str) -> None:
    """Raise NotExchanged unless the machine shows that the new key stands for the old one."""
    steps = parse_steps(result.stdout)
    exchange, listed = steps.get("exchange"), steps.get("keys")
    keys = parse_keys(listed.lines if listed else ())
    old, new = bare_public_key(old_line), bare_public_key(new_key)
    if new in keys and (old == new or old not in keys):
        return
    said = exchange.lines if exchange else result.stdout.splitlines()
    raise NotExchanged(first_words(said, "it does not tell why"))
