"""A broker in a process of its own, to be killed at a chosen moment and started again."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tests.e2e.cli_broker import CommandLine, start_broker
from tests.waiting import PATIENCE, wait_until


@dataclass
class Victim:
    """One data folder, and the broker that works on it from time to time."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    url: str = ""
    """Where it answers, once it has been started."""
    process: Popen[str] | None = None
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16))

    @property
    def command_line(self) -> CommandLine:
        return CommandLine(self.folder, dict(self.settings))

    def start(self) -> None:
        """Start the broker, and return when it takes sessions."""
        self.process, self.url = start_broker(self.command_line, "--simulate")

    def kill(self) -> None:
        """SIGKILL: nothing can be tidied up."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, signum: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(signum)
        return process.wait(PATIENCE)

    def call(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[int, Any]:
        """The status and the decoded body; (0, None) where the broker died under the request.

        `key` is the request's Idempotency-Key.
        """
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, method=method)  # noqa: S310 (ours)
        request.add_header("Content-Type", "application/json")
        if key is not None:
            request.add_header("Idempotency-Key", key)
        try:
            with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)
        except (URLError, OSError):
            return 0, None

    def calling(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> Future[tuple[int, Any]]:
        """The same, going on in the background."""
        return self.pool.submit(self.call, method, path, body, key)

    def rent(
        self, consumer_id: str = "somebody", key: str | None = None, **fields: Any
    ) -> Future[tuple[int, Any]]:
        """POST /sessions, going on in the background."""
        body = {"consumer_id": consumer_id, "workload_type": "llm", "reservation_hours": 1}
        return self.calling("POST", "/api/v1/sessions", body | fields, key)

    def sessions(self) -> list[Any]:
        """All sessions, the newest first; none while nobody answers."""
        status, body = self.call("GET", "/api/v1/sessions")
        return list(body["sessions"]) if status == 200 else []

    def until(self, is_so: Callable[[list[Any]], object]) -> list[Any]:
        """The sessions as soon as the condition holds."""
        wait_until(lambda: is_so(self.sessions()))
        return self.sessions()

    def end_all(self) -> None:
        """End every session, and return when all are final."""
        for session in self.sessions():
            self.call("DELETE", f"/api/v1/sessions/{session['id']}")
        self.until(lambda all_: all(one["status"] in {"stopped", "failed"} for one in all_))

    def machines(self) -> Any:
        """What the account holds."""
        _, body = self.call("GET", "/api/v1/providers")
        return body["providers"][0]["machines"]

    def rented(self) -> list[str]:
        """The label of every machine that was ever made, read from the account itself."""
        with sqlite3.connect(self.folder / "data" / "simulator.db") as account:
            return [label for (label,) in account.execute("SELECT launch ->> 'label' FROM machine")]

    def close(self) -> None:
        """Leave nothing running."""
        self.kill()
        self.pool.shutdown(cancel_futures=True)
