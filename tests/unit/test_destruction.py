"""Destructions that meet trouble: what is kept of them, and when somebody has to look."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from broker.decide.destruction import PATIENCE, Failing, fails_again, is_alarming
from broker.decide.pauses import is_news
from tests.builders import LATER, NOW, SESSION_ID

FAILING = Failing("vastai", "31", SESSION_ID, is_orphan=False, since=NOW, tries=1, answer="no")


def test_trouble_adds_up_and_the_last_answer_counts() -> None:
    """From the first asking on, whoever asks later."""
    again = fails_again(FAILING, replace(FAILING, since=LATER, answer="not now"))

    assert replace(FAILING, tries=2, answer="not now") == again
    assert FAILING == fails_again(None, FAILING)


def test_it_is_shouted_often_at_first_and_then_now_and_then() -> None:
    """A destruction that fails for days must not fill the log."""
    assert [1, 3, 10, 30, 100, 200, 300] == [n for n in range(1, 301) if is_news(n)]


def test_what_fails_for_long_is_alarming() -> None:
    """A hiccup is not."""
    assert not is_alarming(FAILING, NOW + PATIENCE - timedelta(seconds=1))
    assert is_alarming(FAILING, NOW + PATIENCE)
