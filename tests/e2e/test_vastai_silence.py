"""A marketplace that takes every connection and never says a word."""

from __future__ import annotations

from pathlib import Path
from socket import create_server, socket

from tests.e2e.cli_broker import CommandLine
from tests.waiting import PATIENCE


def test_a_marketplace_that_never_answers_keeps_no_broker_from_stopping(tmp_path: Path) -> None:
    """It ends within ten seconds, although the official client is waiting in a thread."""
    with create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE)
        port = silent.getsockname()[1]
        account = {"VASTAI_API_KEY": "k", "VASTAI_API_URL": f"http://127.0.0.1:{port}"}
        broker = CommandLine(tmp_path, account).start("serve", "--port", "0")
        try:
            asked = hear(silent, b"vastai-sdk")
            broker.terminate()
            assert broker.wait(10) == 0
        finally:
            broker.kill()
            broker.communicate()
        for connection in asked:
            connection.close()


def hear(silent: socket, word: bytes) -> list[socket]:
    """The connections up to the first whose request has `word` in it, all still open."""
    heard: list[socket] = []
    while True:
        connection, _ = silent.accept()
        connection.settimeout(PATIENCE)
        heard.append(connection)
        if word in connection.recv(65_536):
            return heard
