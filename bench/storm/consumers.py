"""Consumers of the broker: they rent, wait, extend, end, hang up and forget."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

_MOST_AT_ONCE = 40
_BETWEEN_ARRIVALS = 0.4
"""Seconds, on the average."""
_BETWEEN_LOOKS = 0.5
_MOST_LOOKS = 60
_ENDED = {"stopped", "failed"}
_PATIENCE = aiohttp.ClientTimeout(total=45)
_PROVIDERS = ("vastai", "vastai", "tensordock", None)


@dataclass(frozen=True)
class Accident:
    """An answer with status 500."""

    at: datetime
    what: str


@dataclass
class Consumer:
    """What one consumer has done."""

    id: str
    session_id: str | None = None
    """None while no answer has told it."""
    asked_to_end_at: datetime | None = None
    """When it first asked for the end, whatever became of that."""
    told_to_end_at: datetime | None = None
    """When it was first answered that the session ends."""
    accidents: list[Accident] = field(default_factory=list)


class Crowd:
    """All consumers of a run, by chance and one after the other."""

    def __init__(
        self, url: str, public_key: str, chance: random.Random, now: Callable[[], datetime]
    ) -> None:
        self.all: list[Consumer] = []
        self._url = url
        self._public_key = public_key
        self._chance = chance
        self._now = now

    async def arrive(self) -> None:
        """Let consumers come for ever; whoever is there when this ends forgets its session."""
        free = asyncio.Semaphore(_MOST_AT_ONCE)
        async with (
            aiohttp.ClientSession(self._url, timeout=_PATIENCE) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in itertools.count():
                await free.acquire()
                consumer = Consumer(f"consumer-{number}")
                chance = random.Random(self._chance.random())
                self.all.append(consumer)
                visit = _Visit(client, consumer, chance, self._now)
                task = group.create_task(visit.live(self._public_key))
                task.add_done_callback(lambda _: free.release())
                await asyncio.sleep(self._chance.expovariate(1 / _BETWEEN_ARRIVALS))

    async def end_all(self, sessions: Iterable[tuple[str, str]]) -> None:
        """End sessions, given with their consumers' ids, for these."""
        async with aiohttp.ClientSession(self._url, timeout=_PATIENCE) as client:
            known = {one.id: one for one in self.all}
            visits = []
            for session_id, consumer_id in sessions:
                consumer = known[consumer_id]
                consumer.session_id = session_id
                visits.append(_Visit(client, consumer, self._chance, self._now))
            await asyncio.gather(*(visit.end("DELETE", "") for visit in visits))


class _Visit:
    """One consumer, from its creation to its end or its leaving."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        consumer: Consumer,
        chance: random.Random,
        now: Callable[[], datetime],
    ) -> None:
        self.consumer = consumer
        self._client = client
        self._chance = chance
        self._now = now

    async def live(self, public_key: str) -> None:
        """The whole visit."""
        await self._create(public_key)
        if self.consumer.session_id is None or self._chance.random() < 0.15:
            return
        if self._chance.random() < 0.2:
            await asyncio.sleep(self._chance.uniform(0, 3))
        else:
            await self._wait()
            await asyncio.sleep(self._chance.uniform(0, 15))
        if self._chance.random() < 0.2:
            await self._call("POST", "/extend", {"additional_minutes": self._chance.randint(1, 2)})
            await asyncio.sleep(self._chance.uniform(0, 5))
        way = self._chance.choice((("DELETE", ""), ("POST", "/done"), None))
        if way is not None:
            await self.end(*way)

    async def end(self, method: str, path: str) -> None:
        """Ask for the end until somebody answers."""
        consumer = self.consumer
        consumer.asked_to_end_at = consumer.asked_to_end_at or self._now()
        while True:
            status, _ = await self._call(method, path)
            if status in {200, 202}:
                consumer.told_to_end_at = consumer.told_to_end_at or self._now()
            if status in {200, 202, 404, 409}:
                return
            await asyncio.sleep(_BETWEEN_LOOKS)

    async def _create(self, public_key: str) -> None:
        body = self._wanted(public_key)
        key = f"key-{self.consumer.id}" if self._chance.random() < 0.6 else None
        patience = self._chance.uniform(0, 0.5) if self._chance.random() < 0.15 else None
        for _ in range(6 if key else 1):
            try:
                async with asyncio.timeout(patience):
                    status, answer = await self._ask("POST", "/api/v1/sessions", body, key)
            except TimeoutError:
                return
            if status == 201:
                self.consumer.session_id = answer["session"]["id"]
                return
            if status not in {0, 500, 503}:
                return
            await asyncio.sleep(self._chance.uniform(0.5, 3))

    def _wanted(self, public_key: str) -> dict[str, Any]:
        chance = self._chance
        body: dict[str, Any] = {
            "consumer_id": self.consumer.id,
            "workload_type": "llm",
            "reservation_minutes": chance.choice((1, 1, 2, 3)),
            "allow_unverified": True,
            "ssh_public_key": public_key,
            "auto_retry": chance.random() < 0.5,
            "retry_scope": "any",
        }
        if provider := chance.choice(_PROVIDERS):
            body["provider"] = provider
        return body

    async def _wait(self) -> None:
        for _ in range(_MOST_LOOKS):
            status, answer = await self._call("GET", "")
            if status == 200 and answer["status"] in {"running", *_ENDED}:
                return
            await asyncio.sleep(_BETWEEN_LOOKS)

    async def _call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        path = f"/api/v1/sessions/{self.consumer.session_id}{path}"
        return await self._ask(method, path, body)

    async def _ask(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[int, Any]:
        """The status and the body; 0 and None where the broker gave no answer."""
        headers = {"Idempotency-Key": key} if key else {}
        try:
            async with self._client.request(method, path, json=body, headers=headers) as response:
                answer = await response.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return 0, None
        if response.status == 500:
            what = f"{method} {path}: {answer}"
            self.consumer.accidents.append(Accident(self._now(), what))
        return response.status, answer
