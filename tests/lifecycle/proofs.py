"""What a broker writes of a machine, held against what the marketplace really said."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from broker.model import Attempt, Outcome, Overview, Reason, Witness
from providers.simulator.machine import Machine
from tests.lifecycle.answers import Answer, Answers
from tests.lifecycle.scene import Scene
from tests.lifecycle.world import LOST_AFTER

APART = timedelta(seconds=1)
"""So far apart the same question has to be asked to tell more."""
SETTLE = timedelta(seconds=2)
"""So long this marketplace may take to list what it has made."""


class Unlawful(AssertionError):
    """A law is broken."""


def require(is_lawful: bool, words: str) -> None:
    """Raises Unlawful with these words where it is not."""
    if not is_lawful:
        raise Unlawful(words)


@dataclass
class Proofs:
    """Judges each attempt once, when it is over."""

    answers: Answers
    proves_directly: bool
    judged: set[str] = field(default_factory=set)

    def judge(self, scene: Scene) -> None:
        """Raises Unlawful where something is called gone, lost or never made that nobody said."""
        for seen in scene.overviews:
            for attempt in seen.attempts:
                self._judge(scene, seen, attempt)

    def _judge(self, scene: Scene, seen: Overview, attempt: Attempt) -> None:
        words = f"{attempt} {seen.session}"
        is_lost = attempt.reason is Reason.INSTANCE_LOST
        if is_lost and f"lost {attempt.label}" not in self.judged:
            self.judged.add(f"lost {attempt.label}")
            machine = next(one for one in scene.ours if str(one.id) == attempt.instance_id)
            is_known = self._is_missed(attempt, machine) or self.is_down(attempt, machine)
            require(is_known, f"lost, though nobody said so: {words}")
        if attempt.ended_at is None or attempt.label in self.judged:
            return
        self.judged.add(attempt.label)
        if attempt.instance_id is not None:
            require(self._is_gone(attempt, attempt.instance_id), f"gone without a proof: {words}")
        elif attempt.outcome is Outcome.UNKNOWN:
            require(self._was_looked_for(attempt), f"given up without a look: {words}")

    def _is_gone(self, attempt: Attempt, instance_id: str) -> bool:
        """Whether the two observations were made, one after the other."""
        first_by, second_by = attempt.absent_by, attempt.gone_by
        if first_by is None or second_by is None:
            return False
        assert attempt.absent_at is not None
        assert attempt.gone_at is not None
        since = self.answers.earliest(attempt.absent_at)
        until = self.answers.latest(attempt.gone_at)
        return any(
            since <= first.asked_at <= second.asked_at <= until and _are_two(first, second)
            for first in self.answers.denials(instance_id, first_by)
            for second in self.answers.denials(instance_id, second_by)
        )

    def _was_looked_for(self, attempt: Attempt) -> bool:
        """Whether a list was without it that was old enough to show it."""
        assert attempt.ended_at is not None
        since = self.answers.earliest(attempt.started_at) + SETTLE
        lists = self.answers.lists(since, self.answers.latest(attempt.ended_at))
        return any(attempt.label not in one.labels for one in lists)

    def _is_missed(self, attempt: Attempt, machine: Machine) -> bool:
        """Whether two lists in a row were without it, and two answers to who asked for it alone."""
        since, until = self._until_lost(attempt, machine)
        lists = self.answers.lists(since, until)
        instance_id = str(machine.id)
        is_missed = any(
            one.denies(instance_id) and other.denies(instance_id) for one, other in pairwise(lists)
        )
        denials = self.answers.denials(instance_id, Witness.LOOKUP)
        denied = [one for one in denials if since <= one.asked_at <= until]
        return is_missed and (not self.proves_directly or len(denied) > 1)

    def is_down(self, attempt: Attempt, machine: Machine) -> bool:
        """Whether it was called down for long enough."""
        _, until = self._until_lost(attempt, machine)
        dies_at = machine.fate.dies_at
        return dies_at is not None and until - dies_at >= LOST_AFTER

    def _until_lost(self, attempt: Attempt, machine: Machine) -> tuple[datetime, datetime]:
        """From its making until it was called lost."""
        assert attempt.due_at is not None
        return machine.created_at, self.answers.latest(attempt.due_at)


def _are_two(first: Answer, second: Answer) -> bool:
    """Whether the second one tells more than the first."""
    return first.by is not second.by or second.asked_at - first.asked_at >= APART
