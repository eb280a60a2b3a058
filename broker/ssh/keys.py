"""SSH keys: pairs made for consumers, the broker's own key, and keys that consumers bring."""

from __future__ import annotations

import base64
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from broker.effects import Effect, effect
from broker.errors import StartupError
from broker.model import KeyType

RSA_BITS = 4096
LEAST_RSA_BITS = 2048
LONGEST_COMMENT = 128
LONGEST_LINE = 16_384
OWN_COMMENT = "gpu-broker"
PUBLIC_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""What a consumer's own key may be."""

_PrivateKey = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


class BadKey(ValueError):
    """The SSH key cannot be used; the message says why and never quotes the key."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair: the private half as PEM text, the public half as an OpenSSH line."""

    private_pem: str = field(repr=False)
    public_line: str


def generate(key_type: KeyType, comment: str) -> KeyPair:
    """A new key pair; `comment` ends the public line.

    Ed25519 takes a fraction of a millisecond. RSA takes up to a second of a core:
    call it in a thread.
    """
    if key_type is KeyType.RSA:
        key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        return _pair(key, PrivateFormat.TraditionalOpenSSL, comment)
    return _pair(ed25519.Ed25519PrivateKey.generate(), PrivateFormat.OpenSSH, comment)


def parse_public_key(text: str) -> str:
    """The OpenSSH line of a consumer's own public key, in its one normal spelling.

    A comment that is not printable, or too long, is left out. Raises `BadKey`.
    """
    line = text.strip()
    if "PRIVATE KEY" in line:
        raise BadKey("This is a private key. Send the public key: the line in the .pub file.")
    if len(line) > LONGEST_LINE or len(line.splitlines()) != 1:
        raise BadKey("A public key is one line: its type, the key, and possibly a comment.")
    kind, encoded, comment = (*line.split(None, 2), "", "", "")[:3]
    if kind not in PUBLIC_KEY_TYPES:
        raise BadKey(f"The line must begin with one of {', '.join(PUBLIC_KEY_TYPES)}.")
    return _with_comment(f"{kind} {_normal(kind, encoded)}", comment)


def load_or_create(path: Path) -> KeyPair:
    """The broker's own Ed25519 key, kept at `path` and made at the first start.

    The file is for its owner only (0600; a wider mode is narrowed) and appears
    complete or not at all. Raises `StartupError` where it holds no key.
    """
    if not path.exists():
        _create(path, generate(KeyType.ED25519, OWN_COMMENT))
    if stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        path.chmod(0o600)
    content = path.read_text(errors="replace")
    try:
        key = load_ssh_private_key(content.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise StartupError(
            f"{path} is not an unencrypted Ed25519 key. Put the right file back, or move it away: "
            "then a new key is made, which machines that are rented already do not know."
        )
    return KeyPair(private_pem=content, public_line=_public_line(key, OWN_COMMENT))


def _pair(key: _PrivateKey, private_format: PrivateFormat, comment: str) -> KeyPair:
    private = key.private_bytes(Encoding.PEM, private_format, NoEncryption()).decode()
    return KeyPair(private_pem=private, public_line=_public_line(key, comment))


def _public_line(key: _PrivateKey, comment: str) -> str:
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return _with_comment(public.decode(), comment)


def _with_comment(key: str, comment: str) -> str:
    is_fit = comment.isprintable() and 0 < len(comment) <= LONGEST_COMMENT
    return f"{key} {comment}" if is_fit else key


def _normal(kind: str, encoded: str) -> str:
    try:
        blob = base64.b64decode(encoded, validate=True)
        key = load_ssh_public_key(f"{kind} {encoded}".encode())
    except (ValueError, UnsupportedAlgorithm):
        # The parser's own words may quote the key.
        raise BadKey(f"The key after {kind} is damaged or not of that type.") from None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_RSA_BITS:
        raise BadKey(
            f"An RSA key of {key.key_size} bits is too weak: at least {LEAST_RSA_BITS}, "
            "or better an Ed25519 key (ssh-keygen -t ed25519)."
        )
    return base64.b64encode(blob).decode()


def _create(path: Path, pair: KeyPair) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Temporary files have mode 0600 from the start, and go away where writing fails.
    with (
        effect(Effect.WRITE_FILE),
        NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-") as file,
    ):
        file.write(pair.private_pem)
        file.flush()
        os.fsync(file.fileno())
        _link_once(Path(file.name), path)


def _link_once(source: Path, path: Path) -> None:
    """Give `source` the name `path` as well, for good, unless somebody was faster."""
    with suppress(FileExistsError):
        path.hardlink_to(source)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
