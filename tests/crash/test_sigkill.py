"""SIGKILL at any instant loses no machine and no row."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.victim import Victim
from tests.waiting import wait_until

NOTHING = {"ours": 0, "orphaned": 0, "foreign": 0}


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    """A broker that serves."""
    broker = Victim(tmp_path, {"ORPHAN_GRACE_PERIOD": "500ms"})
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def is_decided(sessions: list[Any]) -> bool:
    """Whether every launch has come to a result."""
    return all(one["status"] in {"running", "failed", "stopped"} for one in sessions)


def assert_nothing_is_left(victim: Victim) -> None:
    """End everything; then the account is empty, and no label was rented twice."""
    victim.end_all()
    assert NOTHING == victim.machines()
    labels = victim.rented()
    assert len(labels) == len(set(labels))


def test_a_creation_under_way_is_found_again(victim: Victim) -> None:
    """Killed while the provider creates: the machine is adopted, or none was made."""
    victim.call("POST", "/simulator/faults", fault("slow", "create", delay="1s"))
    answer = victim.rent()
    victim.until(lambda all_: any(one["status"] == "provisioning" for one in all_))
    victim.kill()
    assert answer.result() == (0, None)

    victim.start()
    [session] = victim.until(is_decided)
    assert session["status"] in {"running", "failed"}
    if session["status"] == "failed":
        assert session["status_reason"] == "outcome_unknown"
    assert_nothing_is_left(victim)


def test_a_lost_reply_is_resolved_after_a_crash(victim: Victim) -> None:
    """Killed while nobody knows whether a machine was made: it is looked up and used."""
    victim.call("POST", "/simulator/faults", fault("reply_lost", "create"))
    status, body = victim.rent().result()
    victim.kill()
    assert (status, "outcome_unknown") == (201, body["warnings"][0]["code"])

    victim.start()
    [session] = victim.until(is_decided)
    assert session["status"] == "running"
    assert_nothing_is_left(victim)


def test_a_verification_goes_on_after_a_crash(victim: Victim) -> None:
    """Killed while a machine boots: it is proved with the broker's own key."""
    victim.call("POST", "/simulator/faults", fault("slow", "boot", delay="2s"))
    status, _ = victim.rent().result()
    victim.kill()
    assert status == 201

    victim.start()
    [session] = victim.until(is_decided)
    assert session["status"] == "running"
    assert_nothing_is_left(victim)


def test_a_creation_sent_again_after_a_crash_rents_no_second_machine(victim: Victim) -> None:
    """Killed while a request with an Idempotency-Key is under way: it gets the same session."""
    victim.call("POST", "/simulator/faults", fault("slow", "boot", delay="1s"))
    _, lost = victim.rent(key="one").result()
    victim.kill()

    victim.start()
    victim.until(is_decided)
    status, body = victim.rent(key="one").result()
    assert (status, body["session"]["id"]) == (201, lost["session"]["id"])
    assert body["ssh_private_key"] not in (None, lost["ssh_private_key"])
    assert 1 == len(victim.rented())
    assert_nothing_is_left(victim)


def test_a_running_machine_survives_a_crash(victim: Victim) -> None:
    """Killed while a session runs: the same machine answers at the same address."""
    victim.rent().result()
    [before] = victim.until(lambda all_: all_ and is_decided(all_))
    victim.kill()

    victim.start()
    [after] = victim.sessions()
    same = ("status", "provider_instance_id", "ssh_host", "ssh_port", "known_hosts", "expires_at")
    assert {name: before[name] for name in same} == {name: after[name] for name in same}
    assert_nothing_is_left(victim)


def test_a_destruction_is_finished_after_a_crash(victim: Victim) -> None:
    """Killed while the provider does not destroy: it is asked again until the machine is gone."""
    victim.rent().result()
    [session] = victim.until(lambda all_: all_ and is_decided(all_))
    victim.call("POST", "/simulator/faults", fault("error", "destroy", times=99))
    victim.calling("DELETE", f"/api/v1/sessions/{session['id']}")
    victim.until(lambda all_: all_ and all_[0]["status"] == "stopping")
    victim.kill()

    victim.start()
    [stopped] = victim.until(lambda all_: all_ and all_[0]["status"] == "stopped")
    assert stopped["status_reason"] == "deleted"
    assert_nothing_is_left(victim)


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_crashes_leaves_nothing_behind(victim: Victim, seed: int) -> None:
    """Killed again and again at odd moments: every session comes to an end with its machine."""
    chance = random.Random(seed)
    for round_ in range(4):
        known = len(victim.sessions())
        answers = [victim.rent(f"somebody-{round_}-{n}") for n in range(6)]
        more = chance.randint(1, 5)
        victim.until(lambda all_, least=known + more: len(all_) >= least)
        unlucky = chance.choice(victim.sessions())
        answers.append(victim.calling("DELETE", f"/api/v1/sessions/{unlucky['id']}"))
        answers[chance.randrange(len(answers))].result()
        victim.kill()
        for answer in answers:
            answer.result()
        victim.start()
    sessions = victim.until(is_decided)
    assert sessions
    assert_nothing_is_left(victim)


def test_a_stop_in_order_keeps_the_machines(victim: Victim) -> None:
    """SIGTERM ends with 0 and leaves every machine and row as it is."""
    victim.rent().result()
    victim.until(lambda all_: all_ and is_decided(all_))
    assert victim.stop() == 0

    victim.start()
    [session] = victim.sessions()
    assert session["status"] == "running"
    assert_nothing_is_left(victim)


def test_a_stop_takes_no_sessions_and_cuts_what_lasts(victim: Victim) -> None:
    """While the last requests get their time, a new session is refused in so many words."""
    victim.call("POST", "/simulator/faults", fault("slow", "create", delay="12s"))
    lasting = victim.rent()
    victim.until(lambda all_: any(one["status"] == "provisioning" for one in all_))
    stopping = victim.pool.submit(victim.stop)
    wait_until(lambda: victim.call("GET", "/ready")[0] == 503)
    status, body = victim.rent("late").result()
    assert (status, body["code"]) == (503, "not_ready")
    assert lasting.result() == (0, None)
    assert stopping.result() == 0

    victim.start()
    victim.until(is_decided)
    assert_nothing_is_left(victim)


def fault(word: str, operation: str, **fields: Any) -> dict[str, Any]:
    """The body of a planned misfortune."""
    return {"fault": word, "operation": operation, **fields}
