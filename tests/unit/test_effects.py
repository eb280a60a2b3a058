"""Effects: every commit and every provider call is told to those who watch, by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.decide import hold, moves, upkeep
from broker.effects import PROVIDER_CALLS, Effect, Moment, effect, watch_effects
from providers.base import HasBalance, HasKeys, HasTemplates, Provider

Told = list[tuple[Effect, Moment]]

NO_OPERATIONS = {"close", "name", "capabilities"}
"""What a provider has beside its operations."""


@pytest.fixture
def told() -> Iterator[Told]:
    """What a watcher is told."""
    seen: Told = []

    def watcher(name: Effect, moment: Moment) -> None:
        seen.append((name, moment))

    with watch_effects(watcher):
        yield seen


def test_watchers_are_told_before_and_after(told: Told) -> None:
    """On both sides of what is done."""
    with effect(Effect.CREATE):
        assert told == [(Effect.CREATE, Moment.BEFORE)]
    assert told == [(Effect.CREATE, Moment.BEFORE), (Effect.CREATE, Moment.AFTER)]


def test_watchers_are_told_of_what_failed(told: Told) -> None:
    """Nobody knows what a failed effect has done: one may die after it all the same."""
    with pytest.raises(ValueError, match="lost"), effect(Effect.CREATE):
        raise ValueError("lost")
    assert told[-1] == (Effect.CREATE, Moment.AFTER)


def test_who_does_not_watch_any_more_is_told_nothing() -> None:
    """Of an effect that begins afterwards."""
    seen: Told = []
    with watch_effects(lambda name, moment: seen.append((name, moment))):
        pass
    with effect(Effect.CREATE):
        assert seen == []


def test_every_operation_of_a_provider_is_an_effect() -> None:
    """The required ones and those that only some providers have."""
    protocols = (Provider, HasTemplates, HasKeys, HasBalance)
    operations = {name for one in protocols for name in vars(one) if not name.startswith("_")}
    assert operations - NO_OPERATIONS == {str(one) for one in PROVIDER_CALLS}


def test_every_change_has_a_name_of_its_own() -> None:
    """One decision, one name: a kill at it tells which one was interrupted."""
    files = [Path(module.__file__ or "") for module in (moves, hold, upkeep)]
    names = [name for file in files for name in _named(file)]
    assert sorted(names) == sorted(set(names))


def _named(file: Path) -> list[str]:
    """The effects that a module names, one by one."""
    return [
        node.attr
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Effect"
    ]
