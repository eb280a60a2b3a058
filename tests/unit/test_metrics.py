"""The metrics by their names, types and labels, as dashboards and alerts know them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from broker.decide import moves
from broker.decide.spending import Spending
from broker.metrics import Metrics, Snapshot
from broker.model import LIVE, Reason, Status
from broker.usecases import doors
from tests.builders import LATER, MADE, NOW, PROOF, PROVISIONING, STOPPING, VERIFIED, an_attempt
from tests.unit.exposition import NOTHING, PROVIDERS, WITH_BALANCE, exposed, kinds, samples

NAMES = {
    "gpu_burn_dollars_per_hour": ("gauge", {"provider"}),
    "gpu_clock_jumps_total": ("counter", set()),
    "gpu_cost_accrued_dollars_total": ("counter", {"provider"}),
    "gpu_destroy_failures_total": ("counter", set()),
    "gpu_destructions_failing": ("gauge", {"provider"}),
    "gpu_ghosts_detected_total": ("counter", set()),
    "gpu_inventory_age_seconds": ("gauge", {"provider"}),
    "gpu_inventory_offers": ("gauge", {"provider"}),
    "gpu_leaked_machine_seconds_total": ("counter", {"provider"}),
    "gpu_orphans_detected_total": ("counter", set()),
    "gpu_provider_api_errors_total": ("counter", {"provider", "operation"}),
    "gpu_provider_request_duration_seconds": ("histogram", {"provider", "operation"}),
    "gpu_provider_balance_dollars": ("gauge", {"provider"}),
    "gpu_provider_balance_floor_dollars": ("gauge", {"provider"}),
    "gpu_provision_duration_seconds": ("histogram", set()),
    "gpu_reap_delay_seconds": ("histogram", set()),
    "gpu_reconciliation_mismatches_total": ("counter", set()),
    "gpu_sessions_active": ("gauge", {"provider", "status"}),
    "gpu_sessions_created_total": ("counter", {"provider"}),
    "gpu_sessions_ended_total": ("counter", {"provider", "reason"}),
    "gpu_ssh_verify_duration_seconds": ("histogram", set()),
    "gpu_ssh_verify_failures_total": ("counter", set()),
    "gpu_database_unwritable": ("gauge", set()),
    "http_request_duration_seconds": ("histogram", {"method", "route"}),
    "http_requests_total": ("counter", {"method", "route", "status"}),
}
"""Name -> type and labels."""


def labelled(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """The key of a sample."""
    return name, frozenset(labels.items())


def test_the_names_types_and_labels_are_those_that_are_promised() -> None:
    """No more and no fewer, the standard ones of a process aside."""
    found = kinds()
    own = {name: kind for name, kind in found.items() if name.startswith(("gpu_", "http_"))}
    assert own == {name: (kind, frozenset(labels)) for name, (kind, labels) in NAMES.items()}
    assert {name.partition("_")[0] for name in found.keys() - own.keys()} == {"process", "python"}


def test_every_provider_has_its_series_at_zero_from_the_start() -> None:
    """A rate over the first event needs the zero before it."""
    told = samples(exposed())
    operations = [{"operation": operation} for operation in doors._DEADLINES]
    expected = [
        labelled(name, provider=provider, **labels)
        for provider in PROVIDERS
        for name, every in {
            "gpu_sessions_active": [{"status": status} for status in LIVE],
            "gpu_sessions_ended_total": [{"reason": reason} for reason in Reason],
            "gpu_provider_api_errors_total": operations,
            "gpu_provider_request_duration_seconds_count": operations,
            "gpu_sessions_created_total": [{}],
            "gpu_burn_dollars_per_hour": [{}],
            "gpu_cost_accrued_dollars_total": [{}],
            "gpu_inventory_offers": [{}],
            "gpu_destructions_failing": [{}],
            "gpu_inventory_age_seconds": [{}],
        }.items()
        for labels in every
    ]

    assert {key: told.get(key) for key in expected} == dict.fromkeys(expected, 0)


def test_a_provider_that_is_not_configured_any_more_shows_what_it_still_costs() -> None:
    """Money that nobody looks for is the worst."""
    seen = Snapshot(
        sessions={("former", Status.STOPPING): 1, ("long ago", Status.STOPPED): 5},
        burn={"former": Decimal("0.4")},
        accrued={"former": Decimal(7)},
        offers={},
        inventory_age={"here": timedelta(seconds=3)},
        balances={},
        balance_floors={},
        failing={"former": 1},
        is_unwritable=True,
    )
    told = samples(exposed(seen))

    assert told[labelled("gpu_sessions_active", provider="former", status="stopping")] == 1
    assert told[labelled("gpu_burn_dollars_per_hour", provider="former")] == 0.4
    assert told[labelled("gpu_cost_accrued_dollars_total", provider="former")] == 7
    assert told[labelled("gpu_inventory_age_seconds", provider="here")] == 3
    assert told[labelled("gpu_destructions_failing", provider="former")] == 1
    assert told[labelled("gpu_database_unwritable")] == 1
    assert "long ago" not in {value for _, labels in told for _, value in labels}


def test_only_a_balance_that_is_known_is_shown() -> None:
    """A zero would say that nothing is left."""
    told = samples(exposed(WITH_BALANCE))

    assert told[labelled("gpu_provider_balance_dollars", provider="here")] == 12.5
    assert told[labelled("gpu_provider_balance_floor_dollars", provider="here")] == 5
    assert labelled("gpu_provider_balance_dollars", provider="there") not in told
    assert labelled("gpu_provider_balance_floor_dollars", provider="there") not in told


def test_the_delay_of_an_end_is_that_of_a_machine() -> None:
    """From the instant at which it was due to the proof; where none was left nothing is late.

    A machine that has failed is late though its session goes on, with another.
    """
    metrics = Metrics(PROVIDERS, Spending())
    due = replace(STOPPING, due_at=NOW)
    doomed = moves.doom(PROVISIONING, MADE, Reason.WRONG_GPU, "a GTX 1070", NOW).attempt
    assert doomed is not None
    for change in (
        moves.give_up(PROVISIONING, an_attempt(), Reason.OFFER_GONE, "gone", LATER),
        moves.gone(due, VERIFIED, PROOF, LATER),
        moves.gone(PROVISIONING, doomed, PROOF, LATER),
    ):
        metrics.session_changed(change, change.session)
    told = samples(metrics.expose(NOTHING).decode())

    assert told[labelled("gpu_reap_delay_seconds_count")] == 2
    assert told[labelled("gpu_reap_delay_seconds_sum")] == 2 * (LATER - NOW).total_seconds()
