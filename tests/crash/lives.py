"""The lives of one broker: a doomed one dies at an effect of its own, the next one goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.effects import Effect, Moment
from tests.crash.victim import Victim
from tests.e2e.cli_broker import is_ready, url_in
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
_LOG = "serve.log"


class Died(Exception):
    """The broker is dead; whoever asks it for anything is told so."""


@dataclass
class Doomed(Victim):
    """A victim that dies by itself, and whose market may be odd."""

    is_odd: bool = False
    habits: tuple[str, ...] = ()
    """Of the odd market, while the broker is doomed."""
    options: tuple[str, ...] = ()
    """For `serve`, while the broker is doomed."""
    token: str = ""
    """Of the last session that was rented."""

    def live_until(self, effect: Effect, moment: Moment, times: int = 1) -> None:
        """Start a broker that will die there."""
        habits = [f"--{habit}" for habit in self.habits]
        self._launch(f"--at={effect}:{moment}:{times}", *habits, options=self.options)

    def start(self) -> None:
        """Start the broker that lives on, the installed command where the market is not odd."""
        if self.is_odd:
            self._launch()
            self.until_ready()
        else:
            super().start()

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def has_died(self, patience: float) -> bool:
        """Whether it has been killed by the time that `patience` is over."""
        assert self.process is not None
        try:
            return self.process.wait(patience) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The body of the answer; raises Died where there is none."""
        status, answer = self.call(method, path, body)
        if status == 0:
            raise Died
        assert status < 400, (method, path, answer)
        return answer

    def until_it_answers(self) -> None:
        """Wait until it listens; raises Died."""
        log = self.folder / _LOG
        wait_until(lambda: not self.is_alive or url_in(log))
        self._require_life()
        self.url = url_in(log)

    def until_ready(self) -> None:
        """Wait until it takes sessions; raises Died."""
        self.until_it_answers()
        wait_until(lambda: not self.is_alive or is_ready(self.url))
        self._require_life()

    def _require_life(self) -> None:
        if not self.is_alive:
            raise Died((self.folder / _LOG).read_text())

    def suffer(self, fault: str, operation: str, **fields: Any) -> None:
        """Plan a misfortune of the simulated market."""
        self.ask("POST", "/simulator/faults", {"fault": fault, "operation": operation, **fields})

    def open(self, **fields: Any) -> str:
        """Rent, and return the id when the answer is in."""
        body = {"consumer_id": "somebody", "workload_type": "llm", **fields}
        if "reservation_minutes" not in body:
            body["reservation_hours"] = 1
        answer = self.ask("POST", "/api/v1/sessions", body)
        self.token = answer["session_token"]
        return str(answer["session"]["id"])

    def running(self, **fields: Any) -> str:
        """Rent, and return the id when it runs."""
        session_id = self.open(**fields)
        self.until_it_is(session_id, "running")
        return session_id

    def until_it_is(self, session_id: str, *statuses: str) -> Any:
        """The session as soon as it has one of these statuses; raises Died."""
        return self.until_found(
            lambda: (
                seen
                if (seen := self.ask("GET", f"/api/v1/sessions/{session_id}"))["status"] in statuses
                else None
            )
        )

    def until_found(self, look: Callable[[], Any]) -> Any:
        """What `look` finds as soon as it finds something; raises Died."""
        found: list[Any] = []

        def is_found() -> bool:
            found[:] = [look()]
            return bool(found[0])

        wait_until(is_found)
        return found[0]

    def _launch(self, *own: str, options: tuple[str, ...] = ()) -> None:
        odd = ["--odd"] if self.is_odd else []
        serve = ["serve", "--simulate", "--port", "0", *options]
        with (self.folder / _LOG).open("w") as log:
            self.process = subprocess.Popen(  # noqa: S603 - a program of the tests
                [sys.executable, "-m", "tests.crash.doomed", *odd, *own, *serve],
                cwd=self.folder,
                env={**self.command_line.variables(), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
