"""What can be seen at one instant: the broker's records, and what the account really holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from broker.model import Attempt, Overview, Session, Wanted
from broker.store import Store
from providers.label import parse_label
from providers.simulator.machine import Machine
from tests.lifecycle.world import World


@dataclass(frozen=True)
class Scene:
    """Records and machines, at one instant."""

    now: datetime
    wall_now: datetime
    """The same instant by the broker's clock."""
    deployment: str
    overviews: Sequence[Overview]
    """Oldest first."""
    machines: Sequence[Machine]
    """Every machine that was ever rented, by whomever."""

    @cached_property
    def by_label(self) -> dict[str, tuple[Overview, Attempt]]:
        return {one.label: (seen, one) for seen in self.overviews for one in seen.attempts}

    @property
    def ours(self) -> Iterator[Machine]:
        """The machines with our label."""
        for machine in self.machines:
            label = parse_label(machine.launch.label)
            if label is not None and label.deployment == self.deployment:
                yield machine

    def of(self, session: Session) -> list[Machine]:
        """The machines with a label of this session."""
        labels = [label for label, (seen, _) in self.by_label.items() if seen.session is session]
        return [one for one in self.machines if one.launch.label in labels]

    def is_wanted(self, session: Session) -> bool:
        """Whether the session has a right to a machine."""
        ends_at = min(session.expires_at, session.hard_max_at)
        is_asked = session.wanted is Wanted.RUNNING and not session.is_final
        return is_asked and self.wall_now < ends_at

    def is_held(self, machine: Machine) -> bool:
        """Whether a session has a right to the machine."""
        seen, attempt = self.by_label.get(machine.launch.label, (None, None))
        if seen is None or attempt is None or not self.is_wanted(seen.session):
            return False
        is_current = attempt.n == seen.session.attempt and not attempt.is_closed
        return (
            is_current and attempt.reason is None and attempt.instance_id in (None, str(machine.id))
        )

    def is_alive(self, machine: Machine) -> bool:
        """Whether it is rented, and costs money."""
        return machine.created_at <= self.now and machine.destroyed_at is None


async def look(world: World) -> Scene:
    """What is to be seen now."""
    assert world.broker is not None
    parts = world.broker.parts
    await world.hear()
    return Scene(
        now=world.now,
        wall_now=world.time.now(),
        deployment=parts.tools.rules.deployment,
        overviews=await _overviews(parts.tools.store),
        machines=world.account.machines(),
    )


async def _overviews(store: Store) -> list[Overview]:
    versions, _ = await store.versions()
    found = await store.overviews([version.id for version in versions])
    return [found[version.id] for version in reversed(versions)]
