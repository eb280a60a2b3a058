"""What a sweep does: from everything that was observed to the actions it takes.

Two plans. `plan_sessions` looks at our records alone: leases, work that nobody does.
`plan_instances` compares them with one provider's complete list: orphans, ghosts, losses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from broker.decide.jumps import begun_steadily
from broker.decide.lease import due_at, is_kept, needs_warning, overdue
from broker.decide.ownership import is_held, ours_among
from broker.model import Holder, Reason, Sighting, Status, Wanted, Watch
from providers.base import Instance, InstanceStatus
from providers.label import Label

MISSES_OF_A_GHOST = 2
"""Complete lists in a row without its instance that make a live session a ghost."""

DENIALS_OF_A_GHOST = 2
"""How often a provider that can be asked for it alone must say as well that it is gone."""

SIGHTINGS_OF_AN_ORPHAN = 2
"""Complete lists in a row with it that an orphan needs before it may be destroyed."""

_LOST = frozenset({InstanceStatus.STOPPED, InstanceStatus.OFFLINE, InstanceStatus.FAILED})


@dataclass(frozen=True, slots=True)
class EndSession:
    """Reap: the lease is over."""

    session_id: str
    reason: Reason
    due_at: datetime


@dataclass(frozen=True, slots=True)
class WarnSession:
    """Announce that the end comes near."""

    session_id: str


@dataclass(frozen=True, slots=True)
class ResumeSession:
    """Somebody has to work on it: it is on its way up or down."""

    session_id: str


@dataclass(frozen=True, slots=True)
class MarkLost:
    """The provider began, or ceased, to call the machine lost, stopped or offline."""

    session_id: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class LoseSession:
    """The machine is gone or lost for too long: end the session, destroy what is left.

    A ghost is ended only when its provider, asked for it alone, agrees.
    """

    session_id: str
    detail: str
    is_ghost: bool
    """The provider no longer has it at all."""


@dataclass(frozen=True, slots=True)
class DestroyInstance:
    """Destroy an instance of ours that no live session holds."""

    provider: str
    instance_id: str
    label: str
    detail: str


SessionAction: TypeAlias = EndSession | WarnSession | ResumeSession | MarkLost | LoseSession
Action: TypeAlias = SessionAction | DestroyInstance


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that a sweep obeys."""

    deployment: str
    """Our deployment part of the labels."""
    orphan_grace: timedelta
    orphan_grace_is_explicit: bool
    reconciliation_interval: timedelta
    lost_after: timedelta
    complete_since: datetime
    """Since when the database knows of everything that was rented: its making, or restoring."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process remembers from one comparison with a provider's list to the next.

    Instants are of its steady clock: no jump of the wall clock shortens or stretches a grace.
    """

    missed: Mapping[str, int] = field(default_factory=dict)
    """Live session -> complete lists in a row without its instance."""
    unheld: Mapping[str, datetime] = field(default_factory=dict)
    """Instance of ours that no live session holds -> since when."""
    overdue_at: Mapping[str, datetime] = field(default_factory=dict)
    """Each of those whose destruction was not accepted -> when it should have been, at last."""
    down: Mapping[str, datetime] = field(default_factory=dict)
    """Session whose machine the provider calls lost, stopped or offline -> since when."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a comparison with one provider's list found."""

    actions: tuple[Action, ...]
    sightings: tuple[Sighting, ...]
    """Every instance of ours that no live session holds, to be remembered."""
    memory: Memory
    """For the next comparison."""


def plan_sessions(watches: Iterable[Watch], now: datetime) -> list[SessionAction]:
    """The actions that our records alone ask for."""
    actions: list[SessionAction] = []
    for watch in watches:
        if watch.wanted is Wanted.RUNNING:
            actions += _plan_lease(watch, now)
        if watch.wanted is Wanted.GONE or watch.status is not Status.RUNNING:
            actions.append(ResumeSession(watch.id))
    return actions


def _plan_lease(watch: Watch, now: datetime) -> list[SessionAction]:
    reason = overdue(watch, now)
    if reason is not None:
        return [EndSession(watch.id, reason, due_at(watch))]
    return [WarnSession(watch.id)] if needs_warning(watch, now) else []


