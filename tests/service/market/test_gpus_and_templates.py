"""GPU types, templates and offer health over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from providers.errors import Unavailable
from tests.offers import a_failure, a_template, an_offer
from tests.service.market.asking import OFFERS, OLLAMA, get, ids, refused
from tests.service.markets import Client, ScriptedMarket, Site
from tests.service.store_examples import opened


async def test_the_market_by_gpu_type(client: Client) -> None:
    """Names in order, prices per GPU."""
    body = await get(client, "gpus")

    assert [gpu["gpu_type"] for gpu in body["gpus"]] == ["A100 SXM4", "RTX 3090", "RTX 4090"]
    assert body["count"] == 3
    assert body["gpus"][2] == {
        "gpu_type": "RTX 4090",
        "vram_gb": 24,
        "offers": 2,
        "gpus": 2,
        "min_price_per_gpu_hour": 0.5,
        "median_price_per_gpu_hour": 0.5,
        "providers": ["cloud", "other"],
    }


async def test_one_gpu_type_has_its_offers(client: Client, site: Site) -> None:
    """In any spelling; a type whose offers are all taken is still there, with nothing left."""
    body = await get(client, f"gpus/{quote('nvidia geforce rtx_4090')}/availability")
    assert (body["gpu_type"], body["offers"][0]["id"]) == ("RTX 4090", "cloud-1")
    assert len(body["offers"]) == 2
    site.inventory.claim(OFFERS[2])
    body = await get(client, "gpus/A100 SXM4/availability")
    assert (body["offers"], body["gpus"], body["min_price_per_gpu_hour"]) == ([], 0, None)
    assert (await refused(client, "gpus/B200/availability"))[0] == 404


async def test_templates_are_shown_whole(client: Client) -> None:
    """The provider's fields as they are, the docker flags parsed, the time in UTC."""
    body = await get(client, "templates", name="OLL")
    (template,) = body["templates"]

    assert body["count"] == 1
    assert body["warnings"] == []
    assert template == {
        "id": None,
        "hash_id": OLLAMA.hash_id,
        "name": "Ollama",
        "provider": "cloud",
        "image": "vastai/ollama",
        "tag": "0.15.4",
        "env": "-p 1111:1111 -p 21434:21434 -e OLLAMA_MODEL=qwen3:14b ...",
        "env_vars": {"OLLAMA_MODEL": "qwen3:14b"},
        "ports": [1111, 21434],
        "onstart": "entrypoint.sh",
        "runtype": "jupyter",
        "use_ssh": True,
        "ssh_direct": True,
        "recommended": True,
        "recommended_disk_space": 32,
        "extra_filters": '{"cpu_arch": {"in": ["arm64", "amd64"]}}',
        "creator_id": None,
        "created_at": "2026-02-02T18:27:28.000Z",
        "count_created": None,
    }
    assert await get(client, f"templates/{OLLAMA.hash_id}") == template


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["Ollama", "New CUDA"]),
        *(({"name": "ollam"}, ["Ollama"]), ({"name": "vllm"}, [])),
        *(({"image": "NVIDIA/"}, ["New CUDA"]), ({"image": "ubuntu"}, [])),
        *(({"provider": "cloud"}, ["Ollama", "New CUDA"]), ({"provider": "other"}, [])),
        *(({"recommended": "true"}, ["Ollama"]), ({"recommended": "false"}, ["New CUDA"])),
        *(({"use_ssh": "true"}, ["Ollama"]), ({"use_ssh": "false"}, ["New CUDA"])),
        ({"use_ssh": "false", "name": "Ollama"}, []),
    ],
)
async def test_templates_are_listed_by_what_they_are(
    client: Client, filters: dict[str, str], names: list[str]
) -> None:
    """Every filter narrows the list; together they narrow it further."""
    listed = await get(client, "templates", **filters)

    assert names == [template["name"] for template in listed["templates"]]
    assert len(names) == listed["count"]


async def test_templates_are_fetched_every_few_hours(client: Client, site: Site) -> None:
    """However often they are asked for, and again after a while."""
    for _ in range(3):
        assert (await get(client, "templates"))["count"] == 2
    site.clock.pass_by(hours=3)
    await get(client, "templates")
    assert site.markets[0].readings == 2
    site.clock.pass_by(hours=1)
    await get(client, "templates")
    assert site.markets[0].readings == 3


async def test_templates_that_cannot_be_fetched_again_are_shown_as_they_were(
    client: Client, site: Site
) -> None:
    """With a warning; and the provider is left alone for half a minute."""
    await get(client, "templates")
    site.markets[0].error = Unavailable()
    site.clock.pass_by(hours=4)
    for _ in range(3):
        body = await get(client, "templates")
        assert body["count"] == 2
        assert [warning["code"] for warning in body["warnings"]] == ["provider_unavailable"]
    assert site.markets[0].readings == 3


async def test_a_template_that_was_just_made_is_found(client: Client, site: Site) -> None:
    """Whoever asks for one that is not known has them fetched again, once a minute at most."""
    cloud = site.markets[0]
    await get(client, "templates")
    cloud.templates = (*cloud.templates, a_template(hash_id="new", provider="cloud"))
    before = cloud.readings

    assert (await refused(client, "templates/new"))[0] == 404
    assert cloud.readings == before
    site.clock.pass_by(minutes=1)
    assert (await get(client, "templates/new"))["hash_id"] == "new"
    assert (await refused(client, "templates/newer"))[0] == 404
    assert cloud.readings == before + 1


async def test_templates_that_were_never_fetched_are_unavailable(
    client: Client, site: Site
) -> None:
    """Not empty, and no template is unknown for that."""
    site.markets[0].error = Unavailable()
    for path in ("templates", "templates/x"):
        status, body = await refused(client, path)
        assert (status, body["code"]) == (503, "provider_unavailable")


