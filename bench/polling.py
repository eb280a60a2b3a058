"""A client of `GET /health` in a process of its own: `python -m bench.polling PORT`.

It asks at a steady pace until its standard input is closed, then prints every latency
in seconds as JSON. A latency counts from the instant at which the request was due, so
that one slow answer is not hidden by the requests that it held up.
"""

from __future__ import annotations

import http.client
import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

PACE = 0.02
"""Seconds between two requests."""

_OK = 200


class Polling:
    """What the client has measured, once it has ended."""

    latencies: list[float]


@contextmanager
def polled(port: int) -> Iterator[Polling]:
    """Ask the broker on `port` while the block runs."""
    polling = Polling()
    command = [sys.executable, "-m", "bench.polling", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout
        client.stdout.readline()
        yield polling
        output, _ = client.communicate()
    polling.latencies = json.loads(output)


def poll(port: int) -> list[float]:
    """Ask until standard input is closed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    latencies: list[float] = []
    begun = due = monotonic()
    while not select.select([sys.stdin], [], [], max(due - monotonic(), 0))[0]:
        connection.request("GET", "/health")
        with connection.getresponse() as response:
            response.read()
            assert response.status == _OK, response.status
        if not latencies:
            print("begun", flush=True)
        latencies.append(monotonic() - due)
        due = begun + len(latencies) * PACE
    return latencies


if __name__ == "__main__":
    print(json.dumps(poll(int(sys.argv[1]))))
