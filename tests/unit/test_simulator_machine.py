"""A simulated machine at an instant: what it does, what it costs, what the account remembers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from providers.base import Endpoint, InstanceStatus, LaunchMode
from providers.simulator.account import Account, OfferTaken
from providers.simulator.faults import Fault, Operation, Word
from providers.simulator.machine import (
    Fate,
    Launch,
    Machine,
    address_without_ssh,
    decide_fate,
    present_instance,
)

MADE = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
BOOT_TIME = timedelta(seconds=3)
BOOTED = MADE + BOOT_TIME
SECOND = timedelta(seconds=1)


def a_launch(**changes: Any) -> Launch:
    """An RTX 4090 with two published ports."""
    launch = Launch(
        label="gpub-depl-aaaaaaaaaa-29000000-1",
        offer_id="1000001",
        host_id="20001",
        gpu_type="RTX 4090",
        gpu_count=2,
        vram_gb=24,
        cuda_version=12.8,
        price_per_hour=Decimal("0.36"),
        launch_mode=LaunchMode.SSH,
        image="ubuntu:24.04",
        host_key="a host key",
        public_keys=("ssh-ed25519 AAAA somebody",),
        args=("--model", "m"),
        env={"A": "1"},
        on_start="echo ready",
        ports=(8000, 8001),
    )
    return replace(launch, **changes)


def a_fate(boot: Fault | None = None, ssh: Fault | None = None) -> Fate:
    """What becomes of a machine with these misfortunes."""
    return decide_fate(boot, ssh, created_at=MADE, boot_time=BOOT_TIME)


def befallen(word: Word, operation: Operation, delay: timedelta | None = None) -> Fate:
    """What becomes of a machine with one misfortune."""
    fault = Fault(word, operation, delay=delay)
    return a_fate(fault, None) if operation is Operation.BOOT else a_fate(None, fault)


def a_machine(fate: Fate | None = None, **changes: Any) -> Machine:
    """A machine that boots in three seconds."""
    return replace(Machine(1, a_launch(), fate or a_fate(), MADE), **changes)


def test_a_machine_boots_in_its_time() -> None:
    """Then it runs, for as long as nobody destroys it."""
    machine = a_machine()

    assert machine.status(BOOTED - SECOND) is InstanceStatus.STARTING
    assert machine.status(BOOTED) is InstanceStatus.RUNNING
    assert machine.is_connecting(BOOTED)
    assert machine.is_accepting_keys(BOOTED)
    assert machine.status(BOOTED + timedelta(days=400)) is InstanceStatus.RUNNING


def test_a_booting_machine_tells_how_far_it_is() -> None:
    """In the provider's own words; one that never boots hangs at the image."""
    instants = (MADE, MADE + SECOND, MADE + 2 * SECOND, BOOTED)
    details = [present_instance(a_machine(), at, has_ssh=True).detail for at in instants]
    hanging = a_machine(befallen(Word.NEVER_BOOTS, Operation.BOOT))

    assert details == [
        "creating the container",
        "pulling ubuntu:24.04",
        "starting ubuntu:24.04",
        "success, running ubuntu:24.04",
    ]
    assert present_instance(hanging, BOOTED, has_ssh=True).detail == "pulling ubuntu:24.04"


def test_a_slow_boot_takes_longer() -> None:
    """By the delay."""
    machine = a_machine(befallen(Word.SLOW, Operation.BOOT, 5 * SECOND))

    assert machine.status(BOOTED + 4 * SECOND) is InstanceStatus.STARTING
    assert machine.status(BOOTED + 5 * SECOND) is InstanceStatus.RUNNING


def test_a_machine_may_never_boot() -> None:
    """It is starting for ever."""
    machine = a_machine(befallen(Word.NEVER_BOOTS, Operation.BOOT))

    assert machine.status(BOOTED + timedelta(days=400)) is InstanceStatus.STARTING


def test_a_boot_may_fail() -> None:
    """The provider says so when the machine should have come up."""
    machine = a_machine(befallen(Word.ERROR, Operation.BOOT))

    assert machine.status(BOOTED - SECOND) is InstanceStatus.STARTING
    assert machine.status(BOOTED) is InstanceStatus.FAILED


def test_a_machine_may_die_after_it_has_worked() -> None:
    """It answers no more, and is billed on."""
    machine = a_machine(befallen(Word.DIES, Operation.BOOT, 60 * SECOND))
    dead = BOOTED + 60 * SECOND

    assert machine.is_connecting(dead - SECOND)
    assert machine.status(dead) is InstanceStatus.OFFLINE
    assert not machine.is_connecting(dead)
    assert machine.billed(dead + SECOND) > machine.billed(dead)


