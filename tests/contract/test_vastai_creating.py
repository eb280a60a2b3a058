"""Renting at Vast.ai over the wire: never twice, and nothing is made that is not known."""

from __future__ import annotations

import pytest

from providers.base import InstanceStatus, LaunchMode
from providers.errors import (
    InsufficientFunds,
    InvalidRequest,
    OfferGone,
    OutcomeUnknown,
)
from providers.vastai import VastaiProvider
from tests.contract.conftest import a_label, a_spec, first_offer
from tests.contract.vastai_calls import calls_of
from tests.vast_wire import Misfortune, Operation, VastWire, Word


@pytest.mark.parametrize(
    "word", [Word.REPLY_RESET, Word.REPLY_BAD_GATEWAY, Word.TRUNCATED, Word.HUGE]
)
async def test_a_creation_whose_reply_is_lost_is_sent_once(
    vastai: VastaiProvider, vast_wire: VastWire, word: str
) -> None:
    """Sent again, it would rent twice: it is looked for by its label."""
    offer = await first_offer(vastai)
    vast_wire.misfortunes.add(Misfortune(word, Operation.CREATE))

    with pytest.raises(OutcomeUnknown):
        await vastai.create(a_spec(offer))

    assert len(calls_of(vast_wire, Operation.CREATE)) == 1
    assert [row["label"] for row in vast_wire.instances()] == [a_label()]


@pytest.mark.parametrize(
    "misfortune",
    [
        Misfortune(Word.ERROR, Operation.CREATE),
        Misfortune(Word.HTML, Operation.CREATE, status=504),
        Misfortune(Word.RESET, Operation.CREATE),
        Misfortune(Word.ANSWER, Operation.CREATE, status=200, text='{"success": true}'),
        Misfortune(Word.ANSWER, Operation.CREATE, status=404, text="<html>"),
    ],
)
async def test_an_answer_that_does_not_say_whether_leaves_the_outcome_open(
    vastai: VastaiProvider, vast_wire: VastWire, misfortune: Misfortune
) -> None:
    """Nothing was made here, and that cannot be known."""
    offer = await first_offer(vastai)
    vast_wire.misfortunes.add(misfortune)

    with pytest.raises(OutcomeUnknown):
        await vastai.create(a_spec(offer))

    assert len(calls_of(vast_wire, Operation.CREATE)) == 1


async def test_a_creation_that_failed_and_made_a_machine_gives_the_machine(
    vastai: VastaiProvider, vast_wire: VastWire
) -> None:
    """It is stopped, its disk is billed, and it has to be destroyed."""
    vast_wire.misfortunes.add(Misfortune(Word.STOPPED_CONTRACT))

    made = await vastai.create(a_spec(await first_offer(vastai)))

    assert made.status is InstanceStatus.FAILED
    assert [str(row["id"]) for row in vast_wire.instances()] == [made.id]


async def test_a_creation_says_what_it_must_and_no_more(
    vastai: VastaiProvider, vast_wire: VastWire
) -> None:
    """Where the host is not available nothing is to be made; what is not asked for is not sent."""
    offer = await first_offer(vastai)

    await vastai.create(a_spec(offer, disk_gb=70, env={"A": "1"}, ports=(8000,)))

    (body,) = calls_of(vast_wire, Operation.CREATE)
    assert isinstance(body, dict)
    assert body["label"] == a_label()
    assert body["cancel_unavail"] is True
    assert body["target_state"] == "running"
    assert body["disk"] == 70
    assert body["env"] == {"A": "1", "-p 8000:8000": "1"}
    assert {"ssh_direc", "ssh_proxy"} == set(body["runtype"].split())
    assert None not in body.values()
    assert "price" not in body


async def test_an_entrypoint_gets_its_arguments_and_no_ssh(
    vastai: VastaiProvider, vast_wire: VastWire
) -> None:
    """The image's own program is what runs."""
    spec = a_spec(
        await first_offer(vastai),
        launch_mode=LaunchMode.ENTRYPOINT,
        image="vllm/vllm-openai:latest",
        args=("--model", "a model"),
        ports=(8000,),
    )

    await vastai.create(spec)

    (body,) = calls_of(vast_wire, Operation.CREATE)
    assert isinstance(body, dict)
    assert (body["runtype"], body["args"]) == ("args", ["--model", "a model"])


async def test_a_template_brings_what_is_not_asked_for(
    vastai: VastaiProvider, vast_wire: VastWire
) -> None:
    """Its environment is merged with ours, its image stays, and SSH works whatever its runtype."""
    templates = await vastai.list_templates()
    template = next(one for one in templates if one.runtype == "jupyter" and one.env)
    disk = max(50, template.recommended_disk_space or 0)
    offer = next(
        one for one in (await vastai.list_offers()).offers if (one.max_disk_gb or 0) >= disk
    )

    made = await vastai.create(
        a_spec(offer, template_hash_id=template.hash_id, disk_gb=disk, env={"MINE": "1"})
    )

    row = vast_wire.instance(made.id)
    assert row is not None
    assert row["image_uuid"].startswith(template.image)
    assert "ssh" in row["image_runtype"]
    names = [name for name, _ in row["extra_env"]]
    assert "MINE" in names
    assert len(names) > 1


@pytest.mark.parametrize("status", [400, 404, 410])
async def test_an_offer_that_is_gone_is_known_by_the_words_of_the_answer(
    vastai: VastaiProvider, vast_wire: VastWire, status: int
) -> None:
    """Whatever status they come with. Nothing of its machine is listed until it is read again."""
    offer = await first_offer(vastai)
    vast_wire.misfortunes.add(Misfortune(Word.OFFER_GONE, status=status))

    with pytest.raises(OfferGone):
        await vastai.create(a_spec(offer))

    assert vast_wire.instances() == []


@pytest.mark.parametrize("word", [Word.NO_CREDIT, Word.SPEND_LIMIT])
async def test_an_account_that_cannot_pay_is_told_as_such(
    vastai: VastaiProvider, vast_wire: VastWire, word: str
) -> None:
    """No other offer helps."""
    vast_wire.misfortunes.add(Misfortune(word))
    with pytest.raises(InsufficientFunds):
        await vastai.create(a_spec(await first_offer(vastai)))


async def test_what_is_too_long_for_the_marketplace_is_not_sent(
    vastai: VastaiProvider, vast_wire: VastWire
) -> None:
    """The answer names what, and how long it may be."""
    offer = await first_offer(vastai)
    with pytest.raises(InvalidRequest, match="4096"):
        await vastai.create(a_spec(offer, on_start="x" * 5000))
    assert calls_of(vast_wire, Operation.CREATE) == []
