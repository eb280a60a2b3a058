"""What must be true of a broker and its account at every instant, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from broker.model import Attempt, Outcome, Overview, Reason, Session, Status
from providers.label import parse_label
from providers.simulator.machine import Machine
from tests.lifecycle.proofs import Proofs, require
from tests.lifecycle.scene import Scene
from tests.lifecycle.world import (
    CHECK,
    GRACE,
    LONGEST_DELAY,
    LOST_AFTER,
    RECONCILIATION,
    VERIFY_TIMEOUT,
    Deeds,
)

_A_SECOND = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)
"""Between two tries of whatever fails."""
_ACT = _LONGEST_PAUSE + LONGEST_DELAY + CHECK
"""How long what is decided may take, after everything is well again."""

TO_END = _ACT
"""How long the machine of a session that is over lives on."""
TO_REAP = GRACE + 2 * RECONCILIATION + _ACT
"""How long a machine that nobody holds lives on."""
TO_BURY = RECONCILIATION + _ACT
"""How long a machine that appears after a lost reply lives on."""
TO_MISS = 2 * RECONCILIATION + _ACT
"""How long a session lives on whose machine is gone."""
TO_LOSE = LOST_AFTER + TO_MISS
"""How long a session lives on whose machine is not reached any more."""

_ASKED_FOR = {Reason.DONE, Reason.DELETED}
_BY_TIME = {Reason.EXPIRED, Reason.HARD_MAXIMUM}
_IN_TIME = {Reason.BOOT_TIMEOUT, Reason.SSH_TIMEOUT}


TOMBSTONE = timedelta(minutes=30)
"""After an attempt whose machine was not found: so long it is destroyed as soon as it appears."""


@dataclass
class Laws:
    """Judges what is seen, one scene after the other."""

    deeds: Deeds
    proofs: Proofs
    finals: dict[str, Overview] = field(default_factory=dict)
    """Sessions as they were when they had just ended."""
    since: dict[tuple[str, object], datetime] = field(default_factory=dict)
    """Disorder -> when it was first seen."""

    def judge(self, scene: Scene, calm_since: datetime) -> None:
        """Raises Unlawful. `calm_since` is when the last misfortune was over."""
        disorders = dict(_disorders(scene))
        self.since = {one: self.since.get(one, scene.now) for one in disorders}
        for one, (allowed, words) in disorders.items():
            lasts = scene.now - max(self.since[one], calm_since)
            require(lasts <= allowed, f"{words}, for {lasts}")
        self._judge_finals(scene)
        self._judge_others(scene)
        self._judge_keys(scene)
        for seen in scene.overviews:
            self._judge_lease(seen.session)
            _judge_words(seen)
            self._judge_twins(scene, seen.session)
        for machine in scene.ours:
            self._judge_end(scene, machine)
            self._judge_burial(scene, machine)
            self._judge_orphan(scene, machine)
        self.proofs.judge(scene)
        require(not self.deeds.accidents, f"unforeseen: {self.deeds.accidents}")

    def _judge_finals(self, scene: Scene) -> None:
        """What is over never changes, agrees with the account, and costs what that bills."""
        for seen in scene.overviews:
            if not seen.session.is_final:
                require(seen.session.id not in self.finals, f"revived: {seen.session}")
                continue
            before = self.finals.setdefault(seen.session.id, seen)
            require(before == seen, f"changed after its end: {before} {seen}")
            for machine in scene.of(seen.session):
                self._judge_final(scene, seen, machine)

    def _judge_final(self, scene: Scene, seen: Overview, machine: Machine) -> None:
        _, attempt = scene.by_label[machine.launch.label]
        if machine.id in self.deeds.planted or attempt.outcome is Outcome.UNKNOWN:
            return
        is_gone = machine.gone_at is not None and machine.gone_at <= scene.now
        require(is_gone, f"over, and its machine is not: {seen.session} {machine}")
        require(attempt.instance_id == str(machine.id), f"nobody knew of it: {attempt} {machine}")
        self._judge_bill(seen, attempt, machine)

    def _judge_bill(self, seen: Overview, attempt: Attempt, machine: Machine) -> None:
        """Cost is the bill, within a second; but nobody can know when others destroyed it.

        Where the broker had asked for that before, and had no answer, it may have been then.
        """
        (accrual,) = [one for one in seen.accruals if one.attempt == attempt.n]
        assert accrual.ends_at is not None
        assert machine.destroyed_at is not None
        slack = _A_SECOND + self.deeds.jumped
        early = accrual.begins_at - machine.created_at
        late = accrual.ends_at - machine.destroyed_at
        asked_at = attempt.destroy_asked_at
        is_by_hand = machine.id in self.deeds.by_hand
        may_be_ours = is_by_hand and asked_at is not None and asked_at <= accrual.ends_at + slack
        words = f"{attempt} {accrual} {machine}"
        require(abs(early) <= slack, f"billed from {early} after its making: {words}")
        require(late >= -slack or may_be_ours, f"billed until {-late} before its end: {words}")
        is_told = not is_by_hand and not self.deeds.is_disturbed(
            machine.destroyed_at, machine.destroyed_at + late
        )
        require(late <= slack or not is_told, f"billed until {late} after its end: {words}")
        price = machine.launch.price_per_hour
        require(accrual.price_per_hour == price, f"billed at another price: {words}")

    def _judge_others(self, scene: Scene) -> None:
        """What is not ours is never touched."""
        ours = {one.id for one in scene.ours}
        for machine in scene.machines:
            is_left = machine.destroyed_at is None or machine.id in self.deeds.by_hand
            require(machine.id in ours or is_left, f"destroyed, though not ours: {machine}")

    def _judge_keys(self, scene: Scene) -> None:
        """A request with a key is carried out once. Its consumer is named after it."""
        asking = [one.session.request for one in scene.overviews]
        keyed = [one.consumer_id for one in asking if one.consumer_id.startswith("key-")]
        require(len(keyed) == len(set(keyed)), f"carried out twice: {keyed}")

    def _judge_lease(self, session: Session) -> None:
        """It is as long as was agreed."""
        lasts = session.expires_at - session.created_at
        asked = session.request.reservation
        short, long = self.deeds.leases.get(session.id, (asked, asked))
        require(short <= lasts <= long, f"its lease is {lasts}, not {short} to {long}: {session}")

    def _judge_twins(self, scene: Scene, session: Session) -> None:
        """Never two machines at a time; save one that appears after its creation was given up."""
        own = [one for one in scene.of(session) if one.id not in self.deeds.planted]
        known = [one for one in own if not _is_late(scene, one)]
        for one, other in pairwise(sorted(known, key=lambda one: one.created_at)):
            is_over = one.gone_at is not None and one.gone_at <= other.created_at
            require(is_over, f"two machines at a time: {one} {other}")
        labels = [one.launch.label for one in own]
        require(len(labels) == len(set(labels)), f"rented twice: {own}")

    def _judge_end(self, scene: Scene, machine: Machine) -> None:
        """A machine is destroyed with a cause."""
        others = self.deeds.by_hand.keys() | self.deeds.planted
        if machine.destroyed_at is None or machine.id in others:
            return
        require(machine.launch.label in scene.by_label, f"no session knows it: {machine}")
        seen, attempt = scene.by_label[machine.launch.label]
        why = f"destroyed without a cause: {machine} {attempt} {seen.session}"
        require(self._has_cause(seen.session, attempt, machine), why)

    def _judge_burial(self, scene: Scene, machine: Machine) -> None:
        """What appears after its creation was given up is destroyed at once."""
        _, attempt = scene.by_label.get(machine.launch.label, (None, None))
        if attempt is None or attempt.ended_at is None or attempt.outcome is not Outcome.UNKNOWN:
            return
        until = machine.destroyed_at or scene.now
        calm_since = self.deeds.calm_before(until)
        if calm_since is None or until >= attempt.ended_at + TOMBSTONE:
            return
        lasts = until - max(machine.created_at, attempt.ended_at, calm_since)
        allowed = TO_BURY + self.deeds.jumped
        require(lasts <= allowed, f"not buried for {lasts}: {machine} {attempt}")

    def _judge_orphan(self, scene: Scene, machine: Machine) -> None:
        """What was proved gone, and is, is no orphan; unless the clock was set back."""
        _, attempt = scene.by_label.get(machine.launch.label, (None, None))
        called_at = self.deeds.orphans.get(str(machine.id))
        if called_at is None or attempt is None or attempt.gone_at is None or self.deeds.jumped:
            return
        is_gone = machine.gone_at is not None and machine.gone_at <= attempt.gone_at <= called_at
        is_other = attempt.instance_id != str(machine.id)
        require(is_other or not is_gone, f"gone, and called an orphan: {machine} {attempt}")

    def _has_cause(self, session: Session, attempt: Attempt, machine: Machine) -> bool:
        if attempt.outcome is Outcome.UNKNOWN:
            return True
        if attempt.reason is not None:
            return self._has_failed(attempt, machine)
        reason, due_at = session.reason, session.due_at
        if reason in _ASKED_FOR:
            return session.id in self.deeds.asked_to_end
        if reason in _BY_TIME:
            assert machine.destroyed_at is not None
            assert due_at is not None
            is_due = due_at <= machine.destroyed_at + self.deeds.jumped
            return is_due and due_at == min(session.expires_at, session.hard_max_at)
        return reason is Reason.IDLE and session.request.idle_threshold is not None

    def _has_failed(self, attempt: Attempt, machine: Machine) -> bool:
        """Whether the machine is what the attempt says of it."""
        fate = machine.fate
        if attempt.reason is Reason.WRONG_GPU:
            return fate.shows_wrong_gpu
        if attempt.reason is Reason.BOOT_FAILED:
            return fate.fails or self.proofs.is_down(attempt, machine)
        if attempt.reason is Reason.INSTANCE_LOST:
            return True  # the proofs are judged by themselves
        if attempt.reason in _IN_TIME:
            began_at = machine.created_at
            is_slow = fate.boots_at is None or fate.boots_at - began_at > VERIFY_TIMEOUT / 2
            is_mute = fate.is_refusing or fate.keys_at is not None or bool(fate.answer_delay)
            is_ill = fate.dies_at is not None or self.deeds.is_disturbed(
                began_at, began_at + VERIFY_TIMEOUT
            )
            return is_slow or is_mute or is_ill
        return attempt.reason is Reason.PRICE_CHANGED


def _disorders(scene: Scene) -> Iterator[tuple[tuple[str, object], tuple[timedelta, str]]]:
    """What may be for a while, and for how long."""
    for machine in scene.ours:
        if scene.is_alive(machine) and not scene.is_held(machine):
            allowed = _longest_unheld(scene, machine)
            yield ("unheld", machine.id), (allowed, f"nobody holds {machine}")
    for seen in scene.overviews:
        session = seen.session
        if session.is_final:
            continue
        if not scene.is_wanted(session):
            yield ("over", session.id), (TO_MISS, f"it does not come to its end: {seen}")
            continue
        own = [one for one in scene.of(session) if scene.is_alive(one) and scene.is_held(one)]
        if not own:
            yield ("bare", session.id), (TO_MISS, f"it has no machine: {seen}")
        elif session.status is not Status.RUNNING:
            allowed = VERIFY_TIMEOUT + TO_MISS
            yield ("unproved", own[0].id), (allowed, f"it is never proved: {seen}")
        elif not own[0].is_up(scene.now):
            yield ("down", session.id), (TO_LOSE, f"its machine is down: {seen} {own[0]}")


def _longest_unheld(scene: Scene, machine: Machine) -> timedelta:
    """How long a machine may live that nobody holds."""
    seen, attempt = scene.by_label.get(machine.launch.label, (None, None))
    if seen is None or attempt is None:
        return TO_REAP
    if not seen.session.is_final and attempt.instance_id == str(machine.id):
        return TO_END
    return TO_REAP


def _is_late(scene: Scene, machine: Machine) -> bool:
    _, attempt = scene.by_label[machine.launch.label]
    return attempt.outcome is Outcome.UNKNOWN


def _judge_words(seen: Overview) -> None:
    """Every end has a reason."""
    session = seen.session
    if session.is_final:
        require(session.reason is not None, f"it ended without a reason: {session}")
        require(session.stopped_at is not None, f"it ended at no time: {session}")
        is_told = session.status is Status.STOPPED or bool(session.error)
        require(is_told, f"it failed without a word: {session}")
    for attempt in seen.attempts:
        is_over = attempt.is_closed
        require(is_over or attempt.n == session.attempt, f"left behind: {attempt}")
        require(is_over or not session.is_final, f"still open: {attempt} {session}")
        require(not is_over or attempt.outcome is not None, f"no outcome: {attempt}")
        is_failure = attempt.outcome in (Outcome.FAILED, Outcome.REFUSED, Outcome.UNKNOWN)
        require(not is_failure or attempt.reason is not None, f"no reason: {attempt}")
    label = parse_label(seen.attempts[-1].label)
    require(label is not None and label.session_id == session.id, f"odd label: {seen}")
