"""The offers over HTTP."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest

from providers.errors import Unavailable
from tests.offers import a_failure, an_offer
from tests.service.market.asking import NEW_CUDA, OFFERS, OLLAMA, get, ids, refused
from tests.service.markets import Client, Site


async def test_the_offer_object_has_every_field(client: Client) -> None:
    """One shape in the list and alone; money with six decimals, times with milliseconds."""
    body = await get(client, "inventory", gpu_type="A100*")
    (offer,) = body["offers"]

    assert offer == {
        "id": "cloud-3",
        "provider": "cloud",
        "provider_id": "3",
        "machine_id": "m3",
        "gpu_type": "A100 SXM4",
        "gpu_count": 2,
        "vram_gb": 80,
        "total_vram_gb": 160,
        "price_per_hour": 2.4,
        "price_per_gpu_hour": 1.2,
        "disk_gb": 50,
        "disk_price_per_gb_hour": 0.001,
        "location": "California, US",
        "reliability": 0.99,
        "verified": False,
        "interruptible": False,
        "available": True,
        "availability_confidence": 1.0,
        "max_duration_hours": 0,
        "fetched_at": "2026-03-14T12:00:00.000Z",
        "cuda_version": 12.8,
    }
    assert await get(client, "inventory/cloud-3") == offer


async def test_a_listing_is_ordered_and_says_how_much_there_is_and_how_old(
    client: Client, site: Site
) -> None:
    """The cheapest first; how the readings stand is told for every provider."""
    site.clock.pass_by(seconds=73)
    body = await get(client, "inventory")

    assert ids(body) == ["cloud-2", "cloud-1", "other-4", "cloud-3"]
    assert (body["count"], body["total"]) == (4, 4)
    assert body["providers"] == {
        "cloud": {"ok": True, "age_seconds": 73, "offers": 3, "error": None},
        "other": {"ok": True, "age_seconds": 73, "offers": 1, "error": None},
    }
    assert body["warnings"] == []


async def test_a_page_is_a_part_of_the_matches(client: Client) -> None:
    """Count is the rows of the page, total the matches on all pages."""
    body = await get(client, "inventory", limit="2", offset="1", sort="-price_per_hour")

    assert ids(body) == ["cloud-1", "other-4"]
    assert (body["count"], body["total"]) == (2, 4)
    assert ids(await get(client, "inventory", offset="4")) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"provider": "other"}, ["other-4"]),
        ({"gpu_type": "rtx3090,A100 SXM4"}, ["cloud-2", "cloud-3"]),
        ({"location": "no"}, ["cloud-2"]),
        ({"min_vram": "80"}, ["cloud-3"]),
        ({"max_price": "0.5"}, ["cloud-2", "cloud-1", "other-4"]),
        ({"max_price": "0"}, []),
        ({"gpu_count": "2"}, ["cloud-3"]),
        ({"gpu_count_exact": "1"}, ["cloud-2", "cloud-1", "other-4"]),
        ({"gpu_count_exact": "3"}, []),
        ({"gpu_count": "2", "min_gpu_count": "1"}, ["cloud-2", "cloud-1", "other-4", "cloud-3"]),
        ({"min_reliability": "0.5"}, ["cloud-2", "cloud-1", "cloud-3"]),
        ({"min_cuda": "12.8"}, ["cloud-2", "cloud-1", "cloud-3"]),
        ({"verified": "true"}, ["cloud-2", "cloud-1", "other-4"]),
        ({"verified": "false"}, ["cloud-3"]),
        ({"min_availability_confidence": "1"}, ["cloud-2", "cloud-1", "other-4", "cloud-3"]),
        ({"template_hash_id": OLLAMA.hash_id}, ["cloud-2", "cloud-1", "cloud-3"]),
        ({"template_hash_id": NEW_CUDA.hash_id}, []),
    ],
)
async def test_filters_narrow_the_listing(
    client: Client, query: dict[str, str], expected: list[str]
) -> None:
    """Each of them alone."""
    assert expected == ids(await get(client, "inventory", **query))


async def test_what_one_consumer_filters_hides_nothing_from_another(
    client: Client, site: Site
) -> None:
    """No filter reaches the marketplace, and no reading is made for a request."""
    assert ids(await get(client, "inventory", max_price="0.1")) == []
    assert len(ids(await get(client, "inventory"))) == 4
    assert await get(client, "inventory/cloud-3")
    assert [market.readings for market in site.markets] == [1, 1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"max_price": "NaN"}, "max_price"),
        ({"max_price": "Infinity"}, "max_price"),
        ({"max_price": "1e400"}, "max_price"),
        ({"max_price": "-1"}, "max_price"),
        ({"min_cuda": "1e400"}, "min_cuda"),
        ({"min_reliability": "nan"}, "min_reliability"),
        ({"min_reliability": "1.1"}, "min_reliability"),
        ({"min_availability_confidence": "inf"}, "min_availability_confidence"),
        ({"min_vram": "1.5"}, "min_vram"),
        ({"sort": "price"}, "sort"),
        ({"verified": "perhaps"}, "verified"),
        ({"provider": "clod"}, "provider"),
        ({"gpu_typ": "RTX 4090"}, "gpu_typ"),
        ({"location": ""}, "location"),
        ({"gpu_type": "RTX\x00"}, "gpu_type"),
        ({"gpu_type": "x" * 1025}, "gpu_type"),
        ({"gpu_count_exact": "-1"}, "gpu_count_exact"),
        ({"template_hash_id": OLLAMA.hash_id, "provider": "other"}, "provider"),
    ],
)
async def test_a_wrong_parameter_is_named(
    client: Client, query: dict[str, str], field: str
) -> None:
    """Unknown ones are wrong too."""
    status, body = await refused(client, "inventory", **query)

    assert (status, body["code"]) == (400, "validation_error")
    assert [detail["field"] for detail in body["details"]] == [field]


async def test_every_wrong_parameter_is_named_at_once(client: Client) -> None:
    """Not only the first."""
    _, body = await refused(client, "inventory", limit="0", offset="-1", colour="red")

    assert {d["field"] for d in body["details"]} == {"limit", "offset", "colour"}


async def test_an_unknown_provider_is_told_the_known_ones(client: Client) -> None:
    """All of the configured ones."""
    _, body = await refused(client, "inventory", provider="clod")

    assert "cloud, other" in body["details"][0]["message"]


async def test_a_name_that_is_only_the_beginning_of_gpu_types_is_explained(client: Client) -> None:
    """An empty list says what would have matched."""
    body = await get(client, "inventory", gpu_type="a100, RTX 4090")

    assert ids(body) == ["cloud-1", "other-4"]
    assert [warning["code"] for warning in body["warnings"]] == ["gpu_type_not_offered"]
    assert "A100 SXM4" in body["warnings"][0]["message"]


async def test_conditions_that_offers_cannot_be_held_against_are_told(client: Client) -> None:
    """The processor of an offer is not known here."""
    body = await get(client, "inventory", template_hash_id=OLLAMA.hash_id)

    assert [warning["code"] for warning in body["warnings"]] == ["template_filter_not_applied"]
    assert "cpu_arch" in body["warnings"][0]["message"]


async def test_an_unknown_template_is_not_found(client: Client) -> None:
    """Neither as a filter nor by itself."""
    for path, query in (("inventory", {"template_hash_id": "c" * 32}), ("templates/x", {})):
        status, body = await refused(client, path, **query)
        assert (status, body["code"]) == (404, "resource_not_found")


async def test_a_listing_that_did_not_change_need_not_be_sent_again(
    client: Client, site: Site
) -> None:
    """Its tag stays while time passes, and changes when the market or the query does."""
    async with client.get("/api/v1/inventory") as answer:
        tag = answer.headers["ETag"]
    site.clock.pass_by(seconds=5)
    assert (await get(client, "inventory"))["providers"]["cloud"]["age_seconds"] == 5
    known = {"If-None-Match": f'"other", {tag}'}
    async with client.get("/api/v1/inventory", headers=known) as answer:
        assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", tag)
    async with client.get("/api/v1/inventory?limit=2", headers=known) as answer:
        assert answer.status == 200
    site.inventory.claim(OFFERS[0])
    async with client.get("/api/v1/inventory", headers=known) as answer:
        assert answer.status == 200
        assert answer.headers["ETag"] != tag


@pytest.mark.parametrize("path", ["inventory", "inventory/cloud-1", "gpus"])
async def test_the_head_of_an_answer_can_be_asked_for_alone(client: Client, path: str) -> None:
    """With the tag and the length of the body; a strong spelling of the tag is known as well."""
    async with client.get(f"/api/v1/{path}") as answer:
        tag, body = answer.headers["ETag"], await answer.read()
    async with client.head(f"/api/v1/{path}") as answer:
        assert (answer.status, answer.headers["ETag"]) == (200, tag)
        assert (await answer.read(), answer.headers["Content-Length"]) == (b"", str(len(body)))
    for known in (tag, tag.removeprefix("W/"), f'"x",{tag}', "*"):
        async with client.head(f"/api/v1/{path}", headers={"If-None-Match": known}) as answer:
            assert (answer.status, answer.headers["ETag"]) == (304, tag), known


async def test_the_tag_outlives_a_reading_that_brought_nothing_new(
    client: Client, site: Site
) -> None:
    """For the list and for one offer; a price that moved is news to both."""
    paths = ("/api/v1/inventory", "/api/v1/inventory/cloud-1", "/api/v1/gpus")
    tags = {}
    for path in paths:
        async with client.get(path) as answer:
            tags[path] = {"If-None-Match": answer.headers["ETag"]}

    async def statuses(price: str) -> list[int]:
        site.clock.pass_by(seconds=60)
        read_again = an_offer("1", price=price, fetched_at=site.clock.now)
        site.markets[0].offers = (read_again, *OFFERS[1:3])
        await site.inventory.refresh_all()
        found = []
        for path in paths:
            async with client.get(path, headers=tags[path]) as answer:
                found.append(answer.status)
        return found

    assert await statuses("0.5000001") == [304, 304, 304]
    assert await statuses("0.49") == [200, 200, 200]


async def test_the_tag_tells_that_a_provider_began_to_fail(client: Client, site: Site) -> None:
    """The offers are the same, what is said of them is not."""
    async with client.get("/api/v1/inventory") as answer:
        known = {"If-None-Match": answer.headers["ETag"]}
    site.markets[1].error = Unavailable()
    await site.inventory.refresh_all()
    async with client.get("/api/v1/inventory", headers=known) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("header", ["*", "W/", '"', "nonsense", 'W/"x" , "y"'])
async def test_odd_tags_are_no_error(client: Client, header: str) -> None:
    """Only the star, which means any, is known."""
    async with client.get("/api/v1/inventory", headers={"If-None-Match": header}) as answer:
        assert answer.status == (304 if header == "*" else 200)


async def test_a_new_reading_and_a_failure_change_the_listing_at_once(
    client: Client, site: Site
) -> None:
    """Nothing old is sent because it was encoded already."""
    await get(client, "inventory", gpu_type="RTX 3090")
    site.markets[0].offers = (an_offer("2", price="0.3", gpu_type="RTX 3090"),)
    await site.inventory.refresh("cloud")
    body = await get(client, "inventory", gpu_type="RTX 3090")
    assert [offer["price_per_hour"] for offer in body["offers"]] == [0.3]
    site.inventory.note_failure(a_failure(OFFERS[1]))
    body = await get(client, "inventory", gpu_type="RTX 3090")
    assert [offer["availability_confidence"] for offer in body["offers"]] == [0.7]


async def test_a_market_that_fails_is_listed_with_a_warning_and_then_left_out(
    client: Client, site: Site
) -> None:
    """The other one goes on."""
    site.markets[0].error = Unavailable("token secret-of-ours was refused")
    site.clock.pass_by(minutes=4)
    await site.inventory.refresh_all()
    body = await get(client, "inventory")
    assert len(body["offers"]) == 4
    assert body["providers"]["cloud"]["ok"] is False
    assert body["providers"]["cloud"]["error"] == "The marketplace does not answer."
    assert [warning["code"] for warning in body["warnings"]] == ["stale"]
    site.clock.pass_by(minutes=1.1)
    await site.inventory.refresh_all()
    body = await get(client, "inventory")
    assert ids(body) == ["other-4"]
    assert [warning["code"] for warning in body["warnings"]] == ["provider_unavailable"]
    assert "secret" not in str(body)


async def test_no_offers_and_a_failing_market_is_an_error_of_its_own(
    client: Client, site: Site
) -> None:
    """Everywhere the market is shown; it is worth trying again."""
    for market in site.markets:
        market.error = Unavailable("token secret-of-ours was refused")
    site.clock.pass_by(minutes=6)
    await site.inventory.refresh_all()
    for path in ("inventory", "gpus", "gpus/RTX 4090/availability", "inventory/cloud-1"):
        status, body = await refused(client, path)
        assert (status, body["code"]) == (503, "provider_unavailable")
        assert body["retry_suggested"] is True
        assert "secret" not in str(body)


async def test_only_the_market_that_is_asked_for_decides_whether_there_is_an_answer(
    client: Client, site: Site
) -> None:
    """Its silence is no empty list, though others have offers; theirs are listed as ever."""
    site.markets[0].error = Unavailable()
    site.clock.pass_by(minutes=6)
    await site.inventory.refresh_all()
    status, body = await refused(client, "inventory", provider="cloud")
    assert (status, body["code"]) == (503, "provider_unavailable")
    assert ids(await get(client, "inventory", provider="other")) == ["other-4"]
    assert ids(await get(client, "inventory", provider="other", gpu_type="L4")) == []
    site.markets[1].offers = ()
    await site.inventory.refresh("other")
    assert ids(await get(client, "inventory", provider="other")) == []


@pytest.mark.parametrize(
    "name",
    [
        "cloud-99",
        "cloud",
        "-",
        "cloud-1-2",
        "nobody-1",
        "ä€😀",
        "a/b",
        "%",
        "..",
        "a\nb",
        "x" * 3000,
    ],
)
async def test_an_offer_that_is_not_there_is_not_found_however_it_is_spelled(
    client: Client, name: str
) -> None:
    """In the shape of all errors."""
    status, body = await refused(client, f"inventory/{quote(name, safe='')}")

    assert status == 404
    assert body["code"] == "resource_not_found"


async def test_one_offer_takes_no_parameters(client: Client) -> None:
    """They would do nothing."""
    status, _ = await refused(client, "inventory/cloud-1", limit="1")

    assert status == 400


async def test_a_taken_offer_is_not_shown(client: Client, site: Site) -> None:
    """Neither in the list nor by its id."""
    site.inventory.claim(OFFERS[0])

    assert ids(await get(client, "inventory")) == ["cloud-2", "other-4", "cloud-3"]
    assert (await refused(client, "inventory/cloud-1"))[0] == 404


async def test_an_offer_with_an_end_tells_its_hours(site: Site, client: Client) -> None:
    """Zero is without end."""
    site.markets[1].offers = (an_offer("9", provider="other", max_duration=timedelta(hours=36.5)),)
    await site.inventory.refresh("other")

    assert (await get(client, "inventory/other-9"))["max_duration_hours"] == 36.5
