"""What each thing that happens to a session writes, as values: one transaction each.

Every function takes what was read and an instant, and returns the `Change` to commit.
All raise IllegalMove for a session that is final: nothing happens to it any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from broker.decide import lease
from broker.decide.absence import Proof
from broker.decide.boot import Wrong
from broker.decide.confidence import failure_of
from broker.decide.events import event_of, require_open, unresolved, why
from broker.decide.meter import made_at, meter
from broker.decide.states import Move, advance
from broker.effects import Effect
from broker.model import (
    Access,
    Attempt,
    Change,
    Outcome,
    Reason,
    Session,
    Status,
    Wanted,
)
from providers.base import Instance

TOMBSTONE = timedelta(minutes=30)
"""How long an instance that appears after a lost reply is buried on sight."""
WAITING = "attempt.waiting"
"""The type of the event that says what a machine still lacks."""


def record(session: Session, attempt: Attempt) -> Change:
    """A new session with its first attempt, before any provider is called."""
    data = {
        "consumer_id": session.request.consumer_id,
        "offer_id": attempt.offer.id,
        "label": attempt.label,
        "expires_at": session.expires_at,
        "price_per_hour": session.price_per_hour,
    }
    event = event_of("session.created", session, session.created_at, data)
    return Change(Effect.RECORD, session, attempt, (event,))


def launch(session: Session, attempt: Attempt, now: datetime) -> Change:
    """The creating call goes out: from here on an instance may exist."""
    after = session
    if attempt.n == 1:
        after = replace(session, status=advance(session.status, Move.LAUNCH))
    data = {"attempt": attempt.n, "offer_id": attempt.offer.id, "label": attempt.label}
    event = event_of("session.provisioning", session, now, data)
    return Change(Effect.LAUNCH, after, replace(attempt, unknown_since=now), (event,))


def accept(
    session: Session, attempt: Attempt, instance: Instance, now: datetime, timeout: timedelta
) -> Change:
    """The provider has made an instance: the meter and the deadline run from its making."""
    begins_at = attempt.accepted_at or made_at(attempt, instance, now)
    price = instance.price_per_hour or attempt.price_per_hour
    image = session.image or instance.image
    made = replace(
        attempt,
        instance_id=instance.id,
        accepted_at=begins_at,
        deadline_at=begins_at + timeout,
        unknown_since=None,
        detail=None,
        price_per_hour=price,
    )
    data = {"attempt": attempt.n, "instance_id": instance.id, "deadline_at": made.deadline_at}
    return Change(
        Effect.ACCEPT,
        replace(session, price_per_hour=price, instance_id=instance.id, image=image),
        made,
        (event_of("attempt.accepted", session, now, data),),
        accrual=meter(session, made),
    )


def accept_failed(
    session: Session,
    attempt: Attempt,
    instance: Instance,
    wrong: Wrong,
    now: datetime,
) -> Change:
    """The provider has made an instance that never runs: recorded, and to be destroyed at once.

    It has no deadline, because nothing is expected of it.
    """
    accepted = accept(session, attempt, instance, now, timedelta(0))
    made = replace(accepted.attempt or attempt, deadline_at=None)
    doomed = doom(accepted.session, made, wrong.reason, wrong.detail, now)
    return replace(
        accepted,
        name=Effect.ACCEPT_FAILED,
        attempt=doomed.attempt,
        events=(*accepted.events, *doomed.events),
        failure=doomed.failure,
    )


def reprice(session: Session, attempt: Attempt, price: Decimal, now: datetime) -> Change:
    """The provider says what it really charges.

    A rate belongs to the contract and stands from its beginning: it is the offer's price that
    was wrong. So nothing is left of that in what the attempt has cost.
    """
    priced = replace(attempt, price_per_hour=price)
    data = {"attempt": attempt.n, "before": attempt.price_per_hour, "price_per_hour": price}
    return Change(
        Effect.REPRICE,
        replace(session, price_per_hour=price),
        priced,
        (event_of("attempt.repriced", session, now, data),),
        accrual=meter(session, priced),
    )


def lose_reply(session: Session, attempt: Attempt, detail: str, now: datetime) -> Change:
    """It cannot be told whether an instance was made."""
    data = {"attempt": attempt.n, "detail": detail, "reason": Reason.OUTCOME_UNKNOWN}
    event = event_of("attempt.outcome_unknown", session, now, data)
    unknown = replace(attempt, unknown_since=now, detail=detail)
    return Change(Effect.LOSE_REPLY, session, unknown, (event,))


def bury(session: Session, attempt: Attempt, now: datetime) -> Change:
    """No instance appeared after a lost reply: the attempt is over, a tombstone stays."""
    detail = unresolved(attempt)
    over = replace(
        attempt,
        unknown_since=None,
        reason=Reason.OUTCOME_UNKNOWN,
        detail=detail,
        ended_at=now,
        outcome=Outcome.UNKNOWN,
        tombstone_until=now + TOMBSTONE,
    )
    data = {"attempt": attempt.n, "detail": detail, "tombstone_until": over.tombstone_until}
    return Change(Effect.BURY, session, over, (event_of("attempt.unresolved", session, now, data),))


def refuse(
    session: Session, attempt: Attempt, reason: Reason, detail: str, now: datetime
) -> Change:
    """The provider has made nothing: the attempt is over."""
    over = replace(
        attempt,
        unknown_since=None,
        reason=reason,
        detail=detail,
        ended_at=now,
        outcome=Outcome.REFUSED,
    )
    event = event_of("attempt.refused", session, now, why(attempt, reason, detail))
    failure = failure_of(attempt, reason, now)
    return Change(Effect.REFUSE, session, over, (event,), failure=failure)


def abandon(session: Session, attempt: Attempt, now: datetime) -> Change:
    """The session is not wanted any more before the provider was called."""
    over = replace(attempt, reason=session.reason, ended_at=now, outcome=Outcome.REFUSED)
    event = event_of("attempt.abandoned", session, now, {"attempt": attempt.n})
    return Change(Effect.ABANDON, session, over, (event,))


def locate(session: Session, access: Access, now: datetime) -> Change:
    """It is known where the machine will be reached."""
    ssh = access.ssh
    data = {"ssh_host": ssh.host if ssh else None, "ssh_port": ssh.port if ssh else None}
    event = event_of("attempt.located", session, now, data)
    return Change(Effect.LOCATE, replace(session, access=access), None, (event,))


def wait(session: Session, attempt: Attempt, missing: str, now: datetime) -> Change:
    """The machine lets us in, but is not yet what was rented: a sentence says what it lacks."""
    data = {"attempt": attempt.n, "detail": missing}
    return Change(Effect.WAIT, session, None, (event_of(WAITING, session, now, data),))


def verify(
    session: Session, attempt: Attempt, access: Access, evidence: Mapping[str, Any], now: datetime
) -> Change:
    """The promised access is proved."""
    running = replace(
        session,
        status=advance(session.status, Move.VERIFY),
        access=access,
        running_at=now,
    )
    proved = replace(attempt, verified_at=now, outcome=Outcome.RUNNING)
    event = event_of("session.running", session, now, {"attempt": attempt.n, **evidence})
    return Change(Effect.VERIFY, running, proved, (event,))


def doom(session: Session, attempt: Attempt, reason: Reason, detail: str, now: datetime) -> Change:
    """The attempt has failed; its instance still has to be destroyed."""
    event = event_of("attempt.failed", session, now, why(attempt, reason, detail))
    failed = replace(attempt, reason=reason, detail=detail, due_at=now)
    return Change(Effect.DOOM, session, failed, (event,), failure=failure_of(attempt, reason, now))


def extend(session: Session, expires_at: datetime, now: datetime) -> Change:
    """The end moves."""
    data = {"before": session.expires_at, "expires_at": expires_at}
    event = event_of("session.extended", session, now, data)
    return Change(Effect.EXTEND, replace(session, expires_at=expires_at), None, (event,))


def warn(session: Session, now: datetime) -> Change:
    """The end comes near, and it is announced once."""
    warned = replace(session, warned_for=lease.due_at(session))
    data = {"expires_at": session.expires_at, "ends_at": lease.due_at(session)}
    return Change(Effect.WARN, warned, None, (event_of("session.expiring", session, now, data),))


def mark_lost(session: Session, since: datetime | None, detail: str, now: datetime) -> Change:
    """The provider began, or ceased, to call the machine lost, stopped or offline."""
    kind = "session.machine_missing" if since is not None else "session.machine_back"
    event = event_of(kind, session, now, {"since": since, "detail": detail})
    return Change(Effect.MARK_LOST, replace(session, lost_since=since), None, (event,))


def mark_idle(session: Session, since: datetime | None, now: datetime) -> Change:
    """The machine began, or ceased, to be idle."""
    kind = "session.idling" if since is not None else "session.active"
    event = event_of(kind, session, now, {"idle_since": since})
    return Change(Effect.MARK_IDLE, replace(session, idle_since=since), None, (event,))


def reap_idle(
    session: Session,
    evidence: Mapping[str, Any],
    due_at: datetime,
    now: datetime,
    *,
    is_ending: bool,
) -> Change:
    """The verdict "idle" with its evidence, and the end of the session where that is the policy."""
    event = event_of("session.idle", session, now, {**evidence, "is_ending": is_ending})
    if not is_ending:
        return Change(Effect.REPORT_IDLE, session, None, (event,))
    change = end(session, Reason.IDLE, due_at, now)
    return replace(change, name=Effect.REAP_IDLE, events=(event, *change.events))


def end(session: Session, reason: Reason, due_at: datetime, now: datetime) -> Change:
    """The end is asked for: by the consumer, the lease, idleness."""
    ending = replace(
        session,
        wanted=Wanted.GONE,
        status=advance(session.status, Move.END),
        reason=reason,
        due_at=due_at,
    )
    data = {"reason": reason, "due_at": due_at}
    return Change(Effect.END, ending, None, (event_of("session.stopping", session, now, data),))


def lose(session: Session, attempt: Attempt, detail: str, now: datetime) -> Change:
    """The machine of a running session is lost: what may be left of it has to be destroyed."""
    reason = Reason.INSTANCE_LOST
    ending = replace(session, wanted=Wanted.GONE, reason=reason, error=detail, due_at=now)
    lost = replace(attempt, reason=reason, detail=detail, due_at=now)
    event = event_of("session.lost", session, now, why(attempt, reason, detail))
    failure = failure_of(attempt, reason, now)
    return Change(Effect.LOSE, ending, lost, (event,), failure=failure)


def ask_to_destroy(
    session: Session, attempt: Attempt, now: datetime, is_first: bool = False
) -> Change:
    """The destroying call goes out: from here on the instance may be gone.

    So the meter stops, until an answer tells better. Whoever dies before the answer leaves
    behind until when the machine was billed. No event: it may have to be asked for days. The
    receipt tells of the first call; this one `is_first` where an earlier one may never have gone.
    """
    require_open(session, "ask to destroy")
    asked_at = now if is_first else attempt.destroy_asked_at or now
    asked = replace(attempt, destroy_asked_at=asked_at)
    return Change(Effect.ASK_TO_DESTROY, session, asked, accrual=meter(session, asked, now))


def destroying(session: Session, attempt: Attempt, accepted_at: datetime) -> Change:
    """The provider has accepted the destruction: the meter stops; the proof is still to come."""
    asked = replace(attempt, destroy_accepted_at=accepted_at)
    data = {"attempt": attempt.n, "instance_id": attempt.instance_id}
    event = event_of("instance.destroy_accepted", session, accepted_at, data)
    return Change(Effect.DESTROYING, session, asked, (event,), accrual=meter(session, asked))


def destroy_again(session: Session, attempt: Attempt, accepted_at: datetime) -> Change:
    """There is a newer acceptance, because the last one has not been seen to have an effect.

    The machine was billed until it. No event: this may repeat itself for days, and
    `destroy_fails` tells of it now and then.
    """
    require_open(session, "destroy again")
    asked = replace(attempt, destroy_accepted_at=accepted_at)
    return Change(Effect.DESTROY_AGAIN, session, asked, accrual=meter(session, asked))


def destroy_fails(session: Session, attempt: Attempt, detail: str, now: datetime) -> Change:
    """The provider does not destroy; it is asked again without end."""
    data = {"attempt": attempt.n, "instance_id": attempt.instance_id, "detail": detail}
    event = event_of("instance.destroy_failed", session, now, data)
    return Change(Effect.DESTROY_FAILS, session, None, (event,))


def gone(
    session: Session,
    attempt: Attempt,
    proof: Proof,
    now: datetime,
    *,
    is_stopped: bool = False,
) -> Change:
    """It is proved that the instance is gone: the attempt is over.

    Its meter stays where it `is_stopped`; where it still runs, it stops at the acceptance
    of the destruction, and without one at the instant at which the instance was missed. The end
    of a failed attempt was due at its failure, though the session's may have come since.
    """
    due_at = attempt.due_at or session.due_at
    over = replace(
        attempt,
        due_at=due_at,
        absent_at=proof.first.at,
        absent_by=proof.first.by,
        gone_at=now,
        gone_by=proof.second.by,
        ended_at=now,
        outcome=Outcome.ENDED if attempt.reason is None else Outcome.FAILED,
    )
    data = {"attempt": attempt.n, "instance_id": attempt.instance_id, "proof": proof.words}
    change = Change(
        Effect.GONE,
        session,
        over,
        (event_of("instance.gone", session, now, data),),
        accrual=None if is_stopped else meter(session, over),
    )
    if session.wanted is Wanted.RUNNING:
        return change
    return conclude(replace(change, session=replace(session, due_at=due_at)), now)


def retry(session: Session, attempt: Attempt, now: datetime) -> Change:
    """Another offer stands in: `attempt` is recorded, and its call goes out next."""
    after = replace(
        session,
        attempt=attempt.n,
        offer=attempt.offer,
        price_per_hour=attempt.price_per_hour,
        instance_id=None,
        image=session.image if session.request.names_image else None,
        access=Access(),
    )
    data = {"attempt": attempt.n, "offer_id": attempt.offer.id, "label": attempt.label}
    return Change(Effect.RETRY, after, attempt, (event_of("attempt.started", session, now, data),))


def give_up(
    session: Session, attempt: Attempt, reason: Reason, detail: str, now: datetime
) -> Change:
    """No attempt worked and no offer is left to try: no machine exists, the session failed.

    Its end was due when the last attempt failed.
    """
    due_at = attempt.due_at or now
    failing = replace(session, wanted=Wanted.GONE, reason=reason, error=detail, due_at=due_at)
    return conclude(Change(Effect.GIVE_UP, failing), now)


def conclude(change: Change, now: datetime) -> Change:
    """`change`, and with it the final status: no machine is left and none is wanted."""
    session = change.session
    move = Move.CLOSE if session.status is Status.STOPPING else Move.FAIL
    over = replace(session, status=advance(session.status, move), stopped_at=now)
    data = {"reason": session.reason, "error": session.error}
    event = event_of(f"session.{over.status}", session, now, data)
    return replace(change, session=over, events=(*change.events, event), forget_confidential=True)
