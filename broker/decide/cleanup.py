"""Which machines `cleanup-orphans` may destroy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from broker.decide.ownership import is_held
from broker.decide.plan import see
from broker.model import Holder, Sighting
from providers.base import Instance
from providers.label import Label, is_unreadable, parse_label


class Verdict(StrEnum):
    """What a machine of an account is to us."""

    FOREIGN = "foreign"
    UNREADABLE = "unreadable"
    CLAIMED = "claimed"
    YOUNG = "young"
    KEPT = "kept"
    ORPHANED = "orphaned"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its reason."""

    verdict: Verdict
    why: str


def judge(
    instance: Instance,
    *,
    deployment: str | None,
    holder: Holder | None,
    has_database: bool,
    is_forced: bool,
    first_seen_at: datetime | None,
    restored_at: datetime | None,
    grace: timedelta,
    now: datetime,
) -> Judgement:
    """What to do about one instance. Only ORPHANED may be destroyed.

    A database that was restored cannot know of every machine: the grace begins at `restored_at`.
    Without a database nothing tells which sessions live: then the deadline on the label
    decides, unless an operator forces it.
    """
    label = parse_label(instance.label)
    if deployment is not None and is_unreadable(instance.label, deployment):
        why = "Its label has our mark and cannot be read: look for it in the marketplace's console."
        return Judgement(Verdict.UNREADABLE, why)
    if label is None or label.deployment != deployment:
        return Judgement(Verdict.FOREIGN, "It does not carry our label.")
    if holder is not None and is_held(holder, instance, label):
        return Judgement(Verdict.CLAIMED, f"Session {holder.session_id} is {holder.status}.")
    if not has_database:
        return _by_label(label, is_forced=is_forced, now=now)
    since = instance.created_at or first_seen_at
    if since is None:
        why = "Its age is not told, and it is seen for the first time: look again after the grace."
        return Judgement(Verdict.YOUNG, why)
    if now < since + grace:
        return Judgement(Verdict.YOUNG, "It is younger than the grace.")
    if restored_at is not None and now < restored_at + grace:
        return Judgement(Verdict.YOUNG, "The database was restored, and the grace is not over.")
    return Judgement(Verdict.ORPHANED, "It has our label, and no live session holds it.")


def seen_now(
    provider: str,
    instances: Iterable[Instance],
    *,
    deployment: str | None,
    holders: Mapping[str, Holder],
    before: Iterable[Sighting],
    now: datetime,
) -> list[Sighting]:
    """What is to be remembered after a list: `before`, and every instance that may be an orphan."""
    known = {sighting.instance_id: sighting for sighting in before}
    for instance in instances:
        label = parse_label(instance.label)
        if label is None or label.deployment != deployment:
            continue
        if not is_held(holders.get(label.session_id), instance, label):
            known[instance.id] = see(known.get(instance.id), provider, instance, now)
    return list(known.values())


def _by_label(label: Label, *, is_forced: bool, now: datetime) -> Judgement:
    if now >= label.deadline:
        return Judgement(Verdict.ORPHANED, "The deadline on its label is over.")
    if is_forced:
        return Judgement(Verdict.ORPHANED, "No database is at hand, and it was forced.")
    until = f"{label.deadline:%Y-%m-%d %H:%M} UTC"
    return Judgement(Verdict.KEPT, f"No database is at hand; its label lets it live until {until}.")
