"""`doctor`: looks at everything that must be right, and says what to do where it is not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broker.cli import keys
from broker.cli.client import Body, Client
from broker.cli.exits import BrokerUnreachable, CommandFailed, WronglySetUp
from broker.cli.local import load, settings_options
from broker.cli.output import cell, dollars
from broker.cli.providers import machines

if TYPE_CHECKING:
    from broker.config import Settings

OK, WARN, FAIL = "ok", "warn", "fail"
_COLOURS = {OK: "green", WARN: "yellow", FAIL: "red"}
_WELL = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: str
    subject: str
    text: str
    remedy: str = ""
    """What to do; empty where all is well."""


@click.command(
    epilog="""\b
Examples:
  gpu-broker doctor
  gpu-broker doctor --simulate
  gpu-broker doctor --config config.yaml"""
)
@settings_options
@click.pass_context
def doctor(
    context: click.Context, config: Path | None, database: str | None, simulate: str | None
) -> None:
    """Find out what is wrong, and what to do.

    Exit code 0 when nothing has failed, else 1. Nothing is changed.
    """
    levels = set()
    for finding in _examine(config, database, simulate):
        levels.add(finding.level)
        _print(finding)
    context.exit(1 if FAIL in levels else 0)


def _print(finding: Finding) -> None:
    level = click.style(f"{finding.level:<4}", fg=_COLOURS[finding.level])
    click.echo(f"{level}  {finding.subject:<10} {cell(finding.text)}")
    if finding.remedy:
        click.echo(f"{'':<17}-> {finding.remedy}")


def _examine(config: Path | None, database: str | None, simulate: str | None) -> Iterator[Finding]:
    holder_url = None
    try:
        settings = load(config=config, database=database, simulate=simulate)
    except WronglySetUp as wrong:
        remedy = "Correct it; `gpu-broker check-config` shows the outcome."
        yield from (Finding(FAIL, "settings", line, remedy) for line in wrong.message.splitlines())
    else:
        holder_url = _holder_url(settings)
        yield _sources(config)
        yield from _credentials(settings, is_served=holder_url is not None)
        yield _folder(settings.data_dir)
        yield from _database(settings, is_served=holder_url is not None)
    yield from _broker(holder_url)
    yield _state_folder()
    yield _ssh_client()


def _sources(config: Path | None) -> Finding:
    dotenv = (config.parent if config else Path()) / ".env"
    sources = [
        f"the file {config}" if config else "no file (--config names one)",
        f"{dotenv.absolute()}" if dotenv.exists() else "no .env file",
        "the environment",
    ]
    return Finding(OK, "settings", f"valid; from {', '.join(sources)}")


def _credentials(settings: Settings, *, is_served: bool) -> Iterator[Finding]:
    if not settings.enabled_providers:
        # A broker that serves has its own settings: --simulate is told to it alone.
        level = WARN if is_served else FAIL
        remedy = "Set VASTAI_API_KEY or TENSORDOCK_API_TOKEN, or use --simulate."
        yield Finding(level, "accounts", "no provider is configured here", remedy)
    for name in settings.accounts:
        section = settings.provider(name)
        if section.enabled:
            text = "simulated" if section.credential is None else "credentials are set (***)"
            yield Finding(OK, "accounts", f"{name}: {text}")
        elif section.credential is not None:
            text = f"{name}: credentials are set (***), and it is switched off"
            yield Finding(OK, "accounts", text)


def _folder(data_dir: Path) -> Finding:
    existing = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        made = "" if existing == data_dir else "; it will be made"
        return Finding(OK, "data_dir", f"{data_dir} can be written{made}")
    remedy = "Let this user write there, or set BROKER_DATA_DIR."
    return Finding(FAIL, "data_dir", f"{existing} cannot be written", remedy)


def _database(settings: Settings, *, is_served: bool) -> Iterator[Finding]:
    from broker.errors import StartupError  # noqa: PLC0415 - keeps `--help` quick
    from broker.store.examination import look_into, require_writable  # noqa: PLC0415

    path = settings.database_path
    if not path.exists():
        yield Finding(OK, "database", f"{path} does not exist yet; `serve` makes it")
        return
    try:
        contents = look_into(path)
        yield Finding(OK, "database", f"{path} is sound: {contents.sessions} sessions")
        if is_served:
            return  # the broker tells whether it can be written, and has found out who it is
        yield from _identity(settings, contents.meta)
        yield from _stranded(settings, contents.live)
        require_writable(path)
    except StartupError as error:
        what, _, remedy = str(error).partition("; ")
        yield Finding(FAIL, "database", what, f"{remedy[:1].upper()}{remedy[1:]}")


def _identity(settings: Settings, meta: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the database and the data folder agree about who this broker is."""
    from broker.app.identity import DEPLOYMENT_ID, agreed_id  # noqa: PLC0415 - quick `--help`
    from broker.errors import StartupError  # noqa: PLC0415

    configured = settings.lifecycle.deployment_id
    try:
        agreed_id(meta.get(DEPLOYMENT_ID), settings.data_dir, configured)
    except StartupError as error:
        what, _, remedy = str(error).partition(". ")
        yield Finding(FAIL, "data_dir", what, remedy)


