"""What a terminal shows: narrow, without colours, without a cursor that moves."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from tests.unit.cli_stub import CREATED, RUNNING, SESSION, SESSION_ID, StubApi

pytestmark = pytest.mark.usefixtures("folder")

_ESCAPE = "\x1b"
_OFFER = {
    "id": "simulator-1000055",
    "gpu_type": "RTX 4090",
    "gpu_count": 2,
    "vram_gb": 24,
    "price_per_hour": 0.2787,
    "location": "North Carolina, US",
    "reliability": 0.9834,
    "verified": True,
    "cuda_version": 12.4,
}


def _on_a_terminal(*arguments: str, columns: int = 100, **environment: str) -> str:
    """What a terminal of this width gets; the command must exit with 0."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", "broker", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(theirs)
    shown = _read_all(ours)
    assert process.wait(60) == 0, shown
    return shown


def _read_all(terminal: int) -> str:
    """Until the last program has closed its side, which Linux reports as an error."""
    shown = b""
    try:
        while chunk := os.read(terminal, 65_536):
            shown += chunk
    except OSError:
        pass
    finally:
        os.close(terminal)
    return shown.decode()


@pytest.mark.parametrize("columns", [30, 60, 80, 200])
def test_a_narrow_terminal_breaks_lines_between_words(api: StubApi, columns: int) -> None:
    """Nothing is cut off, however little room there is."""
    api.answers("GET /api/v1/inventory", {"offers": [_OFFER], "count": 1, "total": 1})

    shown = _on_a_terminal("inventory", columns=columns)

    words = {"OFFER", "RELIABLE", "VERIFIED", "CUDA", "Carolina,", "0.2787", "0.9834", "12.4"}
    assert words - set(shown.replace("\x1b[1m", " ").replace("\x1b[0m", " ").split()) == set()
    assert _OFFER["id"] in shown


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_can_be_refused(api: StubApi, no_color: str) -> None:
    """NO_COLOR is what people set for all programs."""
    api.answers("GET /health", {"status": "ok"})
    api.answers("GET /api/v1/providers", {"providers": []})

    shown = _on_a_terminal("doctor", "--simulate", NO_COLOR=no_color)

    assert "is ready" in shown
    assert (_ESCAPE in shown) == (not no_color)


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_stages_are_shown_on_every_terminal(api: StubApi, term: str) -> None:
    """In one moving line, or in plain lines where the cursor cannot move; text is not markup."""
    booting = {**SESSION, "provider_instance_id": "[/red]"}
    api.answers("POST /api/v1/sessions", CREATED, 201)
    api.answers(f"GET /api/v1/sessions/{SESSION_ID}", booting)
    api.answers(f"GET /api/v1/sessions/{SESSION_ID}", RUNNING)

    shown = _on_a_terminal("rent", "--wait", TERM=term)

    assert "provisioning: machine [/red] boots" in shown
    assert (_ESCAPE in shown) == (term == "xterm")
