"""For every effect a way to bring it about, in a broker that is going to die of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.storm.shifted import SECONDS
from broker.clock import utcnow
from broker.effects import Effect, Moment
from broker.store.backup import copy_database, put_in_place
from providers.base import WATCHDOG_FILE
from providers.simulator.home import FOLDER
from providers.simulator.nvidia_smi import FACTS_NAME
from tests.crash.account import rent_orphan
from tests.crash.doomed import CLOCK
from tests.crash.lives import Doomed

_BREAKS_DRIVER = (
    "printf '#!/bin/sh\\necho NVIDIA-SMI has failed\\nexit 9\\n' >\"$HOME/../bin/nvidia-smi\""
)
_SLOW_LISTS = (
    "providers: {simulator: {faults: [{fault: slow, operation: list, times: 2, delay: 3s}]}}\n"
)
"""That of the offers and that of the machines, whichever comes first."""
_CONFIG = "config.yaml"

Play = Callable[[Doomed], object]
"""What clients and the market do to a broker. It raises Died where the broker does."""


@dataclass(frozen=True, slots=True)
class EarlierLife:
    """A broker that worked on the same data before, and of what it died."""

    effect: Effect
    moment: Moment
    play: Play


@dataclass(frozen=True, slots=True)
class Scenario:
    """How an effect comes about."""

    play: Play
    settings: Mapping[str, str] = field(default_factory=dict)
    earlier: EarlierLife | None = None
    before: Play | None = None
    """What is done to its data while the broker does not run."""
    is_first: bool = False
    """There is no database yet."""
    is_odd: bool = False
    """The market has what only some marketplaces have."""
    habits: tuple[str, ...] = ()
    """Of the odd market."""
    options: tuple[str, ...] = ()
    """For `serve`."""
    is_hasty: bool = False
    """It begins when anybody answers, before the broker is ready."""
    times: int = 1
    """At which time it dies of the effect."""


def nothing(_: Doomed) -> None:
    """It comes about by itself."""


def rent(broker: Doomed, **fields: Any) -> None:
    """A session comes up."""
    broker.running(**fields)


def end(broker: Doomed) -> None:
    """A session runs, and is ended."""
    broker.ask("DELETE", f"/api/v1/sessions/{broker.running()}")


def expire(broker: Doomed) -> None:
    """A session runs until its reservation is over: nothing shorter can be asked for."""
    broker.running(reservation_minutes=1)


def rent_with(*faults: Fault, **fields: Any) -> Play:
    """A session is asked for while the market has its misfortunes."""

    def play(broker: Doomed) -> None:
        for fault in faults:
            fault.happen_to(broker)
        broker.open(**fields)

    return play


def end_with(*faults: Fault) -> Play:
    """A session is ended while the market has its misfortunes."""

    def play(broker: Doomed) -> None:
        session_id = broker.running()
        for fault in faults:
            fault.happen_to(broker)
        broker.ask("DELETE", f"/api/v1/sessions/{session_id}")

    return play


@dataclass(frozen=True, slots=True)
class Fault:
    """A misfortune of the simulated market."""

    word: str
    operation: str
    times: int = 1
    delay: str | None = None

    def happen_to(self, broker: Doomed) -> None:
        """Plan it."""
        broker.suffer(self.word, self.operation, times=self.times, delay=self.delay)


def end_unknown(broker: Doomed) -> None:
    """A session is ended while nobody knows whether it has a machine."""
    Fault("late_effect", "create", delay="10s").happen_to(broker)
    broker.ask("DELETE", f"/api/v1/sessions/{broker.open()}")


def end_the_only_one(broker: Doomed) -> None:
    """The session of an earlier life is ended as soon as anybody answers."""
    [session] = broker.ask("GET", "/api/v1/sessions")["sessions"]
    broker.ask("DELETE", f"/api/v1/sessions/{session['id']}")


def extend(broker: Doomed) -> None:
    """A session gets more time."""
    session_id = broker.running()
    broker.ask("POST", f"/api/v1/sessions/{session_id}/extend", {"additional_minutes": 30})


def hold(broker: Doomed) -> str:
    """An operator holds a session; its id."""
    session_id = broker.running()
    word = {"minutes": 30, "reason": "The run is nearly done."}
    broker.ask("POST", f"/api/v1/sessions/{session_id}/hold", word)
    return session_id


def release(broker: Doomed) -> None:
    """A held session is let go."""
    broker.ask("DELETE", f"/api/v1/sessions/{hold(broker)}/hold")


def rekey(broker: Doomed) -> None:
    """A session gets a fresh key."""
    broker.ask("POST", f"/api/v1/sessions/{broker.running()}/rekey", {})


def idle(broker: Doomed) -> None:
    """A machine says again and again that it has had nothing to do for ten minutes."""
    session_id = broker.running(idle_threshold_minutes=1)
    word = {"token": broker.token, "gpu_util": 0, "idle_seconds": 600}
    for _ in range(5):
        broker.ask("POST", f"/api/v1/sessions/{session_id}/heartbeat", word)


def spoil_watchdog(broker: Doomed) -> None:
    """A machine cannot be told its deadline: there is something in the place of the file."""
    session_id = broker.open(watchdog=True)
    seen = broker.until_it_is(session_id, "provisioning", "running")
    machine = broker.folder / "data" / FOLDER / seen["provider_instance_id"]
    broker.until_found((machine / FACTS_NAME).exists)
    (machine / "root" / WATCHDOG_FILE).mkdir()


def ask_for_templates(broker: Doomed) -> None:
    """Somebody looks at the templates."""
    broker.ask("GET", "/api/v1/templates")


def rent_behind(broker: Doomed) -> None:
    """There is a machine of ours that no database knows."""
    rent_orphan(broker.folder / "data")


def restore_copy(broker: Doomed) -> None:
    """The database is replaced by a copy of itself."""
    database, copy = broker.folder / "data" / "gpu-broker.db", broker.folder / "copy.db"
    copy_database(database, copy, utcnow())
    put_in_place(copy, database, utcnow())


def wind_clock(broker: Doomed) -> None:
    """It will be easy to set the broker's clock."""
    (broker.folder / CLOCK).write_bytes(SECONDS.pack(0.0))


