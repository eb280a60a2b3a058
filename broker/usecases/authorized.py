"""The keys of machines whose provider owns `authorized_keys`: it is told of every one.

What a provider has to be told is told beside all other work, so that a slow or failing
provider holds up nobody. Providers that put keys on a machine themselves are left alone.
"""

from __future__ import annotations

import asyncio
import logging

from broker.decide import upkeep
from broker.decide.keys import (
    DETACHED,
    REKEYED,
    Retired,
    Told,
    keys_of,
    may_tell_again,
    pause_after_failure,
    still_attached,
    time_to_take_effect,
)
from broker.decide.proof import bare_public_key
from broker.model import Attempt, Change, Session, Wanted
from broker.usecases.background import tell_of_end
from broker.usecases.doors import Door
from broker.usecases.launch import Tools
from broker.usecases.turns import Turns
from providers.errors import NotFound, ProviderError

log = logging.getLogger(__name__)


class AuthorizedKeys:
    """Tells providers which keys to let in, and which no more."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._turns = Turns()
        self._telling: dict[str, asyncio.Task[None]] = {}
        """Label of an attempt -> the work that tells of its keys."""
        self._told: dict[str, Told] = {}
        self._troubles: dict[str, str] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        tools.journal.listen(self)

    def session_changed(self, change: Change, _: Session) -> None:
        """A journal tells of every change: an attempt that is over needs no keys."""
        if change.attempt is None or not change.attempt.is_closed:
            return
        label = change.attempt.label
        self._told.pop(label, None)
        self._troubles.pop(label, None)
        if (task := self._telling.pop(label, None)) is not None:
            task.cancel()

    def ensure(self, session: Session, attempt: Attempt) -> None:
        """See that the provider is told of a new machine's keys."""
        if attempt.label not in self._told:
            self._tell(session, attempt)

    def missing(self, session: Session, attempt: Attempt) -> None:
        """The machine does not accept a key: tell the provider again, but not all the time."""
        told = self._told.get(attempt.label, Told())
        if may_tell_again(told, self._tools.steady(), self._pace(attempt)):
            self._tell(session, attempt)

    def trouble_of(self, attempt: Attempt) -> str:
        """Why the provider was not told the last time, as a sentence; empty where it was."""
        return self._troubles.get(attempt.label, "")

    async def attach(self, session: Session, attempt: Attempt, public_key: str) -> None:
        """Let one more key in; raises ProviderError."""
        async with self._turns.of(session.id):
            await self._door(attempt).attach_key(attempt.instance_id or "", public_key)

    def retire(self, retired: Retired) -> None:
        """See that the provider forgets a key that has been replaced, once the fresh one works."""
        task = asyncio.create_task(self._retire(retired), name=f"detach-key-{retired.session_id}")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        task.add_done_callback(tell_of_end)

    async def resume(self) -> None:
        """Take up what an earlier process has left undone."""
        events = await self._tools.store.events_of_live_sessions((REKEYED, DETACHED))
        for retired in still_attached(events):
            self.retire(retired)

    async def close(self) -> None:
        """Leave off where it stands."""
        tasks = [*self._telling.values(), *self._retiring]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _door(self, attempt: Attempt) -> Door:
        return self._tools.doors[attempt.offer.provider]

    def _pace(self, attempt: Attempt) -> float:
        return self._tools.rules.paces.get(attempt.offer.provider, 1.0)

    def _tell(self, session: Session, attempt: Attempt) -> None:
        running = self._telling.get(attempt.label)
        if not self._door(attempt).owns_keys or (running is not None and not running.done()):
            return
        self._told.setdefault(attempt.label, Told())
        self._telling[attempt.label] = asyncio.create_task(
            self._until_told(session.id, attempt.label), name=f"attach-keys-{session.id}"
        )
        self._telling[attempt.label].add_done_callback(tell_of_end)

    async def _until_told(self, session_id: str, label: str) -> None:
        """Tell of the keys as they are now; until it works, while the machine comes up."""
        while True:
            try:
                async with self._turns.of(session_id):
                    session, attempt = await self._tools.journal.read(session_id)
                    if not _has_machine(session, attempt, label):
                        return
                    await self._attach_all(session, attempt)
            except ProviderError as error:
                self._troubles[label] = f"{attempt.offer.provider} does not take the keys: {error}"
                log.warning("%s", self._troubles[label], extra={"session_id": session_id})
            else:
                self._troubles.pop(label, None)
            told = Told(self._told.get(label, Told()).tries + 1, self._tools.steady())
            self._told[label] = told
            if label not in self._troubles or attempt.verified_at is not None:
                return
            await asyncio.sleep(pause_after_failure(told.tries).total_seconds())

    async def _attach_all(self, session: Session, attempt: Attempt) -> None:
        for line in keys_of(session, self._tools.keyring.own.public_line):
            await self._door(attempt).attach_key(attempt.instance_id or "", line)

    async def _retire(self, retired: Retired) -> None:
        # A provider that rewrites the list now might not have the fresh key in it yet.
        _, attempt = await self._tools.journal.read(retired.session_id)
        await asyncio.sleep(time_to_take_effect(self._pace(attempt)).total_seconds())
        tries = 0
        while True:
            tries += 1
            try:
                async with self._turns.of(retired.session_id):
                    session, attempt = await self._tools.journal.read(retired.session_id)
                    if not _may_forget(session, attempt, retired, self._own()):
                        return
                    await self._door(attempt).detach_key(
                        attempt.instance_id or "", retired.public_key
                    )
                await self._note_forgotten(retired)
            except NotFound:
                return
            except ProviderError as error:
                log.warning(
                    "The key that was replaced is still let in by the provider: %s",
                    error,
                    extra={"session_id": retired.session_id},
                )
            else:
                return
            await asyncio.sleep(pause_after_failure(tries).total_seconds())

    async def _note_forgotten(self, retired: Retired) -> None:
        now = self._tools.now()
        await self._tools.journal.apply(
            retired.session_id,
            lambda s, _: None if s.is_final else upkeep.note_detached(s, retired.public_key, now),
        )

    def _own(self) -> str:
        return bare_public_key(self._tools.keyring.own.public_line)


def _has_machine(session: Session, attempt: Attempt, label: str) -> bool:
    return (
        session.wanted is Wanted.RUNNING
        and attempt.label == label
        and attempt.instance_id is not None
        and attempt.reason is None
    )


def _may_forget(session: Session, attempt: Attempt, retired: Retired, own_key: str) -> bool:
    """Whether the key may go: it is none of those that must be able to log in."""
    kept = (bare_public_key(session.public_key), own_key)
    return _has_machine(session, attempt, attempt.label) and retired.public_key not in kept