def test_a_machine_may_show_another_gpu() -> None:
    """The provider goes on telling what was rented."""
    machine = a_machine(befallen(Word.WRONG_GPU, Operation.BOOT))

    assert machine.model.gpu_type != "RTX 4090"
    assert present_instance(machine, BOOTED, has_ssh=True).gpu_type == "RTX 4090"


def test_connections_may_be_refused_for_a_while_or_for_ever() -> None:
    """With and without a delay."""
    for_a_while = a_machine(befallen(Word.REFUSED, Operation.SSH, 5 * SECOND))
    for_ever = a_machine(befallen(Word.REFUSED, Operation.SSH))

    assert not for_a_while.is_connecting(BOOTED + 4 * SECOND)
    assert for_a_while.is_connecting(BOOTED + 5 * SECOND)
    assert not for_ever.is_connecting(BOOTED + timedelta(days=400))
    assert for_ever.status(BOOTED) is InstanceStatus.RUNNING


def test_keys_may_be_late() -> None:
    """The machine is reached, but lets nobody in yet."""
    machine = a_machine(befallen(Word.KEY_LATE, Operation.SSH, 5 * SECOND))

    assert machine.is_connecting(BOOTED)
    assert not machine.is_accepting_keys(BOOTED + 4 * SECOND)
    assert machine.is_accepting_keys(BOOTED + 5 * SECOND)


def test_two_misfortunes_may_meet() -> None:
    """One of the boot and one of SSH; what counts from the boot counts from the late boot."""
    fate = a_fate(
        Fault(Word.SLOW, Operation.BOOT, delay=10 * SECOND),
        Fault(Word.KEY_LATE, Operation.SSH, delay=5 * SECOND),
    )

    assert fate.boots_at == BOOTED + 10 * SECOND
    assert fate.keys_at == BOOTED + 15 * SECOND


def test_a_machine_that_is_being_destroyed_answers_no_more() -> None:
    """It is still listed until it is gone."""
    destroyed, gone = BOOTED + 10 * SECOND, BOOTED + 20 * SECOND
    machine = a_machine(destroyed_at=destroyed, gone_at=gone)

    assert machine.status(destroyed) is InstanceStatus.ENDING
    assert not machine.is_up(destroyed)
    assert machine.is_listed(gone - SECOND)
    assert not machine.is_listed(gone)


def test_a_late_machine_is_not_listed_before_it_appears() -> None:
    """Nobody knows of it yet; every other machine is there, even where a clock was set back."""
    prompt = a_machine()
    late = a_machine(replace(a_fate(), appears_at=BOOTED))

    assert prompt.is_listed(MADE - SECOND)
    assert not late.is_listed(BOOTED - SECOND)
    assert late.is_listed(BOOTED)


def test_the_next_change_is_the_first_that_is_still_to_come() -> None:
    """So that whoever runs the machine need not look in between."""
    machine = a_machine(befallen(Word.DIES, Operation.BOOT, 60 * SECOND))

    assert machine.next_change(MADE) == BOOTED
    assert machine.next_change(BOOTED) == BOOTED + 60 * SECOND
    assert machine.next_change(BOOTED + 60 * SECOND) is None


def test_the_bill_goes_by_the_second_from_making_to_destruction() -> None:
    """Boot included; what comes after the acceptance of the end is free."""
    machine = a_machine()

    assert machine.billed(MADE) == 0
    assert machine.billed(MADE + timedelta(minutes=10)) == Decimal("0.06")
    assert machine.billed(MADE + SECOND) == Decimal("0.0001")
    ended = replace(machine, destroyed_at=MADE + timedelta(hours=2))
    assert ended.billed(MADE + timedelta(days=9)) == Decimal("0.72")
    assert machine.billed(MADE - SECOND) == 0


def test_an_address_is_told_only_while_the_machine_runs() -> None:
    """And only once it is known."""
    machine = a_machine(ssh_port=25000, published={8000: 25001, 8001: 25002})

    booting = present_instance(machine, MADE, has_ssh=True)
    running = present_instance(machine, BOOTED, has_ssh=True)
    unknown = present_instance(a_machine(), BOOTED, has_ssh=True)

    assert (booting.ssh, dict(booting.ports)) == ((), {})
    assert running.ssh == (Endpoint("127.0.0.1", 25000),)
    assert running.ports[8001] == Endpoint("127.0.0.1", 25002)
    assert (unknown.status, unknown.ssh) == (InstanceStatus.RUNNING, ())