async def test_an_offer_names_the_templates_that_it_can_run(client: Client) -> None:
    """Those of its provider whose conditions it meets; none where the provider has none."""
    body = await get(client, "inventory/cloud-1/compatible-templates")
    nothing = await get(client, "inventory/other-4/compatible-templates")

    assert body == {
        "offer_id": "cloud-1",
        "compatible_templates": [
            {
                "hash_id": OLLAMA.hash_id,
                "name": "Ollama",
                "image": "vastai/ollama",
                "recommended_disk_space": 32,
            }
        ],
        "count": 1,
    }
    assert nothing == {
        "offer_id": "other-4",
        "compatible_templates": [],
        "count": 0,
        "note": "other has no templates.",
    }
    assert (await refused(client, "inventory/cloud-9/compatible-templates"))[0] == 404


async def test_a_template_fits_only_its_own_provider_and_a_disk_that_is_large_enough(
    tmp_path: Path,
) -> None:
    """Whatever its conditions say."""
    small = an_offer("1", max_disk_gb=31)
    cloud = ScriptedMarket("cloud", an_offer("2", max_disk_gb=32), small, templates=True)
    other = ScriptedMarket("other", an_offer("3", provider="other"), templates=True)
    cloud.templates = (OLLAMA,)
    async with opened(tmp_path) as store:
        site = Site(store, cloud, other)
        await site.inventory.refresh_all()
        async with site.client() as client:
            counts = [
                (await get(client, f"inventory/{offer_id}/compatible-templates"))["count"]
                for offer_id in ("cloud-1", "cloud-2", "other-3")
            ]
    assert counts == [0, 1, 0]


async def test_the_templates_of_one_provider_do_not_stand_in_for_those_of_another(
    tmp_path: Path,
) -> None:
    """What could not be read is unavailable, not empty; with another's list at hand too."""
    cloud = ScriptedMarket("cloud", an_offer("1"), templates=True)
    other = ScriptedMarket("other", an_offer("2", provider="other"), templates=True)
    cloud.templates = (OLLAMA,)
    async with opened(tmp_path) as store:
        site = Site(store, cloud, other)
        await site.inventory.refresh_all()
        other.error = Unavailable()
        async with site.client() as client:
            assert (await get(client, "inventory/cloud-1/compatible-templates"))["count"] == 1
            status, body = await refused(client, "inventory/other-2/compatible-templates")
    assert (status, body["code"]) == (503, "provider_unavailable")


@pytest.mark.parametrize(
    "spelling",
    ["RTX 4090", "rtx-4090", "RTX_4090", "NVIDIA GeForce RTX 4090", "geforcertx4090-pcie-24gb"],
)
async def test_a_gpu_is_found_in_any_spelling_wherever_one_is_asked_for(
    client: Client, site: Site, spelling: str
) -> None:
    """In the list, by itself, among what failed, and in the conditions of templates."""
    site.inventory.note_failure(a_failure(OFFERS[0]))
    condition = json.dumps({"gpu_name": {"in": [spelling, "L40S"]}})
    site.markets[0].templates = (a_template(extra_filters=condition),)
    fitting = await get(client, "inventory/cloud-1/compatible-templates")

    assert ids(await get(client, "inventory", gpu_type=spelling)) == ["cloud-1", "other-4"]
    assert (await get(client, f"gpus/{quote(spelling)}/availability"))["gpu_type"] == "RTX 4090"
    assert (await get(client, "offer-health", gpu_type=spelling))["count"] == 1
    assert fitting["count"] == 1


async def test_a_gpu_type_is_not_called_missing_while_a_market_cannot_be_read(
    client: Client, site: Site
) -> None:
    """Who cannot be read may have it; those that others have are told as ever."""
    site.markets[0].error = Unavailable()
    site.clock.pass_by(minutes=6)
    await site.inventory.refresh_all()
    status, body = await refused(client, "gpus/A100 SXM4/availability")

    assert (status, body["code"]) == (503, "provider_unavailable")
    assert (await get(client, "gpus/RTX 4090/availability"))["offers"][0]["id"] == "other-4"
    assert [gpu["gpu_type"] for gpu in (await get(client, "gpus"))["gpus"]] == ["RTX 4090"]


async def test_what_failed_is_known_without_the_markets(client: Client, site: Site) -> None:
    """It is our own memory."""
    site.inventory.note_failure(a_failure(OFFERS[0]))
    for market in site.markets:
        market.error = Unavailable()
    await site.inventory.refresh_all()

    assert (await get(client, "offer-health"))["count"] == 1


async def test_offer_health_tells_what_failed_and_for_how_long_it_is_passed_over(
    client: Client, site: Site
) -> None:
    """The failing offers only; by provider and GPU type."""
    assert await get(client, "offer-health") == {"offers": [], "count": 0}
    site.inventory.note_failure(a_failure(OFFERS[0]))
    site.inventory.note_failure(a_failure(OFFERS[3]))
    body = await get(client, "offer-health", provider="cloud", gpu_type="RTX 4090")

    assert body == {
        "offers": [
            {
                "offer_id": "cloud-1",
                "machine_id": "m1",
                "provider": "cloud",
                "gpu_type": "RTX 4090",
                "recent_failures": 1,
                "last_reason": "boot_timeout",
                "passed_over_until": "2026-03-14T12:10:00.000Z",
            }
        ],
        "count": 1,
    }
    assert (await get(client, "offer-health"))["count"] == 2
    assert (await get(client, "offer-health", gpu_type="L4"))["count"] == 0
    assert (await refused(client, "offer-health", provider="clod"))[0] == 400
