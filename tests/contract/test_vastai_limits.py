"""Keys, credit and limits of an account at Vast.ai, over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from broker.clock import utcnow
from providers.errors import (
    BadResponse,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from providers.vastai import VastaiOptions, VastaiProvider, open_vastai
from providers.vastai.lanes import Call, open_pacer
from tests.contract.conftest import A_KEY, Clock, a_label, a_spec
from tests.contract.vastai_calls import Ask, rented
from tests.vast_wire import TOO_FREQUENT, Misfortune, Operation, VastWire, Word, open_vast_wire
from tests.vast_wire.limits import INTERVALS
from tests.waiting import eventually

SO_SLOW = 1000.0
"""A pace at which the moments that a test takes weigh nothing."""
PACED = {
    *(Operation.CREATE, Operation.TEMPLATES, Operation.LIST),
    *(Operation.SHOW, Operation.ATTACH, Operation.DESTROY),
}


@pytest.mark.parametrize("status", [401, 404])
async def test_a_wrong_key_is_known_by_the_words_of_the_answer(
    vastai: VastaiProvider, vast_wire: VastWire, status: int
) -> None:
    """Its status is sometimes that of what does not exist: no machine is gone because of it."""
    instance_id = str(vast_wire.add_instance(label="mine"))
    asks: list[Ask] = [
        lambda provider: provider.list_offers(),
        lambda provider: provider.list_instances(),
        lambda provider: provider.get(instance_id),
        lambda provider: provider.destroy(instance_id),
        lambda provider: provider.balance(),
        lambda provider: provider.list_templates(),
        lambda provider: provider.attach_key(instance_id, "ssh-ed25519 AAAA x"),
    ]
    for ask in asks:
        vast_wire.misfortunes.add(Misfortune(Word.BAD_KEY, status=status))
        with pytest.raises(Unauthorized) as caught:
            await ask(vastai)
        assert vast_wire.api_key not in str(caught.value)


@pytest.mark.parametrize("body", TOO_FREQUENT)
async def test_every_form_of_a_refusal_for_haste_is_understood(
    vast_wire: VastWire, clock: Clock, body: str
) -> None:
    """At pace 0 none is waited for longer than a second."""
    vastai = await open_vastai(VastaiOptions(vast_wire.api_key, vast_wire.url, pace=0), clock)
    vast_wire.misfortunes.add(Misfortune(Word.RATE_LIMITED, Operation.SHOW, text=body))
    instance_id = str(vast_wire.add_instance(label="mine"))
    with pytest.raises(RateLimited) as caught:
        await vastai.get(instance_id)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after <= timedelta(seconds=1)
    assert (await vastai.get(instance_id)).id == instance_id
    await vastai.close()


@pytest.mark.parametrize("call", [call for call in Call if call in INTERVALS])
async def test_two_calls_of_a_kind_are_as_far_apart_as_documented(call: Call) -> None:
    """Told by how long a second one would have to wait."""
    pacer = open_pacer(SO_SLOW)
    async with pacer.turn(call):
        pass
    with pytest.raises(RateLimited) as refusal:
        async with pacer.turn(call, patience=timedelta()):
            pass
    assert refusal.value.retry_after is not None
    assert refusal.value.retry_after >= timedelta(seconds=INTERVALS[call] * SO_SLOW)


async def test_calls_of_a_kind_wait_for_each_other(tmp_path: Path) -> None:
    """Many want to be made at once: one of each kind goes out."""
    async with open_vast_wire(tmp_path, now=utcnow, ssh=False, limits=SO_SLOW) as wire:
        provider = await open_vastai(VastaiOptions(wire.api_key, wire.url, pace=SO_SLOW), utcnow)
        offers = (await provider.list_offers()).offers[:3]
        held = [str(wire.add_instance(label="mine")) for _ in offers]
        asked: list[Coroutine[Any, Any, object]] = [
            *(provider.create(a_spec(o, a_label(attempt=n))) for n, o in enumerate(offers, 1)),
            *(provider.list_templates() for _ in held),
            *(provider.list_instances() for _ in held),
            *(provider.get(one) for one in held),
            *(provider.attach_key(one, A_KEY) for one in held),
            *(provider.destroy(one) for one in held),
        ]
        asking = [asyncio.create_task(ask) for ask in asked]

        async def is_each_kind_made() -> bool:
            return {one.operation for one in wire.calls} >= PACED

        await eventually(is_each_kind_made)
        await provider.balance()
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        await provider.close()

        assert wire.violations == []


async def test_a_destruction_that_came_too_early_says_when_to_come_again(
    vastai: VastaiProvider, vast_wire: VastWire
) -> None:
    """It was not done, and whoever wants it done asks again."""
    instance_id = str(vast_wire.add_instance(label="mine"))
    vast_wire.misfortunes.add(Misfortune(Word.RATE_LIMITED, Operation.DESTROY, retry_after=0.05))
    with pytest.raises(RateLimited):
        await vastai.destroy(instance_id)
    assert vast_wire.instance(instance_id) is not None
    await vastai.destroy(instance_id)
    assert vast_wire.instance(instance_id) is None


@pytest.mark.parametrize("text", ["[1, 2, null]", "null", '"done"'])
async def test_a_success_that_says_nothing_accepts_no_destruction(
    vastai: VastaiProvider, vast_wire: VastWire, text: str
) -> None:
    """It may have had its effect; nobody said so."""
    instance_id = str(vast_wire.add_instance(label="mine"))
    answer = Misfortune(Word.ANSWER, Operation.DESTROY, status=200, text=text)
    vast_wire.misfortunes.add(answer)
    with pytest.raises(BadResponse):
        await vastai.destroy(instance_id)


async def test_many_destructions_go_out_at_once(tmp_path: Path) -> None:
    """A marketplace that takes its time over one of them holds up no other."""
    async with open_vast_wire(tmp_path, now=utcnow, ssh=False) as wire:
        provider = await open_vastai(VastaiOptions(wire.api_key, wire.url, pace=0), utcnow)
        held = [str(wire.add_instance(label="mine")) for _ in range(20)]
        wire.misfortunes.add(Misfortune(Word.HANGS, Operation.DESTROY, times=len(held)))
        asking = [asyncio.create_task(provider.destroy(one)) for one in held]

        async def have_all_gone_out() -> bool:
            return len([one for one in wire.calls if one.operation is Operation.DESTROY]) == 20

        await eventually(have_all_gone_out)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        await provider.close()


async def test_a_key_is_attached_and_detached(
    vastai: VastaiProvider, vast_wire: VastWire, clock: Clock
) -> None:
    """Both as often as one likes; other keys stay."""
    made = await rented(vastai, clock)
    mine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAsx0oJYbGcM0Fgyi0e6fIYk9vX3MtVq0tUXq6y me"
    other = mine.replace("KHECh", "KHECi")
    for key in (mine, mine, other):
        await vastai.attach_key(made.id, key)
    for _ in range(2):
        await vastai.detach_key(made.id, mine)
    assert [key.key for key in vast_wire.fleet.find(made.id).keys] == [other]


async def test_the_credit_is_what_can_be_spent(vastai: VastaiProvider, vast_wire: VastWire) -> None:
    """The field called balance is another ledger."""
    vast_wire.credit = Decimal("12.5")
    assert await vastai.balance() == Decimal("12.5")


async def test_nothing_at_the_address_is_no_answer(clock: Clock) -> None:
    """Neither is a server that speaks something else."""
    provider = await open_vastai(VastaiOptions("k" * 64, "http://127.0.0.1:9", pace=0), clock)
    asks: list[Ask] = [
        lambda p: p.list_offers(),
        lambda p: p.list_instances(),
        lambda p: p.get("1"),
        lambda p: p.destroy("1"),
        lambda p: p.balance(),
    ]
    for ask in asks:
        with pytest.raises(Unavailable):
            await ask(provider)
    await provider.close()


def test_the_options_do_not_show_the_key() -> None:
    """They may end in a log."""
    assert "secret" not in repr(VastaiOptions("secret", "http://x"))
