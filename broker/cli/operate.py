"""`sweep`, `cleanup-orphans`: what an operator runs, with or without a broker."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broker.cli.client import Body, Client, path_of
from broker.cli.exits import CommandFailed
from broker.cli.local import load, run, settings_options
from broker.cli.output import (
    Column,
    output_option,
    present_length,
    print_table,
    say,
    show,
    show_report,
)

if TYPE_CHECKING:
    from broker.config import Settings


@click.command(
    epilog="""\b
Examples:
  gpu-broker sweep --once --dry-run
  gpu-broker sweep --once --simulate
  gpu-broker sweep --once --config config.yaml"""
)
@settings_options
@click.option("--once", is_flag=True, help="Act. Without it this only says what it would do.")
@click.option("--dry-run", is_flag=True, help="Only say what it would do.")
@output_option
def sweep(
    config: Path | None,
    database: str | None,
    simulate: str | None,
    once: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Compare records and machines, and act on it.

    Ends what is over, destroys orphans, finishes what was begun. It works without a
    broker; where one holds the database, that one is asked to do it.
    """
    settings = load(config=config, database=database, simulate=simulate)
    report = _sweep(settings, output, is_dry=dry_run or not once)
    _fail_if_incomplete(report, () if report["dry_run"] else _undestroyed(report))


def _sweep(settings: Settings, output: str, *, is_dry: bool) -> Body:
    """Sweep here, or where the database is held; the report, which was shown."""
    from broker.app import present_sweep, sweep_once  # noqa: PLC0415 - keeps `--help` quick
    from broker.store.lock import LockHeld  # noqa: PLC0415

    try:
        report = dict(present_sweep(run(sweep_once(settings, dry_run=is_dry))))
    except LockHeld as held:
        if not held.url:
            raise CommandFailed(f"{held} Try again when it has ended.") from held
        say(f"The broker at {held.url} holds the database: it is asked to sweep.")
        answer = Client(held.url).post(path_of("sweep"), dry_run=is_dry)
        show(answer, output, _print_actions)
        return answer.body
    show_report(report, output, _print_actions)
    return report


@click.command(
    "cleanup-orphans",
    epilog="""\b
Examples:
  gpu-broker cleanup-orphans
  gpu-broker cleanup-orphans --simulate
  gpu-broker cleanup-orphans --execute --provider vastai
  gpu-broker cleanup-orphans --deployment 4f2k9qzw --execute --force""",
)
@settings_options
@click.option("--execute", is_flag=True, help="Destroy them. Without it they are only shown.")
@click.option(
    "--force", is_flag=True, help="With no database at hand: do not wait for their deadlines."
)
@click.option("--deployment", metavar="ID", help="Those of this deployment instead of our own.")
@click.option("--provider", metavar="P", help="Only in this provider's account.")
@output_option
def cleanup_orphans(
    config: Path | None,
    database: str | None,
    simulate: str | None,
    execute: bool,
    force: bool,
    deployment: str | None,
    provider: str | None,
    output: str,
) -> None:
    """Find machines that no session holds.

    Only machines with our label are touched, and only those that no row claims and that
    are older than the grace. It works without a broker.
    """
    settings = load(config=config, database=database, simulate=simulate, deployment=deployment)
    from broker.app import cleanup_orphans as clean_up  # noqa: PLC0415

    report = run(clean_up(settings, execute=execute, force=force, provider=provider)).present()
    show_report(report, output, _print_machines)
    _fail_if_incomplete(report, _left_alive(report) if execute else ())


def _fail_if_incomplete(report: Body, left: Iterable[str] = ()) -> None:
    """Whoever runs this from a timer must learn that it has to run again."""
    unlisted = [f"{name} cannot be listed: {why}" for name, why in report["unlisted"].items()]
    if troubles := [*unlisted, *left]:
        raise CommandFailed("; ".join(troubles))


def _undestroyed(report: Body) -> list[str]:
    """What the sweep should have destroyed and did not."""
    return [
        f"Machine {row['instance_id']} of {row['provider']} is not destroyed: {row['reason']}"
        for row in report["actions"]
        if row["action"] == "destroy" and not row["done"]
    ]


def _left_alive(report: Body) -> list[str]:
    """What should have been destroyed and is not."""
    return [
        f"Machine {row['instance_id']} of {row['provider']}: {row['why']}"
        for row in report["machines"]
        if row["verdict"] == "orphaned" and not row["destroyed"]
    ]


def _print_actions(report: Body) -> None:
    columns: list[Column] = [
        ("ACTION", "action"),
        ("SESSION", "session_id"),
        ("INSTANCE", "instance_id"),
        ("PROVIDER", "provider"),
        ("REASON", "reason"),
        ("DONE", lambda row: None if report["dry_run"] else row.get("done")),
    ]
    # What could not be listed may need anything: the error that follows says so.
    empty = "" if report["unlisted"] else "There is nothing to do."
    print_table(columns, report["actions"], empty=empty)


def _print_machines(report: Body) -> None:
    columns: list[Column] = [
        ("PROVIDER", "provider"),
        ("INSTANCE", "instance_id"),
        ("LABEL", "label"),
        ("AGE", _age),
        ("$/H", "price_per_hour"),
        ("VERDICT", "verdict"),
        ("DESTROYED", "destroyed"),
        ("WHY", "why"),
    ]
    # As above: what could not be listed may hold anything.
    empty = "" if report["unlisted"] else "No machine carries a label of a gpu-broker."
    print_table(columns, report["machines"], empty=empty)


def _age(row: Body) -> str | None:
    seconds = row.get("age_seconds")
    return None if seconds is None else present_length(seconds)
