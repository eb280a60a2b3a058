"""A final session stays as it is, whatever happens to it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from decimal import Decimal

import pytest

from broker.decide import meter, moves, upkeep
from broker.decide.boot import Wrong
from broker.decide.states import IllegalMove
from broker.effects import Effect
from broker.model import (
    FINAL,
    Change,
    Reason,
    Session,
    Status,
    Wanted,
)
from tests.builders import (
    ACCESS,
    LATER,
    MADE,
    NOW,
    PROOF,
    SENT,
    TIMEOUT,
    VERIFIED,
    a_session,
    an_attempt,
    an_instance,
)

MOVES: dict[str, Callable[[Session], Change]] = {
    "launch": lambda s: moves.launch(s, an_attempt(), LATER),
    "accept": lambda s: moves.accept(s, SENT, an_instance(), LATER, TIMEOUT),
    "accept_failed": lambda s: moves.accept_failed(
        s, SENT, an_instance(), Wrong(Reason.BOOT_FAILED, ""), LATER
    ),
    "reissue": lambda s: upkeep.reissue(s, "ssh-ed25519 AAAA", None, ACCESS, LATER),
    "note_detached": lambda s: upkeep.note_detached(s, "ssh-ed25519 AAAA", LATER),
    "note_watchdog": lambda s: upkeep.note_watchdog(s, None, LATER, LATER),
    "watchdog_fails": lambda s: upkeep.watchdog_fails(s, LATER, "", LATER),
    "reprice": lambda s: moves.reprice(s, MADE, Decimal(1), LATER),
    "lose_reply": lambda s: moves.lose_reply(s, SENT, "", LATER),
    "bury": lambda s: moves.bury(s, SENT, LATER),
    "refuse": lambda s: moves.refuse(s, SENT, Reason.OFFER_GONE, "", LATER),
    "abandon": lambda s: moves.abandon(s, an_attempt(), LATER),
    "locate": lambda s: moves.locate(s, ACCESS, LATER),
    "wait": lambda s: moves.wait(s, MADE, "", LATER),
    "verify": lambda s: moves.verify(s, MADE, ACCESS, {}, LATER),
    "doom": lambda s: moves.doom(s, MADE, Reason.WRONG_GPU, "", LATER),
    "extend": lambda s: moves.extend(s, LATER, LATER),
    "warn": lambda s: moves.warn(s, LATER),
    "mark_lost": lambda s: moves.mark_lost(s, NOW, "", LATER),
    "mark_idle": lambda s: moves.mark_idle(s, NOW, LATER),
    "reap_idle": lambda s: moves.reap_idle(s, {}, NOW, LATER, is_ending=True),
    "report_idle": lambda s: moves.reap_idle(s, {}, NOW, LATER, is_ending=False),
    "end": lambda s: moves.end(s, Reason.DONE, NOW, LATER),
    "lose": lambda s: moves.lose(s, VERIFIED, "", LATER),
    "ask_to_destroy": lambda s: moves.ask_to_destroy(s, VERIFIED, LATER),
    "destroying": lambda s: moves.destroying(s, VERIFIED, LATER),
    "destroy_again": lambda s: moves.destroy_again(s, VERIFIED, LATER),
    "run_on": lambda s: meter.run_on(s, VERIFIED),
    "destroy_fails": lambda s: moves.destroy_fails(s, VERIFIED, "", LATER),
    "gone": lambda s: moves.gone(s, VERIFIED, PROOF, LATER),
    "retry": lambda s: moves.retry(s, an_attempt(n=2), LATER),
    "give_up": lambda s: moves.give_up(s, VERIFIED, Reason.OFFER_GONE, "", LATER),
    "conclude": lambda s: moves.conclude(Change(Effect.CONCLUDE, s), LATER),
}


def test_every_move_is_among_those_that_are_held_against_final_sessions() -> None:
    """A new move cannot be forgotten here; only the first record has no session before it."""
    own = {
        name
        for module in (meter, moves, upkeep)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
        if "Change" in function.__annotations__["return"]
    }

    assert own == {*MOVES, "record"} - {"report_idle"}


@pytest.mark.parametrize("status", sorted(FINAL))
@pytest.mark.parametrize("name", MOVES)
def test_nothing_happens_to_a_final_session(name: str, status: Status) -> None:
    """A row that is final is never written again."""
    final = a_session(status=status, wanted=Wanted.GONE, reason=Reason.DONE, stopped_at=NOW)
    with pytest.raises(IllegalMove):
        MOVES[name](final)
