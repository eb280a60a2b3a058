"""Providers that take nothing new, and that sessions or orphans still hang on: they drain."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from broker.model import Request


class Cause(StrEnum):
    """Why a provider takes nothing new."""

    SWITCHED_OFF = "switched off"
    """Its credentials are at hand: what runs there is looked after to its end."""
    NO_CREDENTIALS = "no credentials"
    NO_ADAPTER = "no adapter"
    """This version of the broker does not know it."""


@dataclass(frozen=True, slots=True)
class Drain:
    """A provider that takes nothing new."""

    provider: str
    cause: Cause
    setting: str
    """The one that brings it back; empty where none does."""

    @property
    def is_reachable(self) -> bool:
        """Whether what runs there can be looked after."""
        return self.cause is Cause.SWITCHED_OFF

    @property
    def remedy(self) -> str:
        """What brings it back."""
        match self.cause:
            case Cause.SWITCHED_OFF:
                return f"it is switched off, {self.setting} brings it back"
            case Cause.NO_CREDENTIALS:
                return f"its credentials are gone, set {self.setting} and start the broker again"
            case Cause.NO_ADAPTER:
                return "this version of gpu-broker does not know it, start one that does"

    def reason(self, sessions: int) -> str:
        """How it is, while so many sessions hang on it."""
        if not sessions:
            return f"drained: no session is left; {self.remedy}"
        hanging = counted(sessions)
        if self.is_reachable:
            return f"draining: {hanging} left; {self.remedy}"
        return f"draining: {hanging} left, and nothing can be done for them: {self.remedy}"

    @property
    def refusal(self) -> str:
        """What somebody is told who wants something new there."""
        return f"{self.provider} takes no new sessions: {self.remedy}."


def counted(sessions: int) -> str:
    """So many sessions, for people."""
    return f"{sessions} {'session' if sessions == 1 else 'sessions'}"


def plan_drains(
    live: Mapping[str, int],
    strays: Collection[str],
    *,
    enabled: Collection[str],
    settings: Mapping[str, str],
    reachable: Collection[str],
) -> list[Drain]:
    """The providers that drain.

    `live` are the sessions that are not final, by provider; at `strays` machines of ours may be
    that no session holds. `settings` names, for each provider that there is an adapter for, the
    setting that brings it back; `reachable` are those whose credentials are at hand.
    """
    engaged = {name for name, sessions in live.items() if sessions}
    drains = []
    for name in sorted({*engaged, *strays} - set(enabled)):
        if name in reachable:
            drains.append(Drain(name, Cause.SWITCHED_OFF, settings[name]))
        elif name in engaged:
            cause = Cause.NO_CREDENTIALS if name in settings else Cause.NO_ADAPTER
            drains.append(Drain(name, cause, settings.get(name, "")))
    return drains


def refusal_of(
    request: Request, drains: Mapping[str, Drain], providers: Collection[str]
) -> str | None:
    """Why nothing is rented for `request`: it names a provider that drains, or all of them do."""
    offered_by = (request.offer_id or "").partition("-")[0]
    named = drains.get(request.criteria.provider or offered_by)
    if named is not None:
        return named.refusal
    if drains and set(providers) <= set(drains):
        return " ".join(drain.refusal for _, drain in sorted(drains.items()))
    return None
