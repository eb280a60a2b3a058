"""Making what consumers are told once: key pairs and session tokens."""

from __future__ import annotations

import asyncio
import hashlib
import secrets

from broker.errors import Detail, ValidationFailed
from broker.model import KeyType
from broker.ssh.keys import BadKey, generate, parse_public_key


def new_token() -> str:
    """A session token."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is stored of a session token."""
    return hashlib.sha256(token.encode()).hexdigest()


async def new_keys(
    public_key: str | None, key_type: KeyType, consumer_id: str
) -> tuple[str | None, str]:
    """The private key (PEM) to hand over, and the public line.

    A consumer that brings its own `public_key` gets no private one; raises ValidationFailed
    where that is no key.
    """
    if public_key is not None:
        try:
            return None, parse_public_key(public_key)
        except BadKey as error:
            details = [Detail("ssh_public_key", str(error))]
            raise ValidationFailed("Wrong fields: ssh_public_key.", details=details) from error
    comment = f"gpu-broker:{consumer_id}"
    if key_type is KeyType.RSA:
        pair = await asyncio.to_thread(generate, key_type, comment)
    else:
        pair = generate(key_type, comment)
    return pair.private_pem, pair.public_line
