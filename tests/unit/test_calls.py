"""The calls of an account: what their answers are read with, and what becomes of failures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from providers.answers import Context
from providers.calls import Calls
from providers.errors import (
    BadResponse,
    InvalidRequest,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Unavailable,
)
from providers.http import Answer, NotSent, ReplyLost
from providers.pacing import Lane, Pacer
from tests.builders import NOW

PATIENCE = timedelta(seconds=5)


def calls(pacer: Pacer | None = None, pace: float = 0.5) -> Calls:
    """Those of an account with one lane."""
    pacer = pacer or Pacer({"lane": Lane()})
    usual = timedelta(seconds=10)
    return Calls(pacer, lambda: NOW, pace=pace, usual_wait=usual, secret="my-key")


async def answered() -> Answer:
    """A request that is answered."""
    return Answer(200, {}, "words")


def raising(error: ProviderError) -> Callable[[Answer, Context], str]:
    """A reading that finds this in every answer."""

    def read(_: Answer, __: Context) -> str:
        raise error

    return read


async def test_an_answer_is_read_with_what_is_known_of_the_account() -> None:
    """The time, the usual wait at its pace, and its key; a representation does not tell that."""
    seen: list[Context] = []

    def read(answer: Answer, context: Context) -> str:
        seen.append(context)
        return answer.text

    assert await calls().ask("lane", answered, read) == "words"
    assert await calls().create("lane", answered, read, patience=PATIENCE) == "words"
    assert seen == [Context(NOW, timedelta(seconds=5), "my-key")] * 2
    assert "my-key" not in repr(seen)


async def test_a_refusal_for_haste_lets_the_lane_rest() -> None:
    """Whoever asked is told; the others wait."""
    pacer = Pacer({"lane": Lane()})
    refused = RateLimited("too soon", retry_after=timedelta(seconds=30))

    with pytest.raises(RateLimited, match="too soon"):
        await calls(pacer).ask("lane", answered, raising(refused))

    with pytest.raises(RateLimited):
        async with pacer.turn("lane", patience=timedelta(seconds=20)):
            pass


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Unavailable("x"), OutcomeUnknown),
        (BadResponse("x"), OutcomeUnknown),
        (ReplyLost("x"), OutcomeUnknown),
        (NotSent("x"), NotSent),
        (InvalidRequest("x"), InvalidRequest),
    ],
)
async def test_a_creation_that_may_have_made_a_machine_says_so(
    error: ProviderError, told: type[ProviderError]
) -> None:
    """It is sent once; what was refused or never sent has made none."""
    sent: list[str] = []

    async def send() -> Answer:
        sent.append("once")
        return await answered()

    with pytest.raises(told, match="x"):
        await calls().create("lane", send, raising(error), patience=PATIENCE)
    assert sent == ["once"]
