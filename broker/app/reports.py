"""What a sweep did, in the shape that the API and the command line show."""

from __future__ import annotations

from broker.api import shapes
from broker.sweeper import Applied, SweepReport


def present_sweep(report: SweepReport) -> shapes.SweepReport:
    """The report of one sweep."""
    return {
        "dry_run": report.is_dry_run,
        "actions": [_present(applied) for applied in report.actions],
        "unlisted": dict(report.unlisted),
    }


def _present(applied: Applied) -> shapes.SweepAction:
    return {
        "action": applied.action,
        "session_id": applied.session_id,
        "provider": applied.provider,
        "instance_id": applied.instance_id,
        "reason": applied.reason,
        "done": applied.is_done,
    }
