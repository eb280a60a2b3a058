"""The account at Vast.ai over the wire: what an answer proves, and what it does not."""

from __future__ import annotations

import pytest

from providers.base import BootFailure, InstanceStatus
from providers.errors import (
    NotFound,
    ProviderError,
)
from providers.vastai import VastaiProvider
from tests.contract.conftest import Clock
from tests.contract.vastai_calls import calls_of, rented
from tests.vast_wire import Misfortune, Operation, VastWire, Word


async def test_the_fleet_is_read_page_by_page(vastai: VastaiProvider, vast_wire: VastWire) -> None:
    """25 rows are on a page; the retired list is never asked."""
    ids = {str(vast_wire.add_instance(label=f"box-{n}")) for n in range(60)}

    listed = await vastai.list_instances()

    assert {instance.id for instance in listed} == ids
    assert len(calls_of(vast_wire, Operation.LIST)) == 3
    assert calls_of(vast_wire, Operation.OLD_LIST) == []


@pytest.mark.parametrize(
    "misfortune",
    [
        Misfortune(Word.DEPRECATED),
        Misfortune(Word.ERROR),
        Misfortune(Word.HTML),
        Misfortune(Word.HTML, status=200),
        Misfortune(Word.TRUNCATED),
        Misfortune(Word.HUGE),
        Misfortune(Word.RESET),
        Misfortune(Word.REPLY_RESET),
        Misfortune(Word.PARTIAL_LIST),
        Misfortune(Word.BAD_KEY, status=404),
        Misfortune(Word.ANSWER, status=200, text="{}"),
        Misfortune(Word.ANSWER, status=200, text='{"instances": null}'),
        Misfortune(Word.ANSWER, status=200, text='{"success": false, "instances": []}'),
        Misfortune(Word.ANSWER, status=200, text='{"instances": [{"label": "x"}]}'),
        Misfortune(Word.ANSWER, status=404, text='{"error": "no_such_instance"}'),
    ],
    ids=lambda misfortune: f"{misfortune.word}-{misfortune.status}-{misfortune.text}",
)
async def test_an_odd_list_is_no_list(
    vastai: VastaiProvider, vast_wire: VastWire, misfortune: Misfortune
) -> None:
    """It never says that there is nothing."""
    vast_wire.add_instance(label="one")
    vast_wire.add_instance(label="two")
    vast_wire.misfortunes.add(misfortune)
    with pytest.raises(ProviderError):
        await vastai.list_instances()
    assert len(await vastai.list_instances()) == 2


async def test_a_row_that_comes_twice_is_one_machine(
    vastai: VastaiProvider, vast_wire: VastWire
) -> None:
    """It moved between two pages."""
    for n in range(30):
        vast_wire.add_instance(label=f"box-{n}")
    vast_wire.misfortunes.add(Misfortune(Word.DUPLICATE_ROWS))
    assert len(await vastai.list_instances()) == 30


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (200, "{}"),
        (200, "[]"),
        (200, "null"),
        (200, '{"instances": []}'),
        (200, '{"instances": {}}'),
        (200, '{"instances": false}'),
        (200, '{"success": false, "instances": null}'),
        (404, '{"success": false, "error": "auth_error", "msg": "Invalid user key"}'),
        (404, "<html>not found</html>"),
        (404, "{}"),
        (410, '{"error": "deprecated_endpoint", "msg": "it is deprecated"}'),
        (500, '{"instances": null}'),
    ],
)
async def test_only_the_two_known_words_prove_an_end(
    vastai: VastaiProvider, vast_wire: VastWire, status: int, text: str
) -> None:
    """Any other oddity about a machine that lives is no knowledge."""
    instance_id = str(vast_wire.add_instance(label="mine"))
    for operation in (Operation.SHOW, Operation.DESTROY):
        vast_wire.misfortunes.add(Misfortune(Word.ANSWER, operation, status=status, text=text))

    with pytest.raises(ProviderError) as seen:
        await vastai.get(instance_id)
    assert not isinstance(seen.value, NotFound)
    if status != 200:
        with pytest.raises(ProviderError) as ended:
            await vastai.destroy(instance_id)
        assert not isinstance(ended.value, NotFound)


async def test_a_destroyed_machine_is_null_and_then_unknown(
    vastai: VastaiProvider, vast_wire: VastWire, clock: Clock
) -> None:
    """Both are the marketplace's word; its status is 200 the first time."""
    made = await rented(vastai, clock)
    await vastai.destroy(made.id)
    with pytest.raises(NotFound):
        await vastai.get(made.id)
    with pytest.raises(NotFound):
        await vastai.destroy(made.id)


@pytest.mark.parametrize(
    ("misfortune", "status", "failure"),
    [
        (Misfortune(Word.STUCK_LOADING), InstanceStatus.STARTING, None),
        (Misfortune(Word.ABANDONED), InstanceStatus.FAILED, BootFailure.HOST),
        (Misfortune(Word.CDI_ERROR), InstanceStatus.FAILED, BootFailure.GPU_RUNTIME),
        (Misfortune(Word.IMAGE_FAULT), InstanceStatus.FAILED, BootFailure.IMAGE),
        (Misfortune(Word.EXITED), InstanceStatus.OFFLINE, None),
        (Misfortune(Word.UNKNOWN), InstanceStatus.OFFLINE, None),
        (Misfortune(Word.OFFLINE), InstanceStatus.OFFLINE, None),
        (Misfortune(Word.OUTBID), InstanceStatus.STOPPED, None),
    ],
    ids=lambda value: value.word if isinstance(value, Misfortune) else None,
)
async def test_what_becomes_of_a_boot_is_read_from_its_signature(
    vastai: VastaiProvider,
    vast_wire: VastWire,
    clock: Clock,
    misfortune: Misfortune,
    status: InstanceStatus,
    failure: BootFailure | None,
) -> None:
    """Each failure has its own."""
    vast_wire.misfortunes.add(misfortune)
    seen = await rented(vastai, clock)
    assert (seen.status, seen.failure) == (status, failure)
