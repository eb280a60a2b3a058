"""How quickly the API answers, compared with a bare aiohttp handler that sends the same bytes.

The broker is the installed one: with 10,000 offers, and then with 10,000 running sessions, which
it goes on looking after. It and the handler are asked in turn, several times, so that whatever
else the machine does meets both.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.bare import Bare, bare
from bench.brokers import Installed, embedded, installed
from bench.figures import Figure, count, per_second, percentile, seconds, share
from bench.load import Load, load
from bench.population import populate
from bench.processes import cpu_seconds

OFFERS = SESSIONS = 10_000
CONNECTIONS = 32
_ROUNDS = 5
_SECONDS = 1.5
"""Of one round of one of the two."""


@dataclass(frozen=True, slots=True)
class Question:
    """Something that consumers ask often."""

    name: str
    route: str
    paths: Sequence[str]
    """Answers of one length."""
    least: float
    """How much of the bare handler's rate must be reached."""


async def measure() -> Sequence[Figure]:
    """First the offers, then the sessions."""
    with TemporaryDirectory() as folder:
        offers = _asked(Path(folder), OFFERS, _about_offers())
    with TemporaryDirectory() as folder:
        ids = await _populate(Path(folder, "data"))
        sessions = _asked(Path(folder), SESSIONS, _about_sessions(ids))
    return [*offers, *sessions]


def _asked(folder: Path, offers: int, questions: Sequence[Question]) -> list[Figure]:
    """The figures of some questions to a broker in `folder`, on a market of that size."""
    environment = {
        "PROVIDERS_SIMULATOR_OFFERS": str(offers),
        "PROVIDERS_SIMULATOR_SSH": "false",
        "SIMULATOR_DRIFT": "0s",
    }
    with installed(folder, **environment) as broker:
        return [figure for question in questions for figure in _figures(question, broker)]


def _about_offers() -> list[Question]:
    path = "/api/v1/inventory"
    some = f"{path}?gpu_type=RTX%204090&max_price=0.5&limit=50"
    return [
        Question(f"50 of a type, of {OFFERS:,} offers", path, [some], 0.5),
        Question(f"1000 of {OFFERS:,} offers", path, [f"{path}?limit=1000"], 0.5),
    ]


def _about_sessions(ids: Sequence[str]) -> list[Question]:
    path = "/api/v1/sessions"
    each = [f"{path}/{one}" for one in ids]
    return [
        Question(f"one of {SESSIONS:,} sessions", f"{path}/{{id}}", each, 0.1),
        Question(f"50 of {SESSIONS:,} sessions", path, [f"{path}?limit=50"], 0.03),
    ]


async def _populate(folder: Path) -> list[str]:
    """The sessions, in the data folder of a broker that does not run yet."""
    market = {"providers__simulator__ssh": False, "providers__simulator__offers": SESSIONS}
    async with embedded(folder, **market) as (_, parts):
        return await populate(parts, SESSIONS)


def _figures(question: Question, broker: Installed) -> list[Figure]:
    """What one question costs here and there."""
    with urllib.request.urlopen(broker.url + question.paths[0]) as answer:  # noqa: S310 (loopback)
        body: bytes = answer.read()
    file = broker.folder / "body"
    file.write_bytes(body)
    with bare(question.route, file) as handler:
        rounds = [(_ask(handler, question), _ask(broker, question)) for _ in range(_ROUNDS + 1)][1:]
    rates = [ours.load.rate / theirs.load.rate for theirs, ours in rounds]
    costs = [theirs.cost / ours.cost for theirs, ours in rounds]
    latencies = [latency for _, ours in rounds for latency in ours.load.latencies]
    name = question.name
    return [
        share(f"{name}: of the bare handler's rate", median(rates), question.least),
        share(f"{name}: the same in the worst of {_ROUNDS} rounds", min(rates)),
        share(f"{name}: the same by the time that both computed", median(costs)),
        seconds(f"{name}: p99 under {CONNECTIONS} connections", percentile(latencies, 0.99)),
        per_second(f"{name}: answers", median(ours.load.rate for _, ours in rounds)),
        per_second(f"{name}: the bare handler's", median(theirs.load.rate for theirs, _ in rounds)),
        count(f"{name}: bytes of the answer", len(body)),
    ]


@dataclass(frozen=True, slots=True)
class Round:
    """What a client saw, and what its answers cost the server."""

    load: Load
    computed: float

    @property
    def cost(self) -> float:
        """Seconds computed for one answer, on all cores."""
        return self.computed / len(self.load.latencies)


def _ask(server: Bare | Installed, question: Question) -> Round:
    before = cpu_seconds(server.pid)
    seen = load(server.port, question.paths, CONNECTIONS, _SECONDS)
    return Round(seen, cpu_seconds(server.pid) - before)
