"""The installed command leaves a market while a machine runs there."""

from __future__ import annotations

from tests.e2e.cli_broker import CommandLine, serving
from tests.e2e.conftest import RENT


def test_a_broker_without_its_market_looks_after_what_is_left(apart: CommandLine) -> None:
    """It starts, tells what hangs on it, ends it; and after that there is no reason to start."""
    with serving(apart):
        session = apart.ask(*RENT)["session"]
        held = apart.ask("sessions", "hold", session["id"], "--hours", "2", "--reason", "a look")
        assert held["hold_reason"] == "a look"

    with serving(apart, simulate=False):
        (account,) = apart.ask("providers")["providers"]
        assert account["draining"] is True
        examined = apart.run("doctor", "--database", apart.database)
        assert "draining: 1 session left" in examined.stdout
        (instance,) = apart.ask("providers", "instances")["accounts"][0]["instances"]
        assert (instance["ownership"], instance["session_id"]) == ("ours", session["id"])
        refused = apart.run(*RENT)
        assert (refused.returncode, "takes no new sessions" in refused.stderr) == (1, True)
        apart.succeed("sessions", "delete", session["id"])

    refused = apart.run("serve", "--database", apart.database, "--port", "0")
    assert refused.returncode == 2
    assert "No provider is configured" in refused.stderr
