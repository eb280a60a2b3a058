"""The judgement: what was written down against what really was there. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from bench.storm.clocks import BrokerClock, Shift
from bench.storm.consumers import Consumer
from bench.storm.markets import Machine
from bench.storm.records import Records, Row
from bench.storm.target import SETTINGS
from bench.storm.troubles import DATABASE_TROUBLES, LIES, STARVED, Trouble, latest
from broker.config.quantities import parse_duration
from providers.pacing import settle_at

_BOUND = timedelta(seconds=2)
"""From an end's being due to the call that destroys its machine."""
_STARVATION = timedelta(seconds=15)
"""How much longer everything may take on a computer that is busy with something else."""
_INTERVAL = parse_duration(SETTINGS["RECONCILIATION_INTERVAL"])
_GRACE = parse_duration(SETTINGS["ORPHAN_GRACE_PERIOD"])
_SECOND = timedelta(seconds=1)
_DATABASE_PATIENCE = timedelta(seconds=10)
"""How long a request may have waited for the database."""
_SETTLE = settle_at(0, timedelta())
"""For how long a new machine may be missing in every answer."""
_LIE = timedelta(seconds=5)
"""How long ago a marketplace may have said the first of two things that are not so."""
_FINAL = {"stopped", "failed"}
_BY_TIME = {"expired", "hard_maximum"}
_BY_CONSUMER = {"done", "deleted"}
_NOT_TO_BE_HAD = {"offer_gone", "provider_refused"}
"""Two consumers may want the same machine."""


@dataclass(frozen=True)
class Evidence:
    """Everything that a run has left."""

    records: Records
    machines: Sequence[Machine]
    consumers: Sequence[Consumer]
    troubles: Sequence[Trouble]
    shifts: Sequence[Shift]
    now: datetime


@dataclass(frozen=True)
class Findings:
    """What must not be; a sentence for each."""

    leaked_seconds: float
    leaks: Sequence[str]
    double_rentals: Sequence[str]
    early_ends: Sequence[str]
    """Sessions that were final while their machines lived."""
    wrong_ends: Sequence[str]
    cost_differences: Sequence[str]
    answers: Sequence[str]
    """Answers with status 500 although the database worked."""
    judged: int
    """Machines for which there was an instant by which they had to be destroyed."""
    undisturbed: int
    """Those of them that nothing disturbed meanwhile."""
    latest_call: float
    """Seconds from an end's being due to the call, where nothing was broken meanwhile."""


