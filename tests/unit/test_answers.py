"""The answers that are kept: of one revision, and no more than memory is meant for them."""

from __future__ import annotations

from broker.api.answers import Answer, Answers

_LARGE = Answer(b"a" * 1_000_000, "tag")


def test_an_answer_is_kept_for_its_query_and_revision() -> None:
    """Another revision of the market has none yet."""
    answers = Answers()
    answers.keep("limit=1", 1, _LARGE)

    assert answers.find("limit=1", 1) is _LARGE
    assert answers.find("limit=2", 1) is None
    assert answers.find("limit=1", 2) is None


def test_the_oldest_answers_make_room() -> None:
    """Large ones sooner than small ones; a new revision begins with all the room."""
    answers = Answers()
    for revision in (1, 2):
        for number in range(100):
            answers.keep(str(number), revision, _LARGE)
        kept = [number for number in range(100) if answers.find(str(number), revision)]
        assert kept == list(range(100 - len(kept), 100))
        assert 10 <= len(kept) < 17
    for number in range(1000):
        answers.keep(f"small {number}", 3, Answer(b"{}", "tag"))
    assert all(answers.find(f"small {number}", 3) for number in range(1000))


def test_an_answer_that_is_kept_twice_counts_once() -> None:
    """Two who ask at the same time may both have it made."""
    answers = Answers()
    for _ in range(100):
        answers.keep("limit=1", 1, _LARGE)

    assert answers.find("limit=1", 1) is _LARGE