def set_clock(broker: Doomed) -> None:
    """Its clock is set while it rents nothing: whoever dies of it bills by the wrong one."""
    with (broker.folder / CLOCK).open("r+b") as clock:
        clock.write(SECONDS.pack(3600.0))


def configure_slow_lists(broker: Doomed) -> None:
    """For as long as a start is held up by a list, sessions can be ended but not taken up."""
    (broker.folder / _CONFIG).write_text(_SLOW_LISTS)


_RUNNING_BEFORE = EarlierLife(Effect.VERIFY, Moment.AFTER, rent)
_DIES = Fault("dies", "boot", delay="3s")
_LOSES_SOON = {"LIFECYCLE_LOST_AFTER": "1s"}
_GONE = Fault("offer_gone", "create")
_FAILS_TO_DESTROY = Fault("error", "destroy", times=20)

SCENARIOS: Mapping[Effect, Scenario] = {
    Effect.LIST_OFFERS: Scenario(nothing),
    Effect.LIST_INSTANCES: Scenario(nothing, earlier=_RUNNING_BEFORE),
    Effect.GET: Scenario(end),
    Effect.CREATE: Scenario(rent),
    Effect.DESTROY: Scenario(end),
    Effect.LIST_TEMPLATES: Scenario(ask_for_templates),
    Effect.BALANCE: Scenario(nothing, is_odd=True),
    Effect.ATTACH_KEY: Scenario(rent, is_odd=True),
    Effect.DETACH_KEY: Scenario(rekey, is_odd=True),
    Effect.RECORD: Scenario(rent),
    Effect.LAUNCH: Scenario(rent),
    Effect.ACCEPT: Scenario(rent),
    Effect.ACCEPT_FAILED: Scenario(rent, is_odd=True, habits=("stillborn",)),
    Effect.REPRICE: Scenario(rent, is_odd=True, habits=("dearer",)),
    Effect.LOSE_REPLY: Scenario(rent_with(Fault("reply_lost", "create"))),
    Effect.BURY: Scenario(rent_with(Fault("late_effect", "create", delay="8s"))),
    Effect.REFUSE: Scenario(rent_with(_GONE)),
    Effect.ABANDON: Scenario(
        end_the_only_one,
        earlier=EarlierLife(Effect.LAUNCH, Moment.BEFORE, rent),
        before=configure_slow_lists,
        options=("--config", _CONFIG),
        is_hasty=True,
    ),
    Effect.LOCATE: Scenario(rent),
    Effect.WAIT: Scenario(rent_with(on_start_cmd=_BREAKS_DRIVER), {"SSH_VERIFY_TIMEOUT": "25s"}),
    Effect.VERIFY: Scenario(rent),
    Effect.DOOM: Scenario(rent_with(Fault("wrong_gpu", "boot"))),
    Effect.RETRY: Scenario(rent_with(_GONE, auto_retry=True)),
    Effect.GIVE_UP: Scenario(rent_with(Fault("error", "boot"))),
    Effect.EXTEND: Scenario(extend),
    Effect.HOLD: Scenario(hold),
    Effect.RELEASE: Scenario(release),
    Effect.WARN: Scenario(expire),
    Effect.MARK_LOST: Scenario(rent_with(_DIES), _LOSES_SOON),
    Effect.LOSE: Scenario(rent_with(_DIES), _LOSES_SOON),
    Effect.MARK_IDLE: Scenario(idle),
    Effect.REPORT_IDLE: Scenario(idle, {"LIFECYCLE_IDLE_POLICY": "observe"}),
    Effect.REAP_IDLE: Scenario(idle),
    Effect.END: Scenario(end),
    Effect.ASK_TO_DESTROY: Scenario(end),
    Effect.DESTROYING: Scenario(end),
    Effect.DESTROY_AGAIN: Scenario(end_with(Fault("ignored", "destroy"))),
    Effect.DESTROY_IGNORED: Scenario(end_with(Fault("ignored", "destroy", times=3))),
    Effect.RUN_ON: Scenario(end_with(_FAILS_TO_DESTROY)),
    Effect.DESTROY_FAILS: Scenario(end_with(_FAILS_TO_DESTROY)),
    Effect.GONE: Scenario(end),
    Effect.CONCLUDE: Scenario(end_unknown),
    Effect.REISSUE: Scenario(rekey),
    Effect.NOTE_DETACHED: Scenario(rekey, is_odd=True),
    Effect.NOTE_WATCHDOG: Scenario(rent_with(watchdog=True), is_odd=True),
    Effect.WATCHDOG_FAILS: Scenario(spoil_watchdog, is_odd=True),
    Effect.PREPARE_DATABASE: Scenario(nothing, is_first=True),
    Effect.TAKE_UP_COPY: Scenario(nothing, earlier=_RUNNING_BEFORE, before=restore_copy),
    Effect.FOLLOW_CLOCK: Scenario(set_clock, before=wind_clock),
    Effect.SET_META: Scenario(nothing, is_first=True),
    Effect.WRITE_FILE: Scenario(nothing, is_first=True),
    Effect.ADD_EVENT: Scenario(nothing, before=rent_behind),
    Effect.SAVE_SIGHTINGS: Scenario(nothing, before=rent_behind),
    Effect.PRUNE_FAILURES: Scenario(nothing),
    Effect.PRUNE_CARRIED_OUT: Scenario(nothing),
}
"""What the matrix is made of, for both moments."""