def _stranded(settings: Settings, live: Mapping[str, int]) -> Iterator[Finding]:
    """Providers with sessions that nothing can be done for."""
    from broker.app import drains_at  # noqa: PLC0415 - keeps `--help` quick

    for drain in drains_at(settings, live):
        if not drain.is_reachable:
            text = f"{drain.provider} is {drain.reason(live[drain.provider])}"
            remedy = "Until then its machines may go on and cost money."
            yield Finding(FAIL, "accounts", text, remedy)


def _holder_url(settings: Settings) -> str | None:
    """Where the broker that holds the database listens; None where nobody holds it."""
    from broker.store.lock import DatabaseLock  # noqa: PLC0415

    holder = DatabaseLock.holder(settings.database_path)
    return holder.url if holder else None


def _broker(holder_url: str | None) -> Iterator[Finding]:
    try:
        client = Client.from_environment()
        health = client.get_whatever_status("/health")
    except WronglySetUp as wrong:
        yield Finding(FAIL, "broker", wrong.message, "Correct GPU_BROKER_URL.")
        return
    except BrokerUnreachable as away:
        yield _unreachable(away, holder_url)
        return
    if health.status == _WELL and health.body.get("status") != "degraded":
        yield Finding(OK, "broker", f"{client.url} is ready")
    elif health.status == _WELL:
        text = f"{client.url} works, and asks for a look: {cell(health.body.get('troubles'))}"
        yield Finding(WARN, "broker", text, "What is said about its providers below tells more.")
    else:
        text = f"{client.url} is not well: {cell(health.body.get('troubles') or 'it starts')}"
        yield Finding(FAIL, "broker", text, "Look again in a moment, then into its log.")
    if holder_url and holder_url.rstrip("/") != client.url:
        text = f"this database is held by the broker at {holder_url}, not the one above"
        yield Finding(WARN, "broker", text, f"Is GPU_BROKER_URL={holder_url} meant?")
    yield from _providers(client)


def _unreachable(away: CommandFailed, holder_url: str | None) -> Finding:
    if holder_url:
        remedy = f"Set GPU_BROKER_URL={holder_url}: that broker holds the database."
        return Finding(FAIL, "broker", away.message, remedy)
    remedy = "Machines of a broker that is gone: `gpu-broker cleanup-orphans` shows them."
    return Finding(WARN, "broker", away.message, remedy)


def _providers(client: Client) -> Iterator[Finding]:
    try:
        providers: list[Body] = client.get("/api/v1/providers").body["providers"]
    except CommandFailed as error:
        yield Finding(FAIL, "providers", error.message, "Look into the broker's log.")
        return
    for provider in providers:
        yield present_provider(provider)
        yield from present_market(provider)
        yield from present_balance(provider)
        yield from present_machines(provider)
        yield from present_destructions(provider)


