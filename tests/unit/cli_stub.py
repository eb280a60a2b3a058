"""Helpers of the tests about the command line: a stub of the API, and running a command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from click.testing import CliRunner, Result

from broker.cli import main

SESSION_ID = "sess-abc2345xyz7"
PRIVATE_KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nnot a real one\n-----END OPENSSH PRIVATE KEY-----\n"
)
KNOWN_HOST = "[127.0.0.1]:40022 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFake"

SESSION: Mapping[str, Any] = {
    "id": SESSION_ID,
    "consumer_id": "me",
    "provider": "simulator",
    "offer_id": "simulator-17",
    "provider_instance_id": "i-1",
    "gpu_type": "RTX 4090",
    "gpu_count": 1,
    "status": "provisioning",
    "status_reason": None,
    "error": None,
    "ssh_host": None,
    "ssh_port": None,
    "ssh_user": None,
    "known_hosts": [],
    "price_per_hour": 0.21,
    "accrued_cost": 0.000117,
    "location": "Frankfurt, DE",
    "created_at": "2026-01-29T12:00:00.000Z",
    "expires_at": "2099-01-29T13:00:00.000Z",
    "stopped_at": None,
    "attempts": [],
    "labels": {},
    "name": None,
}
RUNNING: Mapping[str, Any] = {
    **SESSION,
    "status": "running",
    "ssh_host": "127.0.0.1",
    "ssh_port": 40022,
    "ssh_user": "root",
    "known_hosts": [KNOWN_HOST],
}
CREATED: Mapping[str, Any] = {
    "session": SESSION,
    "ssh_private_key": PRIVATE_KEY,
    "session_token": "token",
    "retries_attempted": 0,
    "warnings": [],
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    body: Any
    idempotency_key: str | None = None


@dataclass(slots=True)
class StubApi:
    """Answers what it was told to, in order; the last answer of a path goes on for ever."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    before_answering: Callable[[str], None] = lambda _: None
    _answers: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    """A status of 0: the connection is cut instead."""

    def answers(self, request: str, body: object, status: int = 200) -> None:
        """`request` is `GET /path`, without the query."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._answers.setdefault(request, []).append((status, raw))

    def loses_the_answer(self, request: str) -> None:
        """The request arrives, and its client never learns what became of it."""
        self.answers(request, b"", 0)

    def answer(self, method: str, path: str) -> tuple[int, bytes]:
        """The next answer."""
        self.before_answering(f"{method} {path}")
        queue = self._answers.get(f"{method} {path.partition('?')[0]}")
        if not queue:
            return 404, b'{"error": "The stub knows nothing of this.", "code": "unknown"}'
        return queue.pop(0) if len(queue) > 1 else queue[0]


@contextmanager
def stub_api() -> Iterator[StubApi]:
    """A stub of the API on a free port of loopback."""
    stub = StubApi()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(sent) if sent else None
            key = self.headers.get("Idempotency-Key")
            stub.asked.append(Asked(self.command, self.path, body, key))
            status, raw = stub.answer(self.command, self.path)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - the names are the base class's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stub.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()


def gpu_broker(*arguments: str) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, list(arguments))
