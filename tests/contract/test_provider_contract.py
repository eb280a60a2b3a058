"""What every adapter promises to the broker: one suite for all of them."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal

import pytest

from providers.base import HasTemplates, InstanceStatus, LaunchMode
from providers.errors import (
    InvalidRequest,
    NotFound,
    OfferGone,
    OutcomeUnknown,
    ProviderError,
)
from providers.gpus import gpu_type
from tests.contract.conftest import Scene, a_label, a_spec, first_offer


async def labels(scene: Scene) -> list[str | None]:
    """The labels of everything in the account."""
    return [instance.label for instance in await scene.provider.list_instances()]


async def test_offers_are_sane(scene: Scene) -> None:
    """Identities are unique, prices real, unknowns None, names the usual ones."""
    market = await scene.provider.list_offers()

    assert market.complete
    assert len({offer.id for offer in market.offers}) == len(market.offers) > 0
    for offer in market.offers:
        assert offer.id == f"{scene.provider.name}-{offer.provider_id}"
        assert offer.price_per_hour > 0
        assert offer.disk_price_per_gb_hour >= 0
        assert offer.gpu_count >= 1
        assert offer.vram_gb >= 1
        assert gpu_type(offer.gpu_type) == offer.gpu_type
        assert offer.fetched_at.utcoffset() is not None
        assert offer.reliability is None or 0 <= offer.reliability <= 1
        assert offer.country is None or re.fullmatch("[A-Z]{2}", offer.country)
        assert 0 < offer.prior <= 1


async def test_a_made_instance_is_in_the_list_at_once(scene: Scene) -> None:
    """With its label: that is how it is found again when everything else is lost."""
    offer = await first_offer(scene.provider)

    made = await scene.provider.create(a_spec(offer, disk_gb=60))

    (listed,) = await scene.provider.list_instances()
    assert (listed.id, listed.label) == (made.id, a_label())
    if listed.price_per_hour is not None:
        difference = listed.price_per_hour / offer.price_with_disk(60) - 1
        # A list of prices tells nearly what is charged, a live market exactly that.
        assert abs(difference) <= (Decimal("1e-6") if offer.exclusive else Decimal("0.1"))
    assert listed.created_at is None or listed.created_at.utcoffset() is not None
    assert (await scene.provider.get(made.id)).id == made.id


async def test_an_instance_starts_and_then_runs_where_it_says(scene: Scene) -> None:
    """An address is told when there is one, and that of a published port beside it."""
    offer = await first_offer(scene.provider)
    can_serve = LaunchMode.ENTRYPOINT in scene.provider.capabilities.launch_modes
    mode = LaunchMode.ENTRYPOINT if can_serve else LaunchMode.SSH
    made = await scene.provider.create(a_spec(offer, launch_mode=mode, ports=(8000,)))
    assert made.status is InstanceStatus.STARTING

    scene.let_boot()

    instance = await scene.provider.get(made.id)
    assert instance.status is InstanceStatus.RUNNING
    assert all(endpoint.host and endpoint.port for endpoint in instance.ssh)
    assert set(instance.ports) == {8000}


async def test_a_destroyed_instance_is_not_found(scene: Scene) -> None:
    """That is the provider's own word that it is gone."""
    made = await scene.provider.create(a_spec(await first_offer(scene.provider)))

    await scene.provider.destroy(made.id)

    with pytest.raises(NotFound):
        await scene.provider.get(made.id)
    with pytest.raises(NotFound):
        await scene.provider.destroy(made.id)
    assert await labels(scene) == []


@pytest.mark.parametrize("instance_id", ["987654321", "0", "", "../1", "no such machine", "9" * 99])
async def test_an_unknown_instance_is_not_found(scene: Scene, instance_id: str) -> None:
    """Whatever its id looks like."""
    with pytest.raises(NotFound):
        await scene.provider.get(instance_id)
    with pytest.raises(NotFound):
        await scene.provider.destroy(instance_id)


async def test_a_rented_offer_is_gone_until_its_instance_is(scene: Scene) -> None:
    """Nobody can rent it twice, and the market does not show it."""
    offer = await first_offer(scene.provider)
    if not offer.exclusive:
        pytest.skip("one listing stands for many machines here")
    made = await scene.provider.create(a_spec(offer))

    with pytest.raises(OfferGone):
        await scene.provider.create(a_spec(offer, a_label("bbbbbbbbbbbb")))
    hosts = {seen.machine_id for seen in (await scene.provider.list_offers()).offers}
    assert offer.machine_id not in hosts
    assert await labels(scene) == [a_label()]

    await scene.provider.destroy(made.id)

    # The same machine may be offered under another id now.
    hosts = {seen.machine_id for seen in (await scene.provider.list_offers()).offers}
    assert offer.machine_id in hosts