def test_without_ssh_machines_tell_an_address_where_nothing_answers() -> None:
    """For measuring what does not log in."""
    instance = present_instance(a_machine(), BOOTED, has_ssh=False)

    (nowhere,) = instance.ssh
    assert (nowhere.host, nowhere.port) == (address_without_ssh(a_machine().id), 9)
    assert dict(instance.ports) == dict.fromkeys((8000, 8001), nowhere)
    addresses = {address_without_ssh(n) for n in range(1, 1000)}
    assert len(addresses) == 999
    assert all(ip_address(address).is_loopback for address in addresses)


def test_secrets_are_not_shown_by_accident() -> None:
    """The environment, the script and the host key stay out of every `repr`."""
    shown = repr(a_machine())

    assert "a host key" not in shown
    assert "echo ready" not in shown
    assert "'A'" not in shown


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """An empty account."""
    return Account(tmp_path / "data")


def test_the_account_gives_back_what_was_rented(account: Account) -> None:
    """Every field, also after the file was closed."""
    fate = a_fate(
        Fault(Word.DIES, Operation.BOOT, delay=SECOND),
        Fault(Word.REFUSED, Operation.SSH, delay=SECOND),
    )
    rented = account.rent(a_launch(), lambda _: fate, now=MADE, created_at=MADE)

    assert account.find(rented.id) == rented
    assert list(account.live(MADE)) == [rented]
    assert rented.fate == fate
    account.close()


def test_the_account_is_for_its_owner_only(account: Account, tmp_path: Path) -> None:
    """It holds keys and environments."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}

    assert modes["simulator.db"] == 0o600
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    account.close()


def test_a_host_is_rented_once_at_a_time(account: Account) -> None:
    """No fate is decided for a machine that is not made."""
    first = account.rent(a_launch(), lambda _: a_fate(), now=MADE, created_at=MADE)
    asked: list[datetime] = []

    def decide(created_at: datetime) -> Fate:
        asked.append(created_at)
        return a_fate()

    for launch in (a_launch(), a_launch(offer_id="other"), a_launch(host_id="other")):
        with pytest.raises(OfferTaken):
            account.rent(launch, decide, now=MADE, created_at=MADE)
    assert asked == []
    assert account.taken(MADE) == {"20001"}

    account.destroy(first.id, destroyed_at=MADE, gone_at=MADE + SECOND)

    with pytest.raises(OfferTaken):
        account.rent(a_launch(), decide, now=MADE, created_at=MADE)
    account.rent(a_launch(), decide, now=MADE + SECOND, created_at=MADE + SECOND)
    assert asked == [MADE + SECOND]
    account.close()


def test_the_first_destruction_counts(account: Account) -> None:
    """A second one does not make the bill longer, nor the machine stay."""
    machine = account.rent(a_launch(), lambda _: a_fate(), now=MADE, created_at=MADE)
    account.destroy(machine.id, destroyed_at=BOOTED, gone_at=BOOTED + SECOND)
    account.destroy(machine.id, destroyed_at=BOOTED + SECOND, gone_at=BOOTED + 9 * SECOND)

    found = account.find(machine.id)

    assert found is not None
    assert (found.destroyed_at, found.gone_at) == (BOOTED, BOOTED + SECOND)
    assert list(account.live(BOOTED + SECOND)) == []
    assert list(account.all()) == [found]
    account.close()


def test_what_has_changed_since_the_last_look_is_seen(account: Account) -> None:
    """Only what has not is known from then."""
    changing, staying = (
        account.rent(
            a_launch(offer_id=name, host_id=name),
            lambda _: a_fate(),
            now=MADE,
            created_at=MADE,
        )
        for name in ("one", "two")
    )
    assert list(account.live(MADE)) == [changing, staying]

    account.record_ports(changing.id, 25000, {8000: 25001})

    changed, stayed = account.live(MADE)
    assert (changed.ssh_port, changed.published) == (25000, {8000: 25001})
    assert stayed == staying
    account.close()


def test_ports_are_recorded_once_and_for_ever(account: Account) -> None:
    """After a restart the machine answers at the same address."""
    machine = account.rent(a_launch(), lambda _: a_fate(), now=MADE, created_at=MADE)
    account.record_ports(machine.id, 25000, {8000: 25001})
    account.record_ports(machine.id, 26000, {8000: 26001})

    found = account.find(machine.id)

    assert found is not None
    assert (found.ssh_port, found.published) == (25000, {8000: 25001})
    account.close()


def test_two_processes_may_open_one_account(account: Account, tmp_path: Path) -> None:
    """Each sees what the other one has written."""
    other = Account(tmp_path / "data")
    before = other.version()
    machine = account.rent(a_launch(), lambda _: a_fate(), now=MADE, created_at=MADE)

    assert list(other.live(MADE)) == [machine]
    assert other.version() != before
    other.close()
    account.close()
