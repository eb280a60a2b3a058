"""What the broker and an account at Vast.ai do about keys, deadlines and machines born dead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from providers.base import WATCHDOG_FILE, HasKeys
from tests.service.conftest import Broker
from tests.service.scenarios import FOR_EVER, instant, kinds, only_session, run, running
from tests.service.vastai.asking import calls_of, rent
from tests.vast_wire import Misfortune, Operation, VastWire, Word
from tests.waiting import eventually


async def test_a_served_image_without_ssh_runs_though_no_key_can_be_attached(
    broker: Broker, wire: VastWire
) -> None:
    """Its port is what was promised."""
    wire.misfortunes.add(Misfortune(Word.ERROR, Operation.ATTACH, times=FOR_EVER))
    session = await running(
        broker,
        gpu_type=None,
        launch_mode="entrypoint",
        docker_image="me/server:1",
        exposed_ports=[9000],
    )

    assert session["api_endpoint"]


async def test_a_fresh_key_outlives_the_rewriting_of_the_list_of_keys(
    broker: Broker, wire: VastWire
) -> None:
    """The service rewrites the file when the lost key is detached: the fresh one is in it."""
    session = await running(broker, gpu_type=None)
    status, body = await broker.call("POST", f"/api/v1/sessions/{session['id']}/rekey")
    assert 200 == status, body

    async def is_detached() -> bool:
        return "session.key_detached" in kinds(await broker.events(session["id"]))

    await eventually(is_detached)
    keys = [one.key for contract in wire.fleet.contracts.values() for one in contract.keys]
    assert 2 == len(keys)
    assert 1 == len(calls_of(wire, Operation.DETACH))
    assert "here" == await run(session, body["ssh_private_key"], "echo here")


async def test_a_fresh_key_is_put_on_a_machine_that_has_lost_the_brokers_own(
    broker: Broker, wire: VastWire
) -> None:
    """The provider is told of it again, and the answer waits until it is there."""
    session = await running(broker, gpu_type=None)
    own = broker.parts.tools.keyring.own.public_line
    account = broker.parts.providers["vastai"]
    assert isinstance(account, HasKeys)
    await account.detach_key(session["provider_instance_id"], own)

    status, body = await broker.call("POST", f"/api/v1/sessions/{session['id']}/rekey")

    assert 200 == status, body
    assert "here" == await run(session, body["ssh_private_key"], "echo here")


async def test_a_stopped_contract_is_destroyed_and_refused(broker: Broker, wire: VastWire) -> None:
    """`success: false` with `new_contract` bills its disk until it is gone."""
    wire.misfortunes.add(Misfortune(Word.STOPPED_CONTRACT))
    status, body = await rent(broker)

    assert (502, "provider_error") == (status, body["code"])
    session = await only_session(broker)
    assert ("failed", "boot_failed") == (session["status"], session["status_reason"])
    assert session["attempts"][0]["instance_id"]
    assert [] == wire.instances()


async def test_a_machine_that_the_list_misses_and_one_answer_denies_is_kept(
    broker: Broker, wire: VastWire
) -> None:
    """Empty lists without end, and one `{"instances": null}`."""
    session = await running(broker, gpu_type=None)
    wire.misfortunes.add(
        Misfortune(Word.EMPTY_LIST, times=FOR_EVER), Misfortune(Word.NULL_INSTANCE)
    )
    shown = len(calls_of(wire, Operation.SHOW))

    async def was_asked() -> bool:
        return len(calls_of(wire, Operation.SHOW)) >= shown + 4

    await eventually(was_asked)
    assert "running" == (await broker.session(session["id"]))["status"]
    wire.misfortunes.clear()
    assert 1 == len(wire.instances())


async def test_a_machine_with_a_watchdog_knows_its_deadline_and_learns_the_next(
    broker: Broker, wire: VastWire
) -> None:
    """Its own switch reads the file that the broker rewrites. The account's key is not there."""
    status, body = await rent(broker, watchdog=True)
    assert 201 == status, body
    session = await broker.until(body["session"]["id"], "running", "failed")

    async def deadline() -> datetime | None:
        text = await run(session, body["ssh_private_key"], f"cat {WATCHDOG_FILE} 2>/dev/null")
        return datetime.fromtimestamp(int(text), UTC) if text else None

    for minutes in (0, 30):
        if minutes:
            path = f"/api/v1/sessions/{session['id']}/extend"
            await broker.call("POST", path, {"additional_minutes": minutes})
        expires_at = instant((await broker.session(session["id"]))["expires_at"])
        expected = (expires_at + timedelta(minutes=10)).replace(microsecond=0)

        async def is_told(wanted: datetime = expected) -> bool:
            return await deadline() == wanted

        await eventually(is_told)
    assert 1 == len(wire.instances())
    (creation,) = calls_of(wire, Operation.CREATE)
    surroundings = await run(session, body["ssh_private_key"], "env; cat ~/.ssh/* /proc/1/environ")
    assert creation
    assert wire.api_key not in f"{creation}{surroundings}"