class Judge:
    """Judges one run."""

    def __init__(self, evidence: Evidence) -> None:
        self._given = evidence
        self._sessions: Mapping[str, Row] = {row["id"]: row for row in evidence.records.sessions}
        self._attempts: Mapping[str, Row] = {row["label"]: row for row in evidence.records.attempts}
        self._consumers: Mapping[str, Consumer] = {one.id: one for one in evidence.consumers}
        self._clock = BrokerClock(evidence.shifts, evidence.now)
        self._latest_call = 0.0
        self._judged = self._undisturbed = 0

    def judge(self) -> Findings:
        """Everything that must not be."""
        leaks = [leak for one in self._given.machines if (leak := self._leak(one))]
        return Findings(
            leaked_seconds=sum(seconds for seconds, _ in leaks),
            leaks=[text for _, text in leaks],
            double_rentals=list(self._double_rentals()),
            early_ends=list(self._early_ends()),
            wrong_ends=list(self._wrong_ends()),
            cost_differences=list(self._cost_differences()),
            answers=list(self._answers()),
            judged=self._judged,
            undisturbed=self._undisturbed,
            latest_call=self._latest_call,
        )

    def _leak(self, machine: Machine) -> tuple[float, str] | None:
        """For how many seconds a machine lived beyond the bound."""
        troubles = [one for one in self._given.troubles if one.concerns(machine.provider)]
        due, why = self._due(machine, troubles)
        if due is None or (asked_by := _latest(due, troubles)) is None:
            return None
        self._judged += 1
        asked_at = machine.destroy_asked_at or self._given.now
        if not any(one.overlaps(due, asked_at) for one in troubles):
            self._undisturbed += 1
            self._latest_call = max(self._latest_call, (asked_at - due).total_seconds())
        late = asked_at - asked_by
        if gone_by := _latest(max(asked_at, due), troubles):
            lived = (machine.gone_at or self._given.now) - max(asked_by, gone_by)
            # What was called gone by a marketplace that lied is an orphan.
            late = max(late, lived - _GRACE - _INTERVAL * 2)
        if late <= timedelta():
            return None
        oddities = ", ".join(machine.oddities)
        asked, gone = (f"{at:%T.%f}" if at else at for at in (asked_at, machine.gone_at))
        text = f"{machine.provider} {machine.label} {oddities}: {why} at {due:%T.%f}"
        return late.total_seconds(), f"{text}, asked {asked}, gone {gone}"

    def _due(self, machine: Machine, troubles: Sequence[Trouble]) -> tuple[datetime | None, str]:
        """From when on a machine must not live, and why; None: it may live now."""
        session = self._sessions.get(machine.session_id)
        attempt = self._attempts.get(machine.label)
        made_at = machine.created_at
        found_at = max(made_at, machine.appears_at)
        orphaned = found_at + _GRACE + _INTERVAL * 2
        if session is None or attempt is None or attempt["instance_id"] != machine.id:
            return orphaned, "an orphan"
        consumer = self._consumers.get(session["consumer_id"])
        # The end of a lease is an instant to come, not one at which something was written down.
        noted_at = None if session["reason"] in _BY_TIME else session["due_at"]
        dues = (
            (self._expired_at(session, made_at, troubles), "expired"),
            (consumer.told_to_end_at if consumer else None, "ended by its consumer"),
            (self._clock.written_at(noted_at, made_at), "ended"),
        )
        known = [(at, why) for at, why in dues if at is not None]
        if not known:
            return None, ""
        due, why = min(known)
        if attempt["unknown_since"] is not None:
            return max(due, orphaned), why
        accepted = self._clock.first_past(attempt["accepted_at"], made_at) or found_at
        return max(due, found_at, accepted), why

    def _expired_at(
        self, session: Row, since: datetime, troubles: Sequence[Trouble]
    ) -> datetime | None:
        """When a lease was over; a clock that jumps back in time gives it new life."""
        ends_at = min(session["expires_at"], session["hard_max_at"])
        for begin, end in self._clock.past(ends_at, since):
            by = _latest(begin, troubles)
            if by is not None and by < end:
                return begin
        return None

    def _double_rentals(self) -> Iterator[str]:
        consumers = Counter(row["consumer_id"] for row in self._given.records.sessions)
        yield from (f"{name} has {n} sessions" for name, n in consumers.items() if n > 1)
        labels = Counter(one.label for one in self._given.machines)
        yield from (f"{label} was made {n} times" for label, n in labels.items() if n > 1)
        of_session: dict[str, list[Machine]] = defaultdict(list)
        for one in self._given.machines:
            # One that nobody was told of is looked for, given up, and an orphan when it turns up.
            if self._is_known(one):
                of_session[one.session_id].append(one)
        for machines in of_session.values():
            ordered = sorted(machines, key=lambda one: one.created_at)
            for first, second in pairwise(ordered):
                if first.gone_at is None or first.gone_at > second.created_at:
                    yield f"{first.label} lived until {first.gone_at}, {second.label} was made"

    def _is_known(self, machine: Machine) -> bool:
        """Whether the broker has written down that its creation made this machine."""
        return self._attempts.get(machine.label, {}).get("instance_id") == machine.id

    def _early_ends(self) -> Iterator[str]:
        for machine in self._given.machines:
            session = self._sessions.get(machine.session_id)
            if session is None or session["status"] not in _FINAL:
                continue
            final_at = self._clock.written_at(session["stopped_at"], machine.created_at)
            gone_at = machine.gone_at or self._given.now
            # A machine whose creation nobody heard of may turn up after its session.
            if not self._is_known(machine) or final_at is None or gone_at <= final_at:
                continue
            # And so may one that its marketplace hides for longer than it takes to settle.
            if machine.appears_at > max(final_at - _LIE, machine.created_at + _SETTLE):
                continue
            kinds = {
                one.kind
                for one in self._given.troubles
                if one.concerns(machine.provider) and one.overlaps(final_at - _LIE, final_at)
            }
            if not kinds & LIES:
                yield f"{machine.provider} {machine.label}: {final_at:%T.%f}, gone {gone_at:%T.%f}"

    def _wrong_ends(self) -> Iterator[str]:
        last = {one.session_id: one for one in self._given.machines}
        for session_id, session in self._sessions.items():
            if session["wanted"] != "gone":
                continue
            why = self._wrong(session, last.get(session_id))
            if why:
                told = f"{session['provider']}, {session['reason']}: {session['error']}"
                yield f"{session['id']}: {why} ({told})"

    def _wrong(self, session: Row, machine: Machine | None) -> str:
        """Why a session should not have ended as it did; empty where that is right."""
        consumer = self._consumers.get(session["consumer_id"])
        if session["reason"] in _BY_CONSUMER:
            return "" if consumer and consumer.asked_to_end_at else "nobody asked for that"
        if session["reason"] in _BY_TIME:
            ends_at = min(session["expires_at"], session["hard_max_at"])
            is_over = self._clock.first_past(ends_at - _SECOND, self._begun(session)) is not None
            return "" if is_over else "its time was not over"
        if machine and machine.oddities:
            return ""
        begun = self._begun(session)
        ended = self._clock.written_at(session["stopped_at"], begun) or self._given.now
        if session["running_at"] is not None:
            return "nothing was wrong with its machine"
        if session["reason"] in _NOT_TO_BE_HAD:
            return ""
        is_excused = any(
            one.concerns(session["provider"]) and one.overlaps(begun, ended)
            for one in self._given.troubles
        )
        return "" if is_excused else "nothing was wrong when it was launched"

    def _begun(self, session: Row) -> datetime:
        """When a session was recorded, or some time before."""
        first = self._clock.shifts[0].since
        return self._clock.first_past(session["created_at"], first) or self._given.now

    def _cost_differences(self) -> Iterator[str]:
        """Where the billed time of an undisturbed machine is not how long it was there."""
        for machine in self._given.machines:
            attempt = self._attempts.get(machine.label)
            if attempt is None or machine.billed_until is None:
                continue
            of = attempt["session_id"], attempt["n"]
            billed = self._given.records.billed.get(of, timedelta())
            difference = billed - (machine.billed_until - machine.created_at)
            if abs(difference) > _SECOND and not self._is_disturbed(machine):
                yield f"{machine.provider} {machine.label}: {difference.total_seconds():+.2f} s"

    def _answers(self) -> Iterator[str]:
        for consumer in self._given.consumers:
            for one in consumer.accidents:
                kinds = {
                    trouble.kind
                    for trouble in self._given.troubles
                    if trouble.overlaps(one.at - _DATABASE_PATIENCE, one.at)
                }
                if not kinds & DATABASE_TROUBLES:
                    yield f"{one.at:%T} {one.what}"

    def _is_disturbed(self, machine: Machine) -> bool:
        end = machine.gone_at or self._given.now
        edges = (
            (machine.created_at - _SECOND, machine.created_at + _SECOND),
            ((machine.destroy_asked_at or end) - _SECOND, end + _SECOND),
        )
        troubles = [one for one in self._given.troubles if one.concerns(machine.provider)]
        return any(
            one.overlaps(*edge) or (one.kind == "jump" and one.overlaps(machine.created_at, end))
            for one in troubles
            for edge in edges
        )


def _latest(due: datetime, troubles: Sequence[Trouble]) -> datetime | None:
    broken = [one for one in troubles if one.kind != STARVED]
    by = latest(due, broken, bound=_BOUND, recovery=_BOUND + _INTERVAL)
    is_starved = by is not None and any(
        one.kind == STARVED and one.overlaps(due, by) for one in troubles
    )
    return by + _STARVATION if by and is_starved else by


def disagreements(records: Records, alive: Sequence[Machine]) -> list[str]:
    """Rows and machines that do not agree while nothing is under way."""
    held = {(row["provider"], row["instance_id"]): row for row in records.live}
    there = {(one.provider, one.id): one for one in alive}
    without = [row for of, row in held.items() if of not in there]
    missing = [f"{row['id']} is {row['status']} without a machine" for row in without]
    unheld = [one for of, one in there.items() if of not in held]
    return missing + [f"{one.provider} {one.label} has no session" for one in unheld]
