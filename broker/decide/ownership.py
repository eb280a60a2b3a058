"""Whose the instances of a marketplace account are, as their labels and our records tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from broker.model import LIVE, Holder, Sighting
from providers.base import Instance
from providers.label import Label, is_unreadable, parse_label


class Ownership(StrEnum):
    """Whose an instance is; in the order of how much it wants to be looked at."""

    ORPHANED = "orphaned"
    """With our label, and no live session holds it."""
    UNREADABLE = "unreadable"
    """With our mark, in a label that tells neither session nor deadline: never touched."""
    FOREIGN = "foreign"
    """Another deployment's, or without a label of a broker's: never touched."""
    OURS = "ours"
    """A live session holds it; its label may have been changed since."""


@dataclass(frozen=True, slots=True)
class Machines:
    """How many machines an account holds."""

    ours: int
    orphaned: int
    foreign: int
    """Those that are never touched, the unreadable ones among them."""
    unreadable: int


@dataclass(frozen=True, slots=True)
class Owned:
    """One instance of an account, with what is known about its owner."""

    instance: Instance
    ownership: Ownership
    label: Label | None
    """None where it carries none of a broker's."""
    holder: Holder | None
    """The session that holds it, or that our label names; None where our records know none."""
    sighting: Sighting | None
    """Of an orphan: since when it is known as one."""

    @property
    def since(self) -> datetime | None:
        """When it was made, as far as anybody knows."""
        if self.instance.created_at is not None:
            return self.instance.created_at
        return self.sighting.first_seen_at if self.sighting else None


def ours_among(instances: Iterable[Instance], deployment: str) -> Iterator[tuple[Instance, Label]]:
    """The instances with our label."""
    for instance in instances:
        label = parse_label(instance.label)
        if label is not None and label.deployment == deployment:
            yield instance, label


def sessions_named(instances: Iterable[Instance]) -> list[str]:
    """The sessions that the labels of the instances name, of whatever deployment."""
    labels = (parse_label(instance.label) for instance in instances)
    return sorted({label.session_id for label in labels if label is not None})


def is_held(holder: Holder | None, instance: Instance, label: Label) -> bool:
    """Whether a live session holds this instance; `holder` is the one that its label names."""
    if (
        holder is None
        or holder.status not in LIVE
        or label.attempt != holder.attempt
        or holder.is_closed
    ):
        return False
    return holder.instance_id is None or holder.instance_id == instance.id


def judge_owners(
    instances: Sequence[Instance],
    holders: Mapping[str, Holder],
    sightings: Iterable[Sighting],
    deployment: str,
) -> list[Owned]:
    """Every instance with its owner, in the order of `Ownership`, the oldest first.

    `holders` has the sessions that the labels name, and those whose records name an instance.
    """
    seen = {sighting.instance_id: sighting for sighting in sightings}
    keepers = {holder.instance_id: holder for holder in holders.values() if _keeps(holder)}
    owned = [
        _judged(one, holders, keepers.get(one.id), seen.get(one.id), deployment)
        for one in instances
    ]
    return sorted(owned, key=_rank)


def count_machines(
    instances: Sequence[Instance], holders: Mapping[str, Holder], deployment: str
) -> Machines:
    """Whose the instances of one account are."""
    found = Counter(one.ownership for one in judge_owners(instances, holders, (), deployment))
    unreadable = found[Ownership.UNREADABLE]
    return Machines(
        ours=found[Ownership.OURS],
        orphaned=found[Ownership.ORPHANED],
        foreign=found[Ownership.FOREIGN] + unreadable,
        unreadable=unreadable,
    )


def _judged(
    instance: Instance,
    holders: Mapping[str, Holder],
    keeper: Holder | None,
    sighting: Sighting | None,
    deployment: str,
) -> Owned:
    label = parse_label(instance.label)
    if label is None or label.deployment != deployment:
        if keeper is not None:
            return Owned(instance, Ownership.OURS, label, keeper, None)
        is_marked = is_unreadable(instance.label, deployment)
        ownership = Ownership.UNREADABLE if is_marked else Ownership.FOREIGN
        return Owned(instance, ownership, label, None, None)
    holder = holders.get(label.session_id)
    if is_held(holder, instance, label):
        return Owned(instance, Ownership.OURS, label, holder, None)
    return Owned(instance, Ownership.ORPHANED, label, holder, sighting)


def _keeps(holder: Holder) -> bool:
    """Whether a live session holds the instance that its record names, whatever label that has."""
    return holder.status in LIVE and not holder.is_closed


_ORDER = tuple(Ownership)


def _rank(owned: Owned) -> tuple[int, bool, float, str]:
    """What is of unknown age stands last among its like."""
    since = owned.since
    return (
        _ORDER.index(owned.ownership),
        since is None,
        since.timestamp() if since else 0.0,
        owned.instance.id,
    )
