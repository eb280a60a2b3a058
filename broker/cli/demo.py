"""`demo`: the whole main job in one command, on a market that costs nothing."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from broker.cli.client import Body, Client, path_of
from broker.cli.exits import CommandFailed, on_interrupt
from broker.cli.machine import logged_in
from broker.cli.output import cell, dollars, gpus, printable, say
from broker.cli.own_broker import OwnBroker, signals_go_to
from broker.cli.providers import machines
from broker.cli.waiting import FINAL, wait_for

_STEPS = 7
_SIMULATOR = "simulator"
_SEEN_WITHIN_SECONDS = 30.0


@click.command(
    epilog="""\b
Examples:
  gpu-broker demo
  gpu-broker demo --gpu-type "A100 SXM4" --data ./demo"""
)
@click.option("--gpu-type", default="RTX 4090", show_default=True, help="What to rent.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the broker's files and log here.  [default: a folder that is removed]",
)
def demo(gpu_type: str, data: Path | None) -> None:
    """See the whole job, without account or money.

    A broker of its own on a simulated market: rents the cheapest GPU that fits, logs in
    over real SSH, runs nvidia-smi, says that it is done, shows the cost, and proves that
    nothing is left running. Everything that it started has ended when it ends.
    """
    begun = time.monotonic()
    with (
        on_interrupt(lambda: "Interrupted. The demo's broker and its machine have ended."),
        signals_go_to(signal.default_int_handler),
        _folder(data) as folder,
        _folder(None) as empty,
    ):
        broker = OwnBroker(folder, started_in=empty)
        try:
            session_id = _perform(broker, folder, gpu_type)
        except CommandFailed:
            for line in broker.last_words():
                say(f"  broker: {line}")
            raise
    seconds = time.monotonic() - begun
    click.echo(f"\n{session_id} was rented, proved, used and ended in {seconds:.0f} s.")
    click.echo("Nothing is left running. Next: gpu-broker serve --help")


def _perform(broker: OwnBroker, folder: Path, gpu_type: str) -> str:
    with broker.running() as client:
        _show_market(client, gpu_type)
        session, key = _rent(client, folder, gpu_type)
        with _ended_in_any_case(client, session["id"]):
            session = _launch(client, session["id"])
            _log_in(session, key, folder)
            _finish(client, session["id"])
        _show_cost(client, session["id"])
        _prove_nothing_is_rented(client)
    _prove_the_account_is_empty(broker)
    return str(session["id"])


def _show_market(client: Client, gpu_type: str) -> None:
    market = client.get(path_of("inventory"), provider=_SIMULATOR, limit=1).body
    offers = client.get(
        path_of("inventory"), provider=_SIMULATOR, gpu_type=gpu_type, verified=True, limit=1
    ).body["offers"]
    if not offers:
        raise CommandFailed(f"The simulated market has no {gpu_type}: `--gpu-type` takes another.")
    cheapest = offers[0]
    _tell(
        1,
        "market",
        f"{market['total']} offers; the cheapest verified {cheapest['gpu_type']} costs "
        f"{dollars(cheapest['price_per_hour'])}/h in {cell(cheapest['location'])}",
    )


def _rent(client: Client, folder: Path, gpu_type: str) -> tuple[Body, Path]:
    wish = {"gpu_type": gpu_type, "provider": _SIMULATOR, "reservation_hours": 1}
    created = client.post(
        path_of("sessions"), {"consumer_id": "demo", "workload_type": "llm", **wish}
    ).body
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text(created["ssh_private_key"])
    session: Body = created["session"]
    _tell(
        2,
        "rent",
        f"{session['id']}: {gpus(session)} at {dollars(session['price_per_hour'])}/h "
        f"from {session['offer_id']}, until {session['expires_at']} at the latest",
    )
    return session, key


def _launch(client: Client, session_id: str) -> Body:
    begun = time.monotonic()
    session = wait_for(client, session_id, {"running", *FINAL}, lambda line: _tell(3, "boot", line))
    if session["status"] != "running":
        raise CommandFailed(f"{session_id} is {session['status']}: {cell(session.get('error'))}")
    seconds = time.monotonic() - begun
    _tell(3, "boot", f"running: login and GPU proved after {seconds:.1f} s")
    return session


def _log_in(session: Body, key: Path, folder: Path) -> None:
    address = f"{session['ssh_user']}@{session['ssh_host']}:{session['ssh_port']}"
    known_hosts = folder / "known_hosts"
    known_hosts.write_text("".join(f"{line}\n" for line in session["known_hosts"]))
    with logged_in(session, key, known_hosts) as ssh:
        _tell(4, "login", f"{address} with the returned key; its host key is the proved one")
        _, stdout, _ = ssh.exec_command("nvidia-smi")
        table = stdout.read().decode(errors="replace")
        if stdout.channel.recv_exit_status() != 0:
            raise CommandFailed("nvidia-smi failed on the machine.")
    for line in table.splitlines():
        click.echo(f"    {printable(line)}")


def _finish(client: Client, session_id: str) -> None:
    client.post(path_of("sessions", session_id, "done"))
    session = wait_for(client, session_id, FINAL, lambda line: _tell(5, "done", line))
    _tell(5, "done", f"{session['status']} ({session['status_reason']}): its machine is gone")
    if session["status"] != "stopped":
        raise CommandFailed(f"{session_id} is {session['status']}: {cell(session.get('error'))}")


def _show_cost(client: Client, session_id: str) -> None:
    cost = client.get(path_of("costs"), session_id=session_id).body
    _tell(6, "cost", f"{dollars(cost['total_cost'])}, billed by the second")


def _prove_nothing_is_rented(client: Client) -> None:
    """The provider's list is read now and then: the last reading may still show the machine."""
    deadline = time.monotonic() + _SEEN_WITHIN_SECONDS
    while left := _machines_of(client):
        if time.monotonic() > deadline:
            raise CommandFailed(f"{left} machines are still in the simulated account.")
        time.sleep(0.5)
    _tell(7, "proof", "the broker sees no machine in the account")


def _machines_of(client: Client) -> int:
    providers = client.get(path_of("providers")).body["providers"]
    kinds = ("ours", "orphaned", "foreign")
    return sum(machines(provider, kind) or 0 for provider in providers for kind in kinds)


def _prove_the_account_is_empty(broker: OwnBroker) -> None:
    left = json.loads(broker.machines_in_account())["machines"]
    if left:
        raise CommandFailed(f"{len(left)} machines are left in the simulated account.")
    _tell(7, "proof", "the broker has stopped, and the account itself holds no machine")


def _tell(step: int, name: str, text: str) -> None:
    click.echo(f"{step}/{_STEPS} {name:<7} {text}")


@contextmanager
def _ended_in_any_case(client: Client, session_id: str) -> Iterator[None]:
    """No machine outlives a demo that fails or is interrupted."""
    try:
        yield
    except BaseException:
        with suppress(CommandFailed):
            client.delete(path_of("sessions", session_id))
        raise


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    if data is None:
        with tempfile.TemporaryDirectory(prefix="gpu-broker-demo-") as name:
            yield Path(name)
    else:
        data.mkdir(parents=True, exist_ok=True)
        yield data.absolute()