def present_provider(provider: Body) -> Finding:
    """What a provider's state means."""
    levels = {"ready": OK, "degraded": WARN}
    remedies = {
        "ready": "",
        "degraded": "It may pass; what has been rented goes on being looked after.",
        "needs_setup": "Correct its credentials and start the broker again.",
    }
    state = provider["state"]
    if provider.get("draining") and state in levels:
        levels[state] = WARN
        remedies[state] = "Nothing new is rented there; what runs is looked after to its end."
    reasons = f": {cell(provider['reasons'])}" if provider.get("reasons") else ""
    return Finding(
        levels.get(state, FAIL),
        "providers",
        f"{provider['name']} is {state}{reasons}",
        remedies.get(state, "It is asked again and again; its status page may say more."),
    )


def present_market(provider: Body) -> Iterator[Finding]:
    """What of the market is not listed."""
    coverage = provider.get("coverage") or {"complete": True, "dropped": 0}
    if not coverage["complete"]:
        text = f"the market of {provider['name']} is read in part: {cell(coverage['detail'])}"
        yield Finding(WARN, "offers", text, "What is listed can be rented; there is more.")
    if coverage["dropped"]:
        text = f"{coverage['dropped']} rows of {provider['name']} are left out: not understood"
        yield Finding(WARN, "offers", text, "A newer version of gpu-broker may understand them.")


def present_balance(provider: Body) -> Iterator[Finding]:
    """What the account can spend, where it tells."""
    balance = provider.get("balance")
    if balance is None:
        return
    text = (
        f"{provider['name']} has {dollars(balance)} to spend, read at {provider['balance_read_at']}"
    )
    if balance > 0:
        yield Finding(OK, "balance", text)
    else:
        yield Finding(WARN, "balance", text, "Pay in: nothing can be rented there until then.")


def present_machines(provider: Body) -> Iterator[Finding]:
    """Machines in the account that nobody answers for."""
    if orphaned := machines(provider, "orphaned"):
        text = f"{orphaned} machines of ours in the account of {provider['name']} have no session"
        remedy = "They end by themselves after the grace; `gpu-broker cleanup-orphans` shows them."
        yield Finding(WARN, "machines", text, remedy)
    unreadable = provider.get("unreadable_labels") or 0
    if unreadable:
        text = (
            f"{unreadable} machines in the account of {provider['name']} have our mark in a label "
            "that cannot be read, and are never touched"
        )
        remedy = "`gpu-broker providers instances` shows them: end what is yours in the console."
        yield Finding(WARN, "machines", text, remedy)
    if foreign := (machines(provider, "foreign") or 0) - unreadable:
        text = (
            f"{foreign} machines in the account of {provider['name']} are not ours: they have "
            "another deployment's label or no broker's, and are never touched"
        )
        remedy = (
            "`gpu-broker providers instances` tells which. Of a deployment that is gone: "
            "`gpu-broker cleanup-orphans --deployment ID` shows them."
        )
        yield Finding(WARN, "machines", text, remedy)


def present_destructions(provider: Body) -> Iterator[Finding]:
    """Machines that the marketplace does not destroy."""
    name, console = provider["name"], provider.get("console")
    for failing in provider.get("failing_destructions") or ():
        whose = f"of {failing['session_id']}" if failing.get("session_id") else "of ours"
        orphan = ", which no session holds," if failing.get("orphaned") else ""
        text = (
            f"{name} does not destroy machine {failing['instance_id']} {whose}{orphan} since "
            f"{failing['since']} (failed {failing['tries']} times): {failing['last_answer']}"
        )
        where = f"at {console}" if console else f"in the console of {name}"
        remedy = f"It may still cost money: destroy it {where}. The broker asks on and sees it."
        yield Finding(FAIL, "machines", text, remedy)


def _state_folder() -> Finding:
    """Where `rent` keeps keys."""
    folder = keys.state_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if os.access(existing, os.W_OK | os.X_OK):
        return Finding(OK, "keys", f"are kept in {folder}")
    return Finding(FAIL, "keys", f"{existing} cannot be written", "Set XDG_STATE_HOME elsewhere.")


def _ssh_client() -> Finding:
    program = shutil.which("ssh")
    if program:
        return Finding(OK, "ssh", program)
    remedy = "Install OpenSSH; until then `gpu-broker ssh` runs commands only."
    return Finding(WARN, "ssh", "there is no ssh on this machine", remedy)
