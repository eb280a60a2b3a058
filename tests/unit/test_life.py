"""A session's whole life, told by steps and moves alone, whatever the provider does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide import moves
from broker.decide.meter import run_on
from broker.decide.steps import Step, next_step
from broker.effects import Effect
from broker.model import Access, Accrual, Attempt, Change, Reason, Session, Status, Wanted
from tests.builders import NOW, PROOF, a_label, a_session, an_attempt, an_instance, an_offer

TIMEOUT = timedelta(minutes=15)
MOST_ATTEMPTS = 4
MOST_STEPS_TO_THE_END = 4
"""Resolve, destroy, prove, conclude."""


@dataclass
class Life:
    """A session and its attempts as a store would hold them, and what the provider has."""

    session: Session = field(default_factory=a_session)
    attempts: dict[int, Attempt] = field(default_factory=lambda: {1: an_attempt()})
    meters: dict[int, Accrual] = field(default_factory=dict)
    machines: set[str] = field(default_factory=set)
    now: datetime = NOW

    @property
    def attempt(self) -> Attempt:
        """The current one."""
        return self.attempts[self.session.attempt]

    def write(self, change: Change) -> None:
        """Commit a change, and hold it against what must always be true."""
        assert not self.session.is_final
        self.session = change.session
        if change.attempt is not None:
            before = self.attempts.get(change.attempt.n, change.attempt).instance_id
            assert before in {None, change.attempt.instance_id}, "a machine's name stays"
            self.attempts[change.attempt.n] = change.attempt
        if change.accrual is not None:
            self.meters[change.accrual.attempt] = change.accrual
        self.now += timedelta(seconds=1)
        self.check()

    def check(self) -> None:
        """What is true after every commit."""
        others = [one for one in self.attempts.values() if one.n != self.session.attempt]
        assert all(one.is_closed for one in others), "one attempt at a time"
        running = {n for n, meter in self.meters.items() if meter.ends_at is None}
        assert running <= {self.session.attempt}, "one meter at a time"
        if self.session.is_final:
            assert not self.machines, "a final session leaves no machine"
            assert self.attempt.is_closed, "a final session leaves no attempt open"
            assert not running, "a final session leaves no meter running"
            assert self.session.reason, "a final session has a reason"
            assert self.session.stopped_at, "a final session has an end"
        if self.session.status is Status.RUNNING:
            assert self.attempt.verified_at, "what runs was proved"
            is_wanted = self.session.wanted is Wanted.RUNNING
            assert not (is_wanted and self.attempt.reason), "what runs has not failed"


def create(life: Life, how: str) -> None:
    """Call the provider; crash after it, or write what it said."""
    life.write(moves.launch(life.session, life.attempt, life.now))
    if how in {"made", "lost-made"}:
        life.machines.add(life.attempt.label)
    if how == "made":
        accept(life)
    elif how == "refused":
        reason = Reason.OFFER_GONE
        life.write(moves.refuse(life.session, life.attempt, reason, "no", life.now))
    elif how in {"lost", "lost-made"}:
        life.write(moves.lose_reply(life.session, life.attempt, "lost", life.now))


def accept(life: Life) -> None:
    """The provider has told of the machine."""
    machine = an_instance(id=f"i-{life.session.attempt}", created_at=life.now)
    life.write(moves.accept(life.session, life.attempt, machine, life.now, TIMEOUT))


def resolve(life: Life, how: str) -> None:
    """Look for the label."""
    if how == "nothing":
        return
    if life.attempt.label in life.machines:
        accept(life)
    else:
        life.write(moves.bury(life.session, life.attempt, life.now))


def verify(life: Life, how: str) -> None:
    """Prove the access."""
    if how == "proved":
        life.write(moves.verify(life.session, life.attempt, Access(), {}, life.now))
    elif how == "located":
        life.write(moves.locate(life.session, Access(), life.now))
    elif how == "failed":
        reason = Reason.WRONG_GPU
        life.write(moves.doom(life.session, life.attempt, reason, "wrong", life.now))


def destroy(life: Life, how: str) -> None:
    """Ask for the end of the machine, and look for the proof."""
    session, attempt, now = life.session, life.attempt, life.now
    if how == "fails":
        life.write(moves.destroy_fails(session, attempt, "no answer", now))
    elif how == "ignored" and attempt.destroy_accepted_at is None:
        life.write(moves.destroying(session, attempt, now))
    elif how == "ignored":
        life.write(moves.destroy_again(session, attempt, now))
    elif how == "stays":
        life.write(run_on(session, attempt))
    elif how == "gone":
        life.machines.discard(attempt.label)
        life.write(moves.gone(session, attempt, PROOF, now))


def retry(life: Life, how: str) -> None:
    """Another offer, or none."""
    n = life.session.attempt + 1
    if how == "stand-in" and n <= MOST_ATTEMPTS:
        offer = an_offer(provider_id=str(1000 + n))
        attempt = an_attempt(n=n, offer=offer, label=a_label(n), started_at=life.now)
        life.write(moves.retry(life.session, attempt, life.now))
    else:
        reason = life.attempt.reason or Reason.INTERNAL_ERROR
        life.write(moves.give_up(life.session, life.attempt, reason, "", life.now))


def abandon(life: Life, _: str) -> None:
    """Close what was never sent."""
    life.write(moves.abandon(life.session, life.attempt, life.now))


def conclude(life: Life, _: str) -> None:
    """Write the final status."""
    life.write(moves.conclude(Change(Effect.CONCLUDE, life.session), life.now))


ACTIONS: dict[Step, tuple[Callable[[Life, str], None], tuple[str, ...]]] = {
    Step.CREATE: (create, ("made", "refused", "lost", "lost-made", "crashed")),
    Step.RESOLVE: (resolve, ("looked", "nothing")),
    Step.VERIFY: (verify, ("proved", "failed", "located", "nothing")),
    Step.DESTROY: (destroy, ("gone", "fails", "ignored", "stays", "nothing")),
    Step.RETRY: (retry, ("stand-in", "none")),
    Step.ABANDON: (abandon, ("done",)),
    Step.CONCLUDE: (conclude, ("done",)),
}
"""What each step does; the first outcome is that of a provider that answers."""


def interfere(life: Life, what: str) -> None:
    """What consumers and sweeps write between the steps, if the session is still wanted."""
    session, now = life.session, life.now
    if session.wanted is Wanted.GONE or session.is_final:
        return
    if what == "end":
        life.write(moves.end(session, Reason.DELETED, now, now))
    elif what == "lose" and session.status is Status.RUNNING:
        life.write(moves.lose(session, life.attempt, "offline", now))
    elif what == "extend":
        life.write(moves.extend(session, session.expires_at + TIMEOUT, now))
    elif what == "warn":
        life.write(moves.warn(session, now))
    elif what == "idle":
        life.write(moves.mark_idle(replace(session), now, now))


INTERFERENCES = st.sampled_from(["nothing", "nothing", "end", "lose", "extend", "warn", "idle"])


@settings(max_examples=300)
@given(st.data())
def test_whatever_happens_the_steps_lead_to_a_proved_end(data: Any) -> None:
    """From every state that can be reached, a session that is unwanted ends when asked to.

    A provider that answers is asked once for each of a few steps, and then no machine, no
    open attempt and no running meter is left.
    """
    life = Life()
    for _ in range(data.draw(st.integers(0, 25))):
        interfere(life, data.draw(INTERFERENCES))
        step = next_step(life.session, life.attempt)
        if step is Step.REST:
            continue
        act, outcomes = ACTIONS[step]
        act(life, data.draw(st.sampled_from(outcomes), label=step))

    interfere(life, "end")
    for _ in range(MOST_STEPS_TO_THE_END):
        if (step := next_step(life.session, life.attempt)) is not Step.REST:
            act, outcomes = ACTIONS[step]
            act(life, outcomes[0])
    assert life.session.is_final
    assert Step.REST is next_step(life.session, life.attempt)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["refused", "lost", "lost-made", "crashed", "made"]), max_size=9))
def test_at_most_one_machine_is_alive_at_any_time(outcomes: list[str]) -> None:
    """Another offer is rented only when it is proved that the last machine is gone."""
    life = Life()
    for how in outcomes:
        for _ in range(MOST_STEPS_TO_THE_END):
            step = next_step(life.session, life.attempt)
            if step in {Step.CREATE, Step.REST}:
                break
            act, answers = ACTIONS[step]
            act(life, "failed" if step is Step.VERIFY else answers[0])
        if step is Step.CREATE:
            assert not life.machines, "nothing of an earlier attempt is alive"
            create(life, how)
        assert len(life.machines) <= 1
