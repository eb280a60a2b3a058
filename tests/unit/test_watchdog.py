"""The deadline of machines that end themselves."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.decide.watchdog import Told, deadline_of, has_to_be_told, has_watchdog, is_news
from broker.model import Session, Wanted
from broker.ssh.login import SshResult
from broker.ssh.watchdog import Written, deadline_command, parse_deadlines
from providers.base import WATCHDOG_FILE
from tests.builders import NOW, PROVISIONING, RUNNING, a_request

GUARDED = replace(RUNNING, request=a_request(watchdog=True))
DEADLINE = datetime(2026, 3, 1, 13, 10, tzinfo=UTC)


def on_machine(home: Path, command: str) -> SshResult:
    """What a command says in a home, as over SSH."""
    done = subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", command],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    return SshResult(done.returncode, done.stdout, done.stderr, "")


def test_a_machine_lives_ten_minutes_longer_than_its_session_and_never_past_its_label() -> None:
    """To the second."""
    odd = replace(GUARDED, expires_at=NOW + timedelta(hours=1, microseconds=5))
    late = replace(GUARDED, held_until=GUARDED.label_deadline - timedelta(minutes=1))

    assert DEADLINE == deadline_of(GUARDED) == deadline_of(odd)
    assert GUARDED.label_deadline == deadline_of(late)


@pytest.mark.parametrize(
    ("session", "answer"),
    [
        (GUARDED, True),
        (RUNNING, False),
        (replace(PROVISIONING, request=GUARDED.request), False),
        (replace(GUARDED, wanted=Wanted.GONE), False),
    ],
)
def test_only_machines_that_work_and_asked_for_it_have_a_deadline(
    session: Session, answer: bool
) -> None:
    """Others are not told anything."""
    assert answer is has_watchdog(session)


def test_a_machine_is_told_until_it_is_known_to_have_its_deadline() -> None:
    """At once, and after failures with pauses that grow; again when the deadline moves."""
    assert has_to_be_told(GUARDED, Told(), NOW)
    assert not has_to_be_told(GUARDED, Told(DEADLINE), NOW)
    assert has_to_be_told(GUARDED, Told(DEADLINE - timedelta(hours=1), tried_at=NOW), NOW)
    for failures, seconds in [(1, 2), (2, 4), (5, 32), (6, 60), (9, 60)]:
        told = Told(None, failures, NOW)
        assert not has_to_be_told(GUARDED, told, NOW + timedelta(seconds=seconds - 1))
        assert has_to_be_told(GUARDED, told, NOW + timedelta(seconds=seconds))


def test_what_keeps_failing_is_told_now_and_then() -> None:
    """Not the first stumble, and not every one."""
    assert [3, 10, 30, 100, 200] == [tries for tries in range(1, 201) if is_news(tries)]


def test_the_command_writes_the_deadline_and_shows_what_was_there(tmp_path: Path) -> None:
    """In seconds since the epoch, with a newline, and nothing is left beside the file."""
    first = parse_deadlines(on_machine(tmp_path, deadline_command(DEADLINE)))
    later = DEADLINE + timedelta(hours=1)
    second = parse_deadlines(on_machine(tmp_path, deadline_command(later)))

    assert (None, DEADLINE) == (first.before, first.now)
    assert (DEADLINE, later) == (second.before, second.now)
    assert [WATCHDOG_FILE] == [path.name for path in tmp_path.iterdir()]
    assert f"{int(later.timestamp())}\n" == (tmp_path / WATCHDOG_FILE).read_text()


def test_a_machine_that_cannot_write_says_why(tmp_path: Path) -> None:
    """And its file stays as it was."""
    result = on_machine(tmp_path / "nowhere", deadline_command(DEADLINE))

    written = parse_deadlines(result)
    assert (None, None) == (written.before, written.now)
    assert "nowhere" in written.said


@pytest.mark.parametrize("text", ["", "soon", "-5", "9" * 30, "12 13"])
def test_what_is_no_instant_is_none(tmp_path: Path, text: str) -> None:
    """Whatever stands in the file, it is replaced."""
    (tmp_path / WATCHDOG_FILE).write_text(text)
    written = parse_deadlines(on_machine(tmp_path, deadline_command(DEADLINE)))

    assert Written(None, DEADLINE, written.said) == written


def test_a_machine_that_runs_something_else_has_written_nothing() -> None:
    """Its words are kept for the message."""
    result = SshResult(1, "This account is currently not available.\n", "", "")

    assert Written(None, None, "This account is currently not available.") == (
        parse_deadlines(result)
    )
