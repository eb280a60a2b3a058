"""`backup`, `restore`: a copy of the database, and the way back to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from broker.cli.client import Body
from broker.cli.exits import CommandFailed, WronglySetUp
from broker.cli.local import database_options, load
from broker.cli.output import output_option, print_card, say, show_report

if TYPE_CHECKING:
    from broker.store.backup import Copy


@click.command(
    epilog="""\b
Examples:
  gpu-broker backup /var/backups/gpu-broker.db
  gpu-broker backup --force --config config.yaml nightly.db"""
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@database_options
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
@output_option
def backup(
    file: Path, config: Path | None, database: str | None, output: str, *, force: bool
) -> None:
    """Copy the database to FILE, also while a broker works on it.

    FILE is complete or untouched, and for its owner alone. The rest of the data folder never
    changes: keep a copy of that too.
    """
    if file.exists() and not force:
        raise click.UsageError(f"{file} exists. Name another file, or replace it with --force.")
    settings = load(config=config, database=database, simulate=None)
    from broker.app import back_up  # noqa: PLC0415 - keeps `--help` quick
    from broker.errors import StartupError  # noqa: PLC0415

    try:
        copy = back_up(settings, file.absolute())
    except StartupError as error:
        raise WronglySetUp(str(error)) from error
    show_report(_present(copy), output, _print_copy)


@click.command(
    epilog="""\b
Example:
  gpu-broker restore /var/backups/gpu-broker.db"""
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@database_options
@output_option
def restore(file: Path, config: Path | None, database: str | None, output: str) -> None:
    """Put the copy in FILE in the place of the database. No broker may run on it.

    The database that was there is kept beside it. At its next start the broker looks for the
    machines of all sessions before it rents or ends anything.
    """
    settings = load(config=config, database=database, simulate=None)
    from broker.app import restore as put_back  # noqa: PLC0415 - keeps `--help` quick
    from broker.errors import StartupError  # noqa: PLC0415
    from broker.store.lock import LockHeld  # noqa: PLC0415

    try:
        copy, kept = put_back(settings, file.absolute())
    except LockHeld as held:
        raise CommandFailed(f"{held} Stop it first, then restore.") from held
    except StartupError as error:
        raise WronglySetUp(str(error)) from error
    if kept is not None:
        say(f"The database that was there is kept as {kept}.")
    report = {**_present(copy), "kept": None if kept is None else str(kept)}
    show_report(report, output, _print_copy)


def _present(copy: Copy) -> Body:
    from broker.decide.plain import instant_text  # noqa: PLC0415 - keeps `--help` quick

    return {
        "file": str(copy.path),
        "size_bytes": copy.size,
        "copied_at": instant_text(copy.copied_at),
        "sessions": copy.sessions,
        "live_sessions": copy.live,
    }


def _print_copy(report: Body) -> None:
    print_card(
        [
            ("file", report["file"]),
            ("size", f"{report['size_bytes']} bytes"),
            ("copied", report["copied_at"]),
            ("sessions", f"{report['sessions']}, {report['live_sessions']} of them not over"),
        ]
    )
