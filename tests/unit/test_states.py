"""The table of states."""

from __future__ import annotations

from itertools import product

import pytest

from broker.decide.states import MOVES, IllegalMove, Move, advance, diagram
from broker.model import FINAL, Status


@pytest.mark.parametrize(("status", "move"), list(product(Status, Move)))
def test_only_the_table_moves_a_status(status: Status, move: Move) -> None:
    """A move that is in the table gives its status; any other raises."""
    if move in MOVES[status]:
        assert MOVES[status][move] is advance(status, move)
    else:
        with pytest.raises(IllegalMove):
            advance(status, move)


def test_nothing_leaves_a_final_status() -> None:
    """A stopped or failed session is never revived."""
    assert all(not MOVES[status] for status in FINAL)


def test_every_live_status_has_a_way_to_an_end() -> None:
    """From every status some final one can be reached."""
    for status in Status:
        reached = {status}
        while True:
            further = reached | {after for one in reached for after in MOVES[one].values()}
            if further == reached:
                break
            reached = further
        assert reached & FINAL


def test_the_diagram_shows_every_move() -> None:
    """The diagram holds one arrow for each row of the table."""
    drawn = diagram()
    for status, moves in MOVES.items():
        for move, after in moves.items():
            assert f"{status} --> {after}: {move}" in drawn
