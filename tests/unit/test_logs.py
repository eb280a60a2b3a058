"""Logs: one line a record, its fields beside the message, and never a secret."""

from __future__ import annotations

import errno
import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from broker import logs
from broker.logs import configure_logging, masked, redact

SECRET = "secret-4711/x=\"y'"
PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\nBBBB\n-----END OPENSSH PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def untouched_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process logs after a test as before it, and knows no secret of it."""
    monkeypatch.setattr(logs, "_secrets", [])
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in [known for known in root.handlers if known not in handlers]:
        root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def stream() -> io.StringIO:
    """Where the lines go; it is no terminal."""
    return io.StringIO()


class Terminal(io.StringIO):
    """A stream that says that a person reads it."""

    def isatty(self) -> bool:
        return True


def only_object(stream: io.StringIO) -> dict[str, Any]:
    """The one JSON line that was written."""
    (line,) = stream.getvalue().splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_record_is_one_json_object_with_its_fields(stream: io.StringIO) -> None:
    """Time, level, logger and message, and what was given as extra."""
    configure_logging("info", "json", stream)

    logging.getLogger("broker.x").info("Rented %s.", "it", extra={"session_id": "sess-a", "n": 2})

    found = only_object(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found == {
        "level": "info",
        "logger": "broker.x",
        "message": "Rented it.",
        "session_id": "sess-a",
        "n": 2,
    }


def test_the_time_is_the_records_own_in_utc() -> None:
    """The instant at which the record was made, to the millisecond."""
    record = logging.makeLogRecord({"created": 1_700_000_000.5, "msg": "x"})

    assert json.loads(logs.JsonFormatter().format(record))["time"] == "2023-11-14T22:13:20.500Z"


def test_an_exception_is_inside_the_object(stream: io.StringIO) -> None:
    """A traceback never breaks the rule of one object a line."""
    configure_logging("info", "json", stream)

    logging.getLogger("broker.x").error("It went wrong.", exc_info=LookupError("no such thing"))

    assert "LookupError: no such thing" in only_object(stream)["exception"]


def test_people_read_a_line_with_the_fields_after_the_message(stream: io.StringIO) -> None:
    """Text on a terminal: instant, level, logger, message, fields."""
    configure_logging("info", "text", stream)

    logging.getLogger("broker.x").warning("Slow.", extra={"provider": "vastai"})

    assert stream.getvalue().endswith("Z WARNING  broker.x: Slow. provider=vastai\n")


@pytest.mark.parametrize(("stream", "is_json"), [(io.StringIO(), True), (Terminal(), False)])
def test_without_a_format_a_terminal_gets_text_and_all_else_json(
    stream: io.StringIO, is_json: bool
) -> None:
    """People and collectors each get what they can read."""
    configure_logging("info", None, stream)

    logging.getLogger("broker.x").info("Here.")

    assert stream.getvalue().startswith("{") == is_json


def test_a_line_break_in_a_message_makes_no_second_line(stream: io.StringIO) -> None:
    """Nobody writes a line into the log that the broker did not write."""
    configure_logging("info", "text", stream)

    logging.getLogger("broker.x").info("Name: %s", "a\nb\x1b[2J")

    assert stream.getvalue().endswith("broker.x: Name: a\\nb\\x1b[2J\n")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_is_masked_wherever_it_stands(stream: io.StringIO, form: logs.Format) -> None:
    """In the message, its arguments, a field, a field's name, and the text of an exception."""
    redact(SECRET)
    configure_logging("info", form, stream)
    message = f"{SECRET} %s %r"

    logging.getLogger("broker.x").error(
        message,
        SECRET,
        {"a": SECRET},
        extra={
            "url": f"u?{quote(SECRET, safe='')}",
            "all": [{SECRET: SECRET}],
            "error": OSError(SECRET),
        },
        exc_info=LookupError(SECRET),
    )

    text = stream.getvalue()
    assert text.count("***") == 8
    assert "4711" not in text


