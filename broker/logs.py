"""Logs: one line a record, text for people or JSON for machines, without any secret.

Fields given as `extra=` (session_id, provider, action …) become fields of the line.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO
from urllib.parse import quote

MASK = "***"

Format = Literal["text", "json"]

_SHORTEST_SECRET = 4
"""Shorter texts are no secrets, and masking them would blacken the log."""
_CHATTY = ("aiosqlite", "alembic", "asyncssh", "urllib3")
"""Libraries that tell every step they take: only their warnings are heard."""
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_BEARER = re.compile(r"\b(Bearer\s+)[^\s\"',;]+", re.IGNORECASE)
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROL |= {ord("\n"): "\\n", ord("\t"): "\\t", ord("\r"): "\\r"}
_UNWRITABLE = "A log record could not be written: its message and its arguments do not fit."

_secrets: list[str] = []


def redact(secret: str) -> None:
    """From now on `secret` is masked in every line that is logged, however it is quoted there."""
    if len(secret) < _SHORTEST_SECRET:
        return
    spellings = (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe=""))
    _secrets.extend(text for text in dict.fromkeys(spellings) if text not in _secrets)


def configure_logging(level: str, format: Format | None, stream: TextIO | None = None) -> None:  # noqa: A002 (the setting's name)
    """Log what is at least `level` to `stream` (standard error).

    `format` None is text on a terminal, else JSON. A later call replaces an earlier one.
    """
    handler = _Handler(stream or sys.stderr)
    is_text = format == "text" or (format is None and handler.stream.isatty())
    handler.setFormatter(TextFormatter() if is_text else JsonFormatter())
    root = logging.getLogger()
    for earlier in [known for known in root.handlers if isinstance(known, _Handler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)


def masked(text: str, secrets: Iterable[str]) -> str:
    """`text` with every one of `secrets`, every private key and every bearer token masked."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _BEARER.sub(rf"\1{MASK}", _PRIVATE_KEY.sub(MASK, text))


class JsonFormatter(logging.Formatter):
    """A record as one JSON object in one line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _present_time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(_plain(_extra_fields(record) | line))


class TextFormatter(logging.Formatter):
    """A record as a line for people; an exception follows in lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _extra_fields(record).items())
        said = masked(f"{record.name}: {record.getMessage()}{fields}", _secrets)
        line = f"{_present_time(record)} {record.levelname:<8} {said.translate(_CONTROL)}"
        if record.exc_info:
            line += "\n" + masked(self.formatException(record.exc_info), _secrets)
        return line


class _Handler(logging.StreamHandler[TextIO]):
    """Ours among the handlers of the process."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the library's name)
        """Say that a record was lost; the standard way prints its arguments, secrets included."""
        if isinstance(sys.exc_info()[1], OSError):
            # A full disk: what the stream has taken is written when there is room again.
            return
        if record.msg != _UNWRITABLE:
            lost = {"name": record.name, "levelno": logging.ERROR, "levelname": "ERROR"}
            lost |= {"msg": _UNWRITABLE, "place": f"{record.filename}:{record.lineno}"}
            self.emit(logging.makeLogRecord(lost))


def _extra_fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}


def _present_time(record: logging.LogRecord) -> str:
    instant = datetime.fromtimestamp(record.created, tz=UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> object:
    """`value` in JSON's own types, every text masked."""
    match value:
        case float():
            return value if math.isfinite(value) else str(value)
        case None | bool() | int():
            return value
        case Mapping():
            return {masked(str(key), _secrets): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case _:
            return masked(str(value), _secrets)