async def test_of_many_who_want_one_offer_one_gets_it(scene: Scene) -> None:
    """The others are told that it is gone, and nothing was made for them."""
    offer = await first_offer(scene.provider)
    if not offer.exclusive:
        pytest.skip("one listing stands for many machines here")
    wishes = (a_spec(offer, a_label(attempt=n)) for n in range(1, 10))

    answers = await asyncio.gather(
        *(scene.provider.create(wish) for wish in wishes), return_exceptions=True
    )

    assert sum(isinstance(answer, OfferGone) for answer in answers) == 8
    assert len(await labels(scene)) == 1


async def test_a_refused_creation_makes_nothing(scene: Scene) -> None:
    """More disk than the host has is nobody's fault but the caller's."""
    offer = next(
        offer for offer in (await scene.provider.list_offers()).offers if offer.max_disk_gb
    )

    with pytest.raises((InvalidRequest, OfferGone)):
        await scene.provider.create(a_spec(offer, disk_gb=(offer.max_disk_gb or 0) + 1))

    assert await labels(scene) == []


async def test_a_failed_creation_makes_nothing(scene: Scene) -> None:
    """Every error but one says so."""
    offer = await first_offer(scene.provider)
    scene.fail("create")

    with pytest.raises(ProviderError) as caught:
        await scene.provider.create(a_spec(offer))

    assert not isinstance(caught.value, OutcomeUnknown)
    assert await labels(scene) == []


async def test_a_creation_whose_reply_is_lost_is_unknown_and_found_by_its_label(
    scene: Scene,
) -> None:
    """It is neither repeated nor forgotten."""
    offer = await first_offer(scene.provider)
    scene.lose_reply("create")

    with pytest.raises(OutcomeUnknown):
        await scene.provider.create(a_spec(offer))

    assert await labels(scene) == [a_label()]


async def test_a_failed_list_is_no_empty_list(scene: Scene) -> None:
    """No knowledge is not the knowledge that there is nothing."""
    await scene.provider.create(a_spec(await first_offer(scene.provider)))
    scene.fail("list")
    with pytest.raises(ProviderError):
        await scene.provider.list_instances()

    scene.fail("offers")
    with pytest.raises(ProviderError):
        await scene.provider.list_offers()

    assert len(await labels(scene)) == 1


async def test_a_failed_look_at_a_gone_instance_proves_nothing(scene: Scene) -> None:
    """Only the provider's word does."""
    made = await scene.provider.create(a_spec(await first_offer(scene.provider)))
    await scene.provider.destroy(made.id)
    scene.fail("get")

    with pytest.raises(ProviderError) as caught:
        await scene.provider.get(made.id)

    assert not isinstance(caught.value, NotFound)


async def test_other_peoples_instances_are_listed_too(scene: Scene) -> None:
    """Also those without a label of ours: whoever sweeps has to know what it leaves alone."""
    apart = {offer.gpu_type: offer for offer in (await scene.provider.list_offers()).offers}
    one, two, three, *_ = apart.values()
    foreign = a_label(deployment="another")
    for offer, label in ((one, a_label()), (two, foreign), (three, "my own box")):
        await scene.provider.create(a_spec(offer, label))

    assert sorted(map(str, await labels(scene))) == sorted((a_label(), foreign, "my own box"))


async def test_a_destruction_is_starved_by_nothing(scene: Scene) -> None:
    """Fifty other calls may be stuck."""
    made = await scene.provider.create(a_spec(await first_offer(scene.provider)))
    scene.stall(50)
    stuck = [asyncio.create_task(scene.provider.get(made.id)) for _ in range(50)]
    await asyncio.wait(stuck, timeout=0.2)

    async with asyncio.timeout(5):
        await scene.provider.destroy(made.id)

    assert not any(task.done() for task in stuck)
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


async def test_templates_are_there_where_they_are_promised(scene: Scene) -> None:
    """Each with its identity and its image."""
    provider = scene.provider
    assert isinstance(provider, HasTemplates) == provider.capabilities.templates
    if not isinstance(provider, HasTemplates):
        return
    templates = await provider.list_templates()

    assert len({template.hash_id for template in templates}) == len(templates) > 0
    assert all(re.fullmatch("[0-9a-f]{32}", template.hash_id) for template in templates)
    assert all(template.image and template.provider == provider.name for template in templates)