@pytest.mark.parametrize("form", ["json", "text"])
def test_private_keys_and_bearer_tokens_are_masked_unasked(
    stream: io.StringIO, form: logs.Format
) -> None:
    """What is always a secret needs no registration."""
    configure_logging("info", form, stream)

    logging.getLogger("broker.x").info(
        "Key %s and Authorization: bearer abc.def-1", PRIVATE_KEY, extra={"key": PRIVATE_KEY}
    )

    text = stream.getvalue()
    assert "AAAA" not in text
    assert "BBBB" not in text
    assert "abc.def" not in text
    assert "Key *** and Authorization: bearer ***" in text


def test_masking_leaves_the_rest_as_it_is() -> None:
    """The longest secret goes first, so that no part of one is left."""
    text = "a=abcd b=abcdefg Bearer x1, -----BEGIN PRIVATE KEY----- cut"

    assert masked(text, ["abcd", "abcdefg"]) == "a=*** b=*** Bearer ***, ***"


def test_a_text_too_short_for_a_secret_is_not_masked(stream: io.StringIO) -> None:
    """An empty key would blacken every line."""
    redact("")
    redact("ab")
    configure_logging("info", "json", stream)

    logging.getLogger("broker.x").info("about")

    assert only_object(stream)["message"] == "about"


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_record_that_does_not_fit_is_told_without_its_arguments(
    stream: io.StringIO, form: logs.Format, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in a log call neither raises nor shows what it was about to say."""
    logging.getLogger().handlers.clear()  # pytest's own handler fails such a test
    configure_logging("info", form, stream)

    logging.getLogger("broker.x").info("%d", SECRET)

    assert "could not be written" in stream.getvalue()
    assert "test_logs.py:" in stream.getvalue()
    assert SECRET not in stream.getvalue() + capsys.readouterr().err


def test_a_broken_stream_harms_nobody(stream: io.StringIO) -> None:
    """Whoever reads the log may go away; the broker goes on."""
    configure_logging("info", "json", stream)
    stream.close()

    logging.getLogger("broker.x").info("Still here.")


class Disk(io.RawIOBase):
    """A file on a disk that may be full."""

    is_full = True
    written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.written += bytes(data)
        return len(data)


def test_what_a_full_disk_did_not_take_is_written_when_there_is_room() -> None:
    """Each record once, and none is called lost."""
    disk = Disk()
    configure_logging("info", "json", io.TextIOWrapper(io.BufferedWriter(disk), "utf-8"))
    logging.getLogger("broker").warning("while it is full")
    disk.is_full = False
    logging.getLogger("broker").warning("when there is room")

    told = [json.loads(line)["message"] for line in disk.written.splitlines()]
    assert told == ["while it is full", "when there is room"]


def test_the_level_and_the_latest_call_decide(stream: io.StringIO) -> None:
    """Records below the level are dropped, and no line is written twice."""
    configure_logging("debug", "text", stream)
    configure_logging("warning", "json", stream)

    logging.getLogger("broker.x").info("quiet")
    logging.getLogger("broker.x").warning("loud")

    assert only_object(stream)["message"] == "loud"


def test_chatty_libraries_are_heard_only_when_they_warn(stream: io.StringIO) -> None:
    """Every statement tells its life story otherwise."""
    configure_logging("debug", "json", stream)

    logging.getLogger("aiosqlite.core").info("Connected.")
    logging.getLogger("aiosqlite.core").warning("Odd.")

    assert only_object(stream)["message"] == "Odd."


def test_odd_values_of_fields_still_make_json(stream: io.StringIO) -> None:
    """Infinity, big numbers and broken text are written somehow, and so is the line."""
    configure_logging("info", "json", stream)

    logging.getLogger("broker.x").info("Odd.", extra={"a": float("inf"), "b": 2**80, "c": "\ud800"})

    found = only_object(stream)
    assert (found["a"], found["b"], found["c"]) == ("inf", 2**80, "\ud800")
