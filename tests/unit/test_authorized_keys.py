"""Which keys a provider is told of, and when again."""

from __future__ import annotations

from datetime import timedelta

from broker.decide.keys import (
    DETACHED,
    REKEYED,
    Retired,
    Told,
    keys_of,
    may_tell_again,
    replaced_key,
    still_attached,
    time_to_take_effect,
)
from broker.model import Event
from tests.builders import NOW, RUNNING, SESSION_ID, a_request, a_session

OWN = "ssh-ed25519 BBBB gpu-broker"


def an_event(kind: str, session_id: str | None = SESSION_ID, **data: object) -> Event:
    """Something that happened to a session."""
    return Event(kind, NOW, session_id, data)


def test_the_brokers_own_key_is_on_machines_with_managed_access_alone() -> None:
    """The consumer's is on all of them."""
    unmanaged = a_session(request=a_request(managed_access=False))

    assert (RUNNING.public_key, OWN) == keys_of(RUNNING, OWN)
    assert (RUNNING.public_key,) == keys_of(unmanaged, OWN)


def test_a_provider_is_told_again_after_pauses_that_grow() -> None:
    """Five seconds at first, a minute at most; a simulator is quicker."""
    assert may_tell_again(Told(), NOW, 1)
    pauses = [5, 10, 20, 40, 60, 60]
    for tries, seconds in enumerate(pauses, start=1):
        told = Told(tries, NOW)
        assert not may_tell_again(told, NOW + timedelta(seconds=seconds - 1), 1)
        assert may_tell_again(told, NOW + timedelta(seconds=seconds), 1)
        assert may_tell_again(told, NOW + timedelta(seconds=1), 0)


def test_a_key_that_stays_is_not_replaced() -> None:
    """Whatever its comment is."""
    assert replaced_key("ssh-ed25519 AAAA one", "ssh-ed25519 AAAA two") is None
    assert "ssh-ed25519 AAAA" == replaced_key("ssh-ed25519 AAAA one", "ssh-ed25519 CCCC")


def test_what_was_replaced_is_still_attached_until_it_is_told_to_be_forgotten() -> None:
    """Of each session on its own; other events and exchanges without a key say nothing."""
    events = [
        an_event(REKEYED, replaced="ssh-ed25519 A"),
        an_event(REKEYED, session_token=True),
        an_event(REKEYED, replaced="ssh-ed25519 B"),
        an_event(REKEYED, "sess-b", replaced="ssh-ed25519 A"),
        an_event(DETACHED, key="ssh-ed25519 A"),
    ]

    assert (Retired(SESSION_ID, "ssh-ed25519 B"), Retired("sess-b", "ssh-ed25519 A")) == (
        still_attached(events)
    )
    assert (Retired(SESSION_ID, "ssh-ed25519 A"),) == still_attached(
        [events[0], events[4], events[0]]
    )


def test_a_key_is_forgotten_when_the_fresh_one_is_on_the_machine_for_good() -> None:
    """A minute later, at the provider's pace, and never at once."""
    minute, second = timedelta(minutes=1), timedelta(seconds=1)

    assert (2 * minute, minute, second) == tuple(map(time_to_take_effect, (2.0, 1.0, 0.0)))
