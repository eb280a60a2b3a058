"""How quickly the API answers, compared with a bare aiohttp handler that sends the same bytes.

The broker is the installed one, over 10,000 offers and 10,000 sessions. The two are asked in
turn, several times, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.bare import bare
from bench.brokers import Installed, embedded, installed
from bench.figures import Figure, count, per_second, percentile, seconds, share
from bench.load import Load, load
from bench.population import populate

OFFERS = SESSIONS = 10_000
CONNECTIONS = 32
_ROUNDS = 5
_SECONDS = 1.5
"""Of one round of one of the two."""
_MARKET = {
    "PROVIDERS_SIMULATOR_OFFERS": str(OFFERS + SESSIONS),
    "PROVIDERS_SIMULATOR_SSH": "false",
    "SIMULATOR_DRIFT": "0s",
}


@dataclass(frozen=True, slots=True)
class Question:
    """Something that consumers ask often."""

    name: str
    paths: Sequence[str]
    """Answers of one length."""
    least: float
    """How much of the bare handler's rate must be reached."""


async def measure() -> Sequence[Figure]:
    """Populate, then ask one question after the other."""
    with TemporaryDirectory() as folder:
        ids = await _populate(Path(folder, "data"))
        with installed(Path(folder), **_MARKET) as broker:
            asked = [
                figure for question in _questions(ids) for figure in _figures(question, broker)
            ]
    return asked


def _questions(session_ids: Sequence[str]) -> list[Question]:
    some = "gpu_type=RTX%204090&max_price=0.5&limit=50"
    sessions = [f"/api/v1/sessions/{session_id}" for session_id in session_ids]
    return [
        Question(f"inventory of {OFFERS:,}, 50 of a type", [f"/api/v1/inventory?{some}"], 0.5),
        Question(f"inventory of {OFFERS:,}, 1000", ["/api/v1/inventory?limit=1000"], 0.5),
        Question(f"one session of {SESSIONS:,}", sessions, 0.1),
        Question(f"50 of {SESSIONS:,} sessions", ["/api/v1/sessions?limit=50"], 0.03),
    ]


async def _populate(folder: Path) -> list[str]:
    """The sessions, in the data folder of a broker that does not run yet."""
    async with embedded(
        folder,
        providers__simulator__ssh=False,
        providers__simulator__offers=OFFERS + SESSIONS,
    ) as (_, parts):
        return await populate(parts, SESSIONS)


def _figures(question: Question, broker: Installed) -> list[Figure]:
    """What one question costs here and there."""
    with urllib.request.urlopen(broker.url + question.paths[0]) as answer:  # noqa: S310 (loopback)
        body: bytes = answer.read()
    file = broker.folder / "body"
    file.write_bytes(body)
    with bare(file) as bare_port:
        rounds = [
            (_round(bare_port, ["/"]), _round(broker.port, question.paths))
            for _ in range(_ROUNDS + 1)
        ][1:]
    ratios = [ours.rate / bare_one.rate for bare_one, ours in rounds]
    latencies = [latency for _, ours in rounds for latency in ours.latencies]
    name = question.name
    return [
        share(f"{name}: of the bare handler's rate", median(ratios), question.least),
        share(f"{name}: the same in the worst of {_ROUNDS} rounds", min(ratios)),
        per_second(f"{name}: answers", median(ours.rate for _, ours in rounds)),
        per_second(f"{name}: the bare handler's", median(one.rate for one, _ in rounds)),
        seconds(f"{name}: p99 under {CONNECTIONS} connections", percentile(latencies, 0.99)),
        count(f"{name}: bytes of the answer", len(body)),
    ]


def _round(port: int, paths: Sequence[str]) -> Load:
    return load(port, paths, CONNECTIONS, _SECONDS)