MORE: Mapping[str, tuple[Effect, Scenario]] = {
    "the second key file": (Effect.WRITE_FILE, Scenario(nothing, is_first=True, times=2)),
    "the third file": (Effect.WRITE_FILE, Scenario(nothing, is_first=True, times=3)),
    "the end of a reservation": (Effect.END, Scenario(expire)),
    "a lost reply": (Effect.CREATE, Scenario(rent_with(Fault("reply_lost", "create")))),
    "the second try": (Effect.CREATE, Scenario(rent_with(_GONE, auto_retry=True), times=2)),
    "a lost reply to a destruction": (
        Effect.DESTROY,
        Scenario(end_with(Fault("reply_lost", "destroy"))),
    ),
    "after a failed destruction": (
        Effect.DESTROY,
        Scenario(end_with(Fault("error", "destroy")), times=2),
    ),
    "a destruction without effect": (
        Effect.DESTROY,
        Scenario(end_with(Fault("ignored", "destroy")), times=2),
    ),
    "a slow end": (Effect.GET, Scenario(end_with(Fault("late_effect", "destroy", delay="20s")))),
    "the orphan's destruction": (
        Effect.DESTROY,
        Scenario(nothing, before=rent_behind),
    ),
    "a failed boot": (Effect.GONE, Scenario(rent_with(Fault("error", "boot"), auto_retry=True))),
    "the second death in a creation": (
        Effect.ACCEPT,
        Scenario(nothing, earlier=EarlierLife(Effect.CREATE, Moment.AFTER, rent)),
    ),
    "the second death in a verification": (
        Effect.VERIFY,
        Scenario(nothing, earlier=EarlierLife(Effect.ACCEPT, Moment.AFTER, rent)),
    ),
    "the second death in an end": (
        Effect.GONE,
        Scenario(nothing, earlier=EarlierLife(Effect.DESTROY, Moment.AFTER, end)),
    ),
    "the second death before an end": (
        Effect.DESTROY,
        Scenario(nothing, earlier=EarlierLife(Effect.ASK_TO_DESTROY, Moment.AFTER, end)),
    ),
    "a start with a session": (
        Effect.SAVE_SIGHTINGS,
        Scenario(nothing, earlier=_RUNNING_BEFORE),
    ),
}
"""More ways to die of an effect, by what is special in them."""
