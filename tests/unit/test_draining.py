"""Which providers drain, why, and what is said about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.decide.draining import Cause, Drain, plan_drains, refusal_of
from broker.model import Criteria
from tests.builders import a_request

SETTINGS = {"vastai": "VASTAI_API_KEY", "tensordock": "TENSORDOCK_API_TOKEN", "simulator": "on"}
OFF = Drain("simulator", Cause.SWITCHED_OFF, "providers.simulator.enabled")
GONE = Drain("vastai", Cause.NO_CREDENTIALS, "VASTAI_API_KEY")
UNKNOWN = Drain("elsewhere", Cause.NO_ADAPTER, "")


@pytest.mark.parametrize(
    ("live", "strays", "causes"),
    [
        ({}, [], {}),
        ({"tensordock": 3}, ["tensordock"], {}),
        ({"simulator": 1}, [], {"simulator": Cause.SWITCHED_OFF}),
        ({}, ["simulator"], {"simulator": Cause.SWITCHED_OFF}),
        ({"simulator": 0}, [], {}),
        ({"vastai": 2}, [], {"vastai": Cause.NO_CREDENTIALS}),
        ({}, ["vastai"], {}),
        ({"elsewhere": 1}, [], {"elsewhere": Cause.NO_ADAPTER}),
        (
            {"vastai": 1, "simulator": 1, "tensordock": 1},
            [],
            {"simulator": Cause.SWITCHED_OFF, "vastai": Cause.NO_CREDENTIALS},
        ),
    ],
)
def test_what_is_not_enabled_and_still_has_something_drains(
    live: dict[str, int], strays: list[str], causes: dict[str, Cause]
) -> None:
    """Sessions, or machines of ours without one as long as they can be destroyed there."""
    drains = plan_drains(
        live,
        strays,
        enabled=["tensordock"],
        settings=SETTINGS,
        reachable=["tensordock", "simulator"],
    )

    assert causes == {drain.provider: drain.cause for drain in drains}
    assert all(SETTINGS.get(drain.provider, "") == drain.setting for drain in drains)


@pytest.mark.parametrize(
    ("drain", "sessions", "reason"),
    [
        (
            OFF,
            2,
            (
                "draining: 2 sessions left; it is switched off, "
                "providers.simulator.enabled brings it back"
            ),
        ),
        (
            OFF,
            0,
            (
                "drained: no session is left; it is switched off, "
                "providers.simulator.enabled brings it back"
            ),
        ),
        (
            GONE,
            1,
            (
                "draining: 1 session left, and nothing can be done for them: "
                "its credentials are gone, set VASTAI_API_KEY and start the broker again"
            ),
        ),
        (
            UNKNOWN,
            3,
            (
                "draining: 3 sessions left, and nothing can be done for them: this version of "
                "gpu-broker does not know it, start one that does"
            ),
        ),
    ],
)
def test_the_reason_says_what_is_left_and_what_brings_it_back(
    drain: Drain, sessions: int, reason: str
) -> None:
    """So that whoever has removed it knows what hangs on it."""
    assert reason == drain.reason(sessions)


@pytest.mark.parametrize(
    ("offer_id", "provider", "providers", "named"),
    [
        ("simulator-17", None, ["simulator", "vastai"], ["simulator"]),
        (None, "simulator", ["simulator", "vastai"], ["simulator"]),
        ("vastai-17", None, ["simulator", "vastai"], []),
        (None, None, ["simulator", "vastai"], []),
        (None, None, ["simulator"], ["simulator"]),
    ],
)
def test_what_drains_is_named_to_whoever_wants_something_new_there(
    offer_id: str | None, provider: str | None, providers: list[str], named: list[str]
) -> None:
    """A request that anybody else can serve is not refused."""
    request = replace(a_request(offer_id=offer_id), criteria=Criteria(provider=provider))
    refusal = refusal_of(request, {"simulator": OFF}, providers) or ""

    assert [one for one in providers if f"{one} takes no new sessions" in refusal] == named
