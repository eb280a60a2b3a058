"""What each thing that happens to a session writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from broker.decide import moves
from broker.effects import Effect
from broker.model import (
    Access,
    Attempt,
    Change,
    Outcome,
    Reason,
    Status,
    Wanted,
)
from tests.builders import (
    ACCESS,
    LATER,
    MADE,
    NOW,
    PENDING,
    PROOF,
    PROVISIONING,
    RUNNING,
    SENT,
    STOPPING,
    TIMEOUT,
    VERIFIED,
    a_label,
    an_attempt,
    an_instance,
    an_offer,
)


def kinds(change: Change) -> list[str]:
    """The types of the events that a change writes."""
    return [event.type for event in change.events]


def attempt_of(change: Change) -> Attempt:
    """The attempt that a change writes."""
    assert change.attempt is not None
    return change.attempt


def test_a_session_is_recorded_with_its_first_attempt_before_anything_is_rented() -> None:
    """The record holds the label, and no meter runs."""
    change = moves.record(PENDING, an_attempt())

    assert (PENDING, an_attempt(), None) == (change.session, change.attempt, change.accrual)
    assert ["session.created"] == kinds(change)
    assert a_label() == change.events[0].data["label"]


def test_a_launch_opens_the_question_whether_a_machine_exists() -> None:
    """Once the call goes out a machine may exist, until it is known."""
    change = moves.launch(PENDING, an_attempt(), LATER)

    assert Status.PROVISIONING is change.session.status
    assert LATER == attempt_of(change).unknown_since
    assert ["session.provisioning"] == kinds(change)


def test_the_launch_of_a_second_attempt_leaves_the_status_as_it_is() -> None:
    """A session that tries another offer is provisioning all the time."""
    change = moves.launch(PROVISIONING, an_attempt(n=2), LATER)

    assert Status.PROVISIONING is change.session.status


def test_an_acceptance_starts_the_meter_and_the_deadline() -> None:
    """Both run from the making of the machine, at the price that the provider tells."""
    instance = an_instance(created_at=None, price_per_hour=Decimal("0.40"))
    change = moves.accept(PROVISIONING, SENT, instance, LATER, TIMEOUT)
    made = attempt_of(change)

    assert ("i-1", None) == (change.session.instance_id, made.unknown_since)
    assert (LATER, LATER + TIMEOUT) == (made.accepted_at, made.deadline_at)
    assert change.accrual is not None
    assert (LATER, None) == (change.accrual.begins_at, change.accrual.ends_at)
    assert Decimal("0.40") == change.accrual.price_per_hour == change.session.price_per_hour
    assert ["attempt.accepted"] == kinds(change)


def test_a_machine_found_late_is_billed_from_its_making() -> None:
    """After a lost reply the meter runs from when the provider made it, not from the finding."""
    instance = an_instance(created_at=NOW + timedelta(seconds=2))
    change = moves.accept(PROVISIONING, SENT, instance, LATER, TIMEOUT)

    assert instance.created_at == attempt_of(change).accepted_at
    assert change.accrual is not None
    assert instance.created_at == change.accrual.begins_at


@pytest.mark.parametrize(
    ("created_at", "begins_at"),
    [(NOW - timedelta(hours=3), NOW), (LATER + timedelta(hours=3), LATER)],
    ids=["before the attempt", "after now"],
)
def test_a_provider_whose_clock_is_wrong_does_not_move_the_meter(
    created_at: object, begins_at: object
) -> None:
    """No machine is billed from before its attempt or from after it was seen."""
    instance = an_instance(created_at=created_at)
    change = moves.accept(PROVISIONING, an_attempt(started_at=NOW), instance, LATER, TIMEOUT)

    assert begins_at == attempt_of(change).accepted_at


def test_a_true_price_corrects_the_meter() -> None:
    """The open meter goes on from its beginning at the true price."""
    change = moves.reprice(PROVISIONING, MADE, Decimal("0.37"), LATER)

    assert change.accrual is not None
    assert (NOW, None) == (change.accrual.begins_at, change.accrual.ends_at)
    prices = (change.accrual.price_per_hour, change.session.price_per_hour)
    assert (Decimal("0.37"), Decimal("0.37")) == prices
    assert ["attempt.repriced"] == kinds(change)


def test_a_lost_reply_keeps_the_question_open() -> None:
    """Nothing is decided, and the reason is told."""
    change = moves.lose_reply(PROVISIONING, SENT, "no answer", LATER)

    assert (LATER, None) == (attempt_of(change).unknown_since, attempt_of(change).ended_at)
    assert PROVISIONING == change.session
    assert Reason.OUTCOME_UNKNOWN == change.events[0].data["reason"]


def test_a_machine_that_never_appears_leaves_a_tombstone() -> None:
    """The attempt is over, and a late arrival is buried for half an hour."""
    over = attempt_of(moves.bury(PROVISIONING, SENT, LATER))

    assert (Outcome.UNKNOWN, LATER) == (over.outcome, over.ended_at)
    assert LATER + timedelta(minutes=30) == over.tombstone_until
    assert Reason.OUTCOME_UNKNOWN is over.reason
    assert None is over.unknown_since


def test_an_unknown_creation_is_told_in_the_words_of_its_answer() -> None:
    """A reply is lost only where none came; where the machine appears, nothing was wrong."""
    told = attempt_of(moves.lose_reply(PROVISIONING, SENT, "Odd", LATER))
    found = moves.accept(PROVISIONING, told, an_instance(), LATER, TIMEOUT)

    unheard = "The reply to the creation was lost. No machine appeared."
    assert attempt_of(moves.bury(PROVISIONING, SENT, LATER)).detail == unheard
    assert attempt_of(moves.bury(PROVISIONING, told, LATER)).detail == "Odd. No machine appeared."
    assert (attempt_of(found).unknown_since, attempt_of(found).detail) == (None, None)


@pytest.mark.parametrize(
    ("reason", "is_blamed"),
    [(Reason.OFFER_GONE, True), (Reason.INSUFFICIENT_FUNDS, False)],
)
def test_a_refusal_ends_the_attempt(reason: Reason, is_blamed: bool) -> None:
    """Nothing was made and nothing is billed; the offer is blamed where it is to blame."""
    change = moves.refuse(PROVISIONING, SENT, reason, "no", LATER)
    over = attempt_of(change)

    assert (Outcome.REFUSED, reason, LATER) == (over.outcome, over.reason, over.ended_at)
    assert None is change.accrual
    assert is_blamed == (change.failure is not None)
    assert ["attempt.refused"] == kinds(change)


def test_an_attempt_that_was_never_sent_is_abandoned() -> None:
    """It is over for the reason for which the session ends."""
    over = attempt_of(moves.abandon(STOPPING, an_attempt(), LATER))

    assert (Outcome.REFUSED, Reason.DONE, LATER) == (over.outcome, over.reason, over.ended_at)


def test_what_a_machine_still_lacks_is_told_and_moves_nothing() -> None:
    """The attempt goes on."""
    change = moves.wait(PROVISIONING, MADE, "nvidia-smi fails", LATER)

    assert ["attempt.waiting"] == kinds(change)
    assert change.events[0].data == {"attempt": 1, "detail": "nvidia-smi fails"}
    assert (change.session, change.attempt, change.failure) == (PROVISIONING, None, None)


def test_a_proved_access_makes_a_session_run() -> None:
    """The proof is written with its evidence."""
    change = moves.verify(PROVISIONING, MADE, ACCESS, {"proof": "ssh"}, LATER)

    assert (Status.RUNNING, LATER, ACCESS) == (
        change.session.status,
        change.session.running_at,
        change.session.access,
    )
    assert (Outcome.RUNNING, LATER) == (
        attempt_of(change).outcome,
        attempt_of(change).verified_at,
    )
    assert {"attempt": 1, "proof": "ssh"} == dict(change.events[0].data)


def test_a_doomed_attempt_stays_open_until_its_machine_is_gone() -> None:
    """The cause is written before the machine is destroyed, and the offer is blamed."""
    change = moves.doom(PROVISIONING, MADE, Reason.WRONG_GPU, "a GTX 1070", LATER)
    failed = attempt_of(change)

    assert (Reason.WRONG_GPU, "a GTX 1070", None) == (failed.reason, failed.detail, failed.ended_at)
    assert PROVISIONING == change.session
    assert change.failure is not None
    assert Reason.WRONG_GPU is change.failure.reason
    assert ["attempt.failed"] == kinds(change)


def test_the_end_of_a_failed_attempt_was_due_at_its_failure() -> None:
    """Also where the consumer asks for the end while its machine is being destroyed."""
    doomed = attempt_of(moves.doom(PROVISIONING, MADE, Reason.WRONG_GPU, "a GTX 1070", NOW))
    gone = attempt_of(moves.gone(PROVISIONING, doomed, PROOF, LATER))
    failed = moves.give_up(PROVISIONING, gone, Reason.WRONG_GPU, "a GTX 1070", LATER + TIMEOUT)
    assert NOW == gone.due_at == failed.session.due_at

    ending = moves.end(PROVISIONING, Reason.DELETED, LATER, LATER).session
    deleted = moves.gone(ending, doomed, PROOF, LATER + TIMEOUT)
    assert NOW == attempt_of(deleted).due_at == deleted.session.due_at


def test_the_end_of_a_machine_is_otherwise_due_with_that_of_its_session() -> None:
    """Asked for, or lost."""
    ending = moves.end(RUNNING, Reason.EXPIRED, NOW, LATER).session
    assert NOW == attempt_of(moves.gone(ending, VERIFIED, PROOF, LATER)).due_at
    assert LATER == attempt_of(moves.lose(RUNNING, VERIFIED, "offline", LATER)).due_at


def test_an_end_writes_the_intent_and_the_instant_at_which_it_was_due() -> None:
    """The status follows, the attempt and its meter go on."""
    for session in (PENDING, PROVISIONING, RUNNING):
        change = moves.end(session, Reason.EXPIRED, NOW, LATER)
        assert (Status.STOPPING, Wanted.GONE) == (change.session.status, change.session.wanted)
        assert (Reason.EXPIRED, NOW) == (change.session.reason, change.session.due_at)
        assert (None, None) == (change.attempt, change.accrual)
        assert ["session.stopping"] == kinds(change)


def test_a_lost_machine_ends_its_session_as_failed() -> None:
    """The status moves when the machine is proved gone, not before."""
    change = moves.lose(RUNNING, VERIFIED, "offline", LATER)
    lost = change.session

    assert (Status.RUNNING, Wanted.GONE) == (lost.status, lost.wanted)
    assert (Reason.INSTANCE_LOST, "offline", LATER) == (lost.reason, lost.error, lost.due_at)
    gone = moves.gone(lost, attempt_of(change), PROOF, LATER)
    assert (Status.FAILED, Outcome.FAILED) == (gone.session.status, attempt_of(gone).outcome)


def test_the_proof_of_an_end_stops_the_meter_where_the_end_was_accepted() -> None:
    """The provider bills until its acceptance; the session is over at the proof."""
    attempt = replace(VERIFIED, destroy_accepted_at=NOW + timedelta(seconds=9))
    change = moves.gone(STOPPING, attempt, PROOF, LATER)

    assert change.accrual is not None
    assert (NOW, NOW + timedelta(seconds=9)) == (change.accrual.begins_at, change.accrual.ends_at)
    assert (Outcome.ENDED, LATER, LATER) == (
        attempt_of(change).outcome,
        attempt_of(change).gone_at,
        attempt_of(change).ended_at,
    )
    assert (Status.STOPPED, LATER) == (change.session.status, change.session.stopped_at)
    assert change.forget_confidential
    assert ["instance.gone", "session.stopped"] == kinds(change)


def test_a_machine_gone_without_an_acceptance_is_billed_until_it_was_missed() -> None:
    """Nobody knows better."""
    change = moves.gone(STOPPING, VERIFIED, PROOF, LATER)

    assert change.accrual is not None
    assert PROOF.first.at == change.accrual.ends_at


def test_the_failed_machine_of_a_wanted_session_ends_only_the_attempt() -> None:
    """The session goes on to another offer, or gives up, in a change of its own."""
    doomed = replace(MADE, reason=Reason.BOOT_TIMEOUT)
    change = moves.gone(PROVISIONING, doomed, PROOF, LATER)

    assert (PROVISIONING, Outcome.FAILED) == (change.session, attempt_of(change).outcome)
    assert not change.forget_confidential


def test_a_stand_in_takes_the_place_of_the_failed_offer() -> None:
    """The session names the new offer, and nothing of the old machine."""
    offer = an_offer(provider_id="1002", price_per_hour=Decimal("0.5"))
    second = an_attempt(n=2, offer=offer, price_per_hour=Decimal("0.5"), label=a_label(2))
    located = replace(PROVISIONING, access=ACCESS, instance_id="i-1")
    change = moves.retry(located, second, LATER)

    assert (2, offer, Decimal("0.5")) == (
        change.session.attempt,
        change.session.offer,
        change.session.price_per_hour,
    )
    assert (None, Access()) == (change.session.instance_id, change.session.access)
    assert (second, ["attempt.started"]) == (change.attempt, kinds(change))


@pytest.mark.parametrize(
    ("asked", "made_with", "shown", "shown_again"),
    [(None, None, None, None), (None, "a", "a", None), ("mine", None, "mine", "mine")],
    ids=["nobody tells", "the provider's", "the consumer's"],
)
def test_an_image_that_a_provider_chose_goes_with_its_machine(
    asked: str | None, made_with: str | None, shown: str | None, shown_again: str | None
) -> None:
    """One that was asked for stays, whatever stands in."""
    request = replace(PROVISIONING.request, docker_image=asked)
    session = replace(PROVISIONING, request=request, image=asked)
    made = moves.accept(session, SENT, an_instance(image=made_with), LATER, TIMEOUT).session

    assert made.image == shown
    assert moves.retry(made, an_attempt(n=2), LATER).session.image == shown_again


def test_a_session_that_gives_up_has_failed_for_the_reason_of_its_last_attempt() -> None:
    """No machine is left, so the status is final at once."""
    change = moves.give_up(PROVISIONING, an_attempt(), Reason.BOOT_TIMEOUT, "never came up", LATER)

    assert (Status.FAILED, Wanted.GONE) == (change.session.status, change.session.wanted)
    assert (Reason.BOOT_TIMEOUT, "never came up") == (change.session.reason, change.session.error)
    assert (LATER, LATER) == (change.session.due_at, change.session.stopped_at)
    assert ["session.failed"] == kinds(change)
    assert change.forget_confidential


def test_the_end_of_a_session_without_a_machine_is_stopped() -> None:
    """Ended as asked, and nothing is left."""
    change = moves.conclude(Change(Effect.CONCLUDE, STOPPING), LATER)

    assert (Status.STOPPED, LATER) == (change.session.status, change.session.stopped_at)
    assert ["session.stopped"] == kinds(change)


def test_an_approaching_end_is_announced_for_that_end_only() -> None:
    """An extension makes a new end, which is announced again."""
    warned = moves.warn(RUNNING, LATER)
    extended = moves.extend(warned.session, RUNNING.expires_at + TIMEOUT, LATER)

    assert (RUNNING.expires_at, ["session.expiring"]) == (
        warned.session.warned_for,
        kinds(warned),
    )
    assert extended.session.warned_for != extended.session.expires_at
    assert ["session.extended"] == kinds(extended)


def test_a_missing_and_an_idle_machine_are_marked_and_unmarked() -> None:
    """Each change of mind is an event of its own."""
    missing = moves.mark_lost(RUNNING, NOW, "offline", LATER)
    back = moves.mark_lost(missing.session, None, "running", LATER)
    idling = moves.mark_idle(RUNNING, NOW, LATER)
    active = moves.mark_idle(idling.session, None, LATER)

    assert (NOW, None) == (missing.session.lost_since, back.session.lost_since)
    assert (NOW, None) == (idling.session.idle_since, active.session.idle_since)
    told = [kind for change in (missing, back, idling, active) for kind in kinds(change)]
    assert told == [
        *("session.machine_missing", "session.machine_back"),
        *("session.idling", "session.active"),
    ]


def test_an_idle_verdict_ends_the_session_or_only_tells() -> None:
    """The evidence is in the events either way."""
    evidence = {"readings": [1, 2, 3]}
    ending = moves.reap_idle(RUNNING, evidence, NOW, LATER, is_ending=True)
    telling = moves.reap_idle(RUNNING, evidence, NOW, LATER, is_ending=False)

    assert ["session.idle", "session.stopping"] == kinds(ending)
    assert (Wanted.GONE, Reason.IDLE) == (ending.session.wanted, ending.session.reason)
    assert (["session.idle"], RUNNING) == (kinds(telling), telling.session)
    assert [1, 2, 3] == telling.events[0].data["readings"]
