"""Scripted misfortunes: how they are read, and in which order they happen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from providers.simulator.faults import (
    Fault,
    FaultBook,
    FaultInvalid,
    Operation,
    Word,
    parse_fault,
    present_fault,
)


def wrong_fields(body: object) -> list[str]:
    """The fields that are wrong in a misfortune."""
    with pytest.raises(FaultInvalid) as caught:
        parse_fault(body)
    return [problem.field for problem in caught.value.problems]


def test_a_whole_misfortune_is_read() -> None:
    """Every field has its place."""
    body = {
        "fault": "late_effect",
        "operation": "destroy",
        "times": 3,
        "delay": "1500ms",
        "offer_id": "simulator-1",
        "session_id": "sess-aaaaaaaaaa",
    }

    assert parse_fault(body) == Fault(
        fault=Word.LATE_EFFECT,
        operation=Operation.DESTROY,
        times=3,
        delay=timedelta(seconds=1.5),
        offer_id="simulator-1",
        session_id="sess-aaaaaaaaaa",
    )


@pytest.mark.parametrize(
    ("word", "operation", "delay"),
    [
        ("offer_gone", Operation.CREATE, None),
        ("slow", Operation.CREATE, timedelta(seconds=2)),
        ("never_boots", Operation.BOOT, None),
        ("refused", Operation.CREATE, None),
        ("key_late", Operation.SSH, timedelta(seconds=2)),
        ("wrong_gpu", Operation.BOOT, None),
        ("dies", Operation.BOOT, None),
        ("reply_lost", Operation.CREATE, None),
        ("late_effect", Operation.CREATE, timedelta(seconds=2)),
        ("error", Operation.CREATE, None),
        ("partial", Operation.LIST, None),
        ("ignored", Operation.DESTROY, None),
    ],
)
def test_a_word_alone_is_enough(word: str, operation: Operation, delay: timedelta | None) -> None:
    """It happens once, where it usually happens."""
    assert parse_fault({"fault": word}) == Fault(Word(word), operation, 1, delay)


@pytest.mark.parametrize("operation", ["boot", "create", "ssh"])
@pytest.mark.parametrize("word", ["never_boots", "wrong_gpu", "dies"])
def test_what_befalls_machines_may_be_asked_of_their_making(word: str, operation: str) -> None:
    """There is only one thing that it can mean."""
    assert parse_fault({"fault": word, "operation": operation}).operation is Operation.BOOT


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (None, ["fault"]),
        ([], ["fault"]),
        ({}, ["fault"]),
        ({"fault": "earthquake"}, ["fault"]),
        ({"fault": ["slow"]}, ["fault"]),
        ({"fault": "slow", "operation": "sleep"}, ["operation"]),
        ({"fault": "slow", "colour": "red"}, ["colour"]),
        ({"fault": "slow", "times": 0}, ["times"]),
        ({"fault": "slow", "times": True}, ["times"]),
        ({"fault": "slow", "times": "2"}, ["times"]),
        ({"fault": "slow", "delay": 2}, ["delay"]),
        ({"fault": "slow", "delay": "2 days"}, ["delay"]),
        ({"fault": "slow", "delay": "-2s"}, ["delay"]),
        ({"fault": "slow", "delay": "8761h"}, ["delay"]),
        ({"fault": "slow", "offer_id": ""}, ["offer_id"]),
        ({"fault": "slow", "session_id": 7}, ["session_id"]),
        ({"fault": "slow", "operation": "list", "offer_id": "simulator-1"}, ["operation"]),
        ({"fault": "offer_gone", "operation": "destroy"}, ["operation"]),
        ({"fault": "partial", "operation": "get"}, ["operation"]),
        ({"fault": "ignored", "operation": "create"}, ["operation"]),
        ({"fault": "key_late", "operation": "list"}, ["operation"]),
        ({"fault": "late_effect", "operation": "boot"}, ["operation"]),
        (
            {"fault": "no", "operation": "no", "times": -1, "delay": "no", "x": 1},
            ["x", "fault", "operation", "times", "delay"],
        ),
    ],
)
def test_every_wrong_field_is_named(body: Any, wrong: list[str]) -> None:
    """Not only the first."""
    assert wrong_fields(body) == wrong


@pytest.mark.parametrize("delay", ["0s", "250ms", "1.5s", "90s", "8760h"])
def test_what_is_shown_can_be_sent_again(delay: str) -> None:
    """The list speaks the language of the request."""
    fault = parse_fault({"fault": "slow", "operation": "ssh", "delay": delay, "times": 2})

    assert parse_fault(present_fault(fault)) == fault


def test_misfortunes_happen_in_their_order_and_as_often_as_asked() -> None:
    """The first that matches comes first, and is used up before the second."""
    first = Fault(Word.SLOW, Operation.GET, times=2)
    second = Fault(Word.ERROR, Operation.GET)
    book = FaultBook([first, second])

    taken = [book.take(Operation.GET) for _ in range(4)]

    assert [fault and fault.fault for fault in taken] == [
        *(Word.SLOW, Word.SLOW, Word.ERROR),
        None,
    ]
    assert book.left == ()


def test_a_misfortune_waits_for_its_offer_and_its_session() -> None:
    """Calls about anything else go well."""
    fault = Fault(Word.ERROR, Operation.CREATE, offer_id="simulator-1", session_id="sess-a")
    book = FaultBook([fault])

    assert book.take(Operation.CREATE) is None
    assert book.take(Operation.CREATE, offer_id="simulator-1", session_id="sess-b") is None
    assert book.take(Operation.DESTROY, offer_id="simulator-1", session_id="sess-a") is None
    assert book.take(Operation.CREATE, offer_id="simulator-1", session_id="sess-a") == fault


def test_the_book_shows_what_is_left_and_can_be_cleared() -> None:
    """A misfortune that has happened once of twice is there once more."""
    book = FaultBook()
    book.add(Fault(Word.ERROR, Operation.LIST, times=2))
    book.take(Operation.LIST)

    assert book.left == (Fault(Word.ERROR, Operation.LIST, times=1),)

    book.clear()

    assert book.left == ()