def plan_instances(
    provider: str,
    instances: Sequence[Instance],
    *,
    listed_at: datetime,
    settle: timedelta,
    watches: Iterable[Watch],
    holders: Mapping[str, Holder],
    sightings: Iterable[Sighting],
    memory: Memory,
    policy: Policy,
    now: datetime,
    steady: datetime,
) -> Verdicts:
    """Compare our records with one complete list of `provider`.

    `listed_at` is when the list was asked for, and the records were read after it. `memory` is
    that of the last comparison in this process, `steady` is `now` by the steady clock.
    """
    known = {sighting.instance_id: sighting for sighting in sightings}
    unheld = [
        (instance, label, holder)
        for instance, label in ours_among(instances, policy.deployment)
        if not is_held(holder := holders.get(label.session_id), instance, label)
        and not _was_proved_gone(holder, label, listed_at, now)
    ]
    seen = [see(known.get(instance.id), provider, instance, now) for instance, _, _ in unheld]
    first_seen = {sighting.instance_id: sighting.first_seen_at for sighting in seen}
    unheld_since = begun_steadily(memory.unheld, first_seen, now, steady)
    actions: list[Action] = []
    overdue_at: dict[str, datetime] = {}
    for sighting, (instance, label, holder) in zip(seen, unheld, strict=True):
        since = unheld_since[instance.id]
        sentence = _sentence(instance, label, holder, since, policy, now, steady)
        if sighting.destroy_asked_at is None:
            overdue_at[instance.id] = sentence.from_then_on + policy.reconciliation_interval
        if sentence.from_then_on <= steady and sighting.count >= sentence.sightings:
            actions.append(DestroyInstance(provider, instance.id, str(label), sentence.why))
    by_id = {instance.id: instance for instance in instances}
    live = [watch for watch in watches if _should_be_listed(watch, listed_at, settle, now)]
    absent = {
        watch.id: memory.missed.get(watch.id, 0) + 1 for watch in live if _id(watch) not in by_id
    }
    down = {watch.id: watch.lost_since or now for watch in live if _is_down(watch, by_id)}
    down_since = begun_steadily(memory.down, down, now, steady)
    for watch in live:
        down_for = steady - down_since.get(watch.id, steady)
        actions += _plan_machine(watch, by_id.get(_id(watch)), absent, down_for, policy, now)
    memory = Memory(absent, unheld_since, overdue_at, down_since)
    return Verdicts(tuple(actions), tuple(seen), memory)


def _was_proved_gone(
    holder: Holder | None, label: Label, listed_at: datetime, now: datetime
) -> bool:
    """Whether the list is older than the proof that this attempt's instance is gone.

    What was proved in the future was proved before the wall clock was set back.
    """
    gone_at = holder.gone_at.get(label.attempt) if holder is not None else None
    return gone_at is not None and listed_at <= gone_at <= now


def see(before: Sighting | None, provider: str, instance: Instance, now: datetime) -> Sighting:
    """What is remembered of a machine of ours that no session holds, now that it was seen again."""
    if before is None:
        return Sighting(provider, instance.id, instance.label or "", now, now, 1)
    return replace(before, last_seen_at=now, count=before.count + 1)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """Why and from when on an instance that no live session holds may be destroyed."""

    why: str
    from_then_on: datetime
    """By the steady clock."""
    sightings: int = SIGHTINGS_OF_AN_ORPHAN


def _sentence(
    instance: Instance,
    label: Label,
    holder: Holder | None,
    since: datetime,
    policy: Policy,
    now: datetime,
    steady: datetime,
) -> _Sentence:
    tombstone = holder.tombstones.get(label.attempt) if holder is not None else None
    if tombstone is not None and now < tombstone:
        return _Sentence("It appeared when it was looked for no more.", since, 1)
    graced_until = since + policy.orphan_grace
    is_known = holder is not None and label.attempt <= holder.attempt
    if not is_known and not policy.orphan_grace_is_explicit and _is_older(instance, policy):
        why = "It is older than what the database knows, and the deadline on its label is over."
        return _Sentence(why, max(graced_until, steady + (label.deadline - now)))
    return _Sentence("It has our label, and no live session holds it.", graced_until)


def _is_older(instance: Instance, policy: Policy) -> bool:
    return instance.created_at is None or instance.created_at < policy.complete_since


def _should_be_listed(watch: Watch, listed_at: datetime, settle: timedelta, now: datetime) -> bool:
    """Whether a list that was asked for then would show the machine.

    What was accepted in the future was accepted before the wall clock was set back.
    """
    return (
        watch.status is Status.RUNNING
        and watch.wanted is Wanted.RUNNING
        and watch.accepted_at is not None
        and (watch.accepted_at + settle <= listed_at or now < watch.accepted_at)
    )


def _id(watch: Watch) -> str:
    return watch.instance_id or ""


def _is_down(watch: Watch, by_id: Mapping[str, Instance]) -> bool:
    instance = by_id.get(_id(watch))
    return instance is not None and instance.status in _LOST


def _plan_machine(
    watch: Watch,
    instance: Instance | None,
    absent: Mapping[str, int],
    down_for: timedelta,
    policy: Policy,
    now: datetime,
) -> list[SessionAction]:
    if instance is None:
        if absent[watch.id] < MISSES_OF_A_GHOST:
            return []
        detail = "The provider no longer has the machine."
        return [LoseSession(watch.id, detail, is_ghost=True)]
    if instance.status not in _LOST:
        return [MarkLost(watch.id, None)] if watch.lost_since is not None else []
    if down_for >= policy.lost_after and not is_kept(watch, now):
        words = f": {instance.detail}" if instance.detail else ""
        detail = f"The provider calls the machine {instance.status}{words}."
        return [LoseSession(watch.id, detail, is_ghost=False)]
    return [MarkLost(watch.id, now)] if watch.lost_since is None else []
