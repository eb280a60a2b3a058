"""`providers [instances]`: which marketplaces can be used, and what each account really runs."""

from __future__ import annotations

import click

from broker.cli.client import Body, Client, RequestFailed, path_of
from broker.cli.exits import CommandFailed
from broker.cli.output import (
    Column,
    dollars,
    output_option,
    present_length,
    print_table,
    say,
    show,
    show_report,
)

_UNREADABLE = "provider_unavailable"


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  gpu-broker providers
  gpu-broker providers instances""",
)
@output_option
@click.pass_context
def providers(context: click.Context, output: str) -> None:
    """The marketplaces, and the machines in each account."""
    if context.invoked_subcommand is None:
        show(Client.from_environment().get(path_of("providers")), output, _print_providers)


@providers.command(
    epilog="""\b
Examples:
  gpu-broker providers instances
  gpu-broker providers instances vastai -o json"""
)
@click.argument("name", required=False)
@output_option
def instances(name: str | None, output: str) -> None:
    """Every machine that an account really runs, whoever made it.

    The marketplace is asked now, for one provider or for all of them. `ours`: a session
    holds it. `orphaned`: the broker made it and no session holds it; it ends by itself
    after the grace. `unreadable`: its label has this broker's mark, and nobody can read
    the rest; never touched. `foreign`: not this broker's; never touched.
    """
    client = Client.from_environment()
    if name is not None:
        show(client.get(path_of("providers", name, "instances")), output, _print_account)
        return
    report = _every_account(client)
    show_report(report, output, _print_accounts)
    unlisted = [str(why) for why in report["unlisted"].values()]
    if unlisted:
        raise CommandFailed("; ".join(unlisted))


def _every_account(client: Client) -> Body:
    """The instances of each provider, and why some could not be listed."""
    accounts: list[Body] = []
    unlisted: dict[str, str] = {}
    for provider in client.get(path_of("providers")).body["providers"]:
        name = provider["name"]
        try:
            accounts.append(client.get(path_of("providers", name, "instances")).body)
        except RequestFailed as refusal:
            if refusal.code != _UNREADABLE:
                raise
            unlisted[name] = refusal.message
    return {"accounts": accounts, "unlisted": unlisted}


def _print_accounts(report: Body) -> None:
    # What could not be asked may hold anything: the error that follows says so.
    empty = "" if report["unlisted"] else "No machine runs in any account."
    _print_instances(report["accounts"], empty)


def _print_account(account: Body) -> None:
    _print_instances([account], f"No machine runs in the account of {account['provider']}.")


def _print_instances(accounts: list[Body], empty: str) -> None:
    columns: list[Column] = [
        ("PROVIDER", "provider"),
        ("INSTANCE", "instance_id"),
        ("WHOSE", "ownership"),
        ("SESSION", "session_id"),
        ("IS", "session_status"),
        ("MACHINE", "status"),
        ("GPU", "gpu_type"),
        ("AGE", _age),
        ("$/H", "price_per_hour"),
        ("DEADLINE", "deadline"),
        ("LABEL", _telling_label),
    ]
    rows = [
        {**instance, "provider": account["provider"]}
        for account in accounts
        for instance in account["instances"]
    ]
    print_table(columns, rows, empty=empty)
    for account in accounts:
        if account["instances"]:
            say(f"{account['provider']}: {dollars(account['burn_per_hour'])}/h in all.")


def _telling_label(row: Body) -> str | None:
    """The label, where it does not name the session that is shown."""
    session, label = row.get("session_id"), row.get("label")
    is_named = session and label and session.removeprefix("sess-") in label
    return None if is_named else label


def _age(row: Body) -> str | None:
    seconds = row.get("age_seconds")
    return None if seconds is None else present_length(seconds)


def _print_providers(body: Body) -> None:
    columns: list[Column] = [
        ("PROVIDER", "name"),
        ("STATE", "state"),
        ("OFFERS", "offers"),
        ("COVERAGE", _coverage),
        ("BALANCE", lambda row: dollars(row.get("balance"))),
        ("OURS", lambda row: machines(row, "ours")),
        ("ORPHANED", lambda row: machines(row, "orphaned")),
        ("FOREIGN", lambda row: machines(row, "foreign")),
        ("REFRESHED", "last_refresh"),
        ("REASONS", "reasons"),
    ]
    print_table(columns, body["providers"], empty="No provider is configured.")


def _coverage(provider: Body) -> str | None:
    """How much of the market is listed; None while not known."""
    coverage = provider.get("coverage")
    if not coverage:
        return None
    detail = (coverage["detail"] or "more than listed").rstrip(".")
    extent = "all" if coverage["complete"] else f"partly: {detail}"
    return f"{extent}; {coverage['dropped']} not understood" if coverage["dropped"] else extent


def machines(provider: Body, kind: str) -> int | None:
    """How many machines of a kind the provider's account holds; None while not known."""
    count: int | None = (provider.get("machines") or {}).get(kind)
    return count
