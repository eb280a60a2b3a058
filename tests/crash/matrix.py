"""One case of the crash matrix: a broker dies at an effect, and the next one keeps the laws."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from broker.effects import Effect, Moment
from tests.crash import laws
from tests.crash.account import DEPLOYMENT, rent_foreign
from tests.crash.lives import Died, Doomed
from tests.crash.scenarios import MORE, SCENARIOS, Scenario

_SETTINGS = {
    "ORPHAN_GRACE_PERIOD": "500ms",
    "INVENTORY_CACHE_TTL": "1s",
    "DEPLOYMENT_ID": DEPLOYMENT,
}
_PATIENCE = 180.0
"""Seconds in which a scenario must have come to the point."""


@dataclass(frozen=True, slots=True)
class Case:
    """Where to die, and on which way there."""

    effect: Effect
    moment: Moment
    special: str = ""

    @property
    def scenario(self) -> Scenario | None:
        """None where nobody has thought of one yet."""
        return MORE[self.special][1] if self.special else SCENARIOS.get(self.effect)

    def __str__(self) -> str:
        return f"{self.moment} {self.effect}" + (f" ({self.special})" if self.special else "")


MATRIX = (
    *(Case(effect, moment) for effect in Effect for moment in Moment),
    *(Case(effect, moment, word) for word, (effect, _) in MORE.items() for moment in Moment),
)
"""Every effect, on both sides."""


def make_seed(folder: Path) -> Path:
    """What a broker leaves that has started and stopped once, in an account that others share."""
    rent_foreign(folder / "data")
    broker = Doomed(folder, dict(_SETTINGS))
    try:
        broker.start()
        assert broker.stop() == 0
    finally:
        broker.close()
    return folder


def try_out(case: Case, seed: Path, folder: Path) -> None:
    """Kill a broker there, start it again, and hold it to the laws."""
    scenario = case.scenario
    assert scenario is not None, f"no scenario brings about {case.effect}"
    folder.mkdir()
    if scenario.is_first:
        rent_foreign(folder / "data")
    else:
        shutil.copytree(seed, folder, dirs_exist_ok=True)
    broker = Doomed(folder, _SETTINGS | dict(scenario.settings), is_odd=scenario.is_odd)
    try:
        die(broker, case, scenario)
        before = laws.final_rows(folder / "data")
        broker.start()
        laws.assert_lawful(broker, before)
    finally:
        broker.close()


def die(broker: Doomed, case: Case, scenario: Scenario) -> None:
    """Live until the effect, once or after an earlier life."""
    if scenario.earlier is not None:
        earlier = scenario.earlier
        _live(broker, earlier.effect, earlier.moment, Scenario(earlier.play))
    if scenario.before is not None:
        scenario.before(broker)
    _live(broker, case.effect, case.moment, scenario)


def _live(broker: Doomed, effect: Effect, moment: Moment, scenario: Scenario) -> None:
    broker.habits, broker.options = scenario.habits, scenario.options
    broker.live_until(effect, moment, scenario.times)
    with suppress(Died):
        broker.until_it_answers() if scenario.is_hasty else broker.until_ready()
        scenario.play(broker)
    assert broker.has_died(_PATIENCE), f"{effect} was not brought about"
