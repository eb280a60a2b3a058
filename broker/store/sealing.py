"""What a consumer sends in confidence is encrypted before it reaches the database."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken

from broker.errors import StartupError, StoreFailed
from broker.model import Confidential
from broker.store.codec import CONFIDENTIAL

_NOTHING = Confidential()


class Sealer:
    """Seals and opens with one Fernet key. Raises StartupError where the key is none."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        try:
            self._fernet = Fernet(key)
        except ValueError as error:
            raise StartupError(
                "The key that seals confidential values is not a Fernet key; restore its file."
            ) from error

    def fingerprint(self, content: bytes) -> str:
        """A keyed digest, hexadecimal: what was sent in confidence cannot be guessed from it."""
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()

    def seal(self, confidential: Confidential) -> bytes | None:
        """None where there is nothing to keep."""
        if confidential == _NOTHING:
            return None
        return self._fernet.encrypt(CONFIDENTIAL.encode(confidential).encode())

    def open(self, sealed: bytes | None) -> Confidential:
        """What was sealed; raises StoreFailed where it was sealed with another key."""
        if sealed is None:
            return _NOTHING
        try:
            return CONFIDENTIAL.decode(self._fernet.decrypt(sealed))
        except InvalidToken as error:
            raise StoreFailed(
                "The session's environment cannot be read: it was sealed with another key."
            ) from error
