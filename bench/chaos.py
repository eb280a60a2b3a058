"""A broker under everything that can go wrong at once, and the account of what became of it.

    python -m bench.chaos --minutes 10 --seed 7

The installed broker runs in a process of its own against both simulated marketplaces, with their
real machines. Storms and calms take turns; in a storm, by chance from the seed, marketplaces fail
in all their ways, and the broker is killed, frozen, misled about the time, and kept from its
database and disk. At the end all is well again, and everything must come to rest. Exit code 1:
something that must not be was found.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from bench.figures import fits, show
from bench.storm.audit import Evidence, Judge, disagreements
from bench.storm.consumers import Crowd
from bench.storm.markets import Markets, open_markets
from bench.storm.records import Records, read
from bench.storm.report import Outcome, figures
from bench.storm.starving import watch_cores
from bench.storm.target import Target
from bench.storm.troubles import Troubles
from bench.storm.weather import Weather
from broker.clock import utcnow
from broker.model import KeyType
from broker.ssh.keys import generate

_STORM, _CALM = 20.0, 12.0
_REST = 150.0
"""Seconds within which everything must come to rest."""
_BETWEEN_LOOKS = 0.5
_UNDER_WAY = {"pending", "provisioning", "stopping"}


async def run(minutes: float, seed: int, folder: Path) -> Outcome:
    """Everything that a run tells; its files are in `folder`."""
    chance = random.Random(seed)
    troubles = Troubles(utcnow)
    async with open_markets(folder) as markets:
        target = Target(folder, markets.environment(), troubles)
        weather = Weather(target, markets, troubles, random.Random(chance.random()))
        key = generate(KeyType.ED25519, "chaos").public_line
        crowd = Crowd(target.url, key, random.Random(chance.random()), utcnow)
        watching = asyncio.create_task(watch_cores(target, troubles))
        try:
            await target.start()
            await _rage(minutes, target, weather, markets, crowd)
            return await _rest(target, weather, markets, crowd, troubles)
        finally:
            watching.cancel()
            await target.close()


async def _rage(
    minutes: float, target: Target, weather: Weather, markets: Markets, crowd: Crowd
) -> None:
    """Storms and calms in turn, with consumers coming and going."""
    until = monotonic() + minutes * 60
    around = [asyncio.create_task(one) for one in (crowd.arrive(), target.watch())]
    try:
        while (left := until - monotonic()) > 0:
            await weather.storm(min(_STORM, left))
            await asyncio.sleep(_CALM)
            markets.read_calls()
    finally:
        for one in around:
            one.cancel()
        await asyncio.gather(*around, return_exceptions=True)


async def _rest(
    target: Target, weather: Weather, markets: Markets, crowd: Crowd, troubles: Troubles
) -> Outcome:
    """All is well again: what is running goes on, then it is ended, and nothing is left."""

    def records() -> Records:
        return read(target.database, utcnow() + target.shifts[-1].ahead)

    def disagree() -> list[str]:
        rows = records()
        under_way = [
            f"{row['id']} is {row['status']}" for row in rows.live if row["status"] in _UNDER_WAY
        ]
        return under_way + disagreements(rows, markets.alive())

    at_rest = await _settled(disagree)
    await crowd.end_all([(row["id"], row["consumer_id"]) for row in records().live])
    left = await _settled(
        lambda: [
            *(f"{row['id']} is {row['status']}" for row in records().live),
            *(f"{one.provider} {one.label} is left" for one in markets.alive()),
        ]
    )
    troubles.end_all()
    evidence = Evidence(
        records(), markets.machines(), crowd.all, troubles.all, target.shifts, utcnow()
    )
    return Outcome(
        evidence=evidence,
        findings=Judge(evidence).judge(),
        faults=weather.counts,
        unrest=at_rest,
        left=left,
        foreign=[*sorted(markets.touched), *markets.missing_strangers()],
        deaths=[f"exit code {code}" for code in target.died]
        + ["a stop took too long"] * target.slow_stops,
    )


async def _settled(wrong: Callable[[], list[str]]) -> list[str]:
    """What is still wrong when the time for it is over."""
    found = wrong()
    with suppress(TimeoutError):
        async with asyncio.timeout(_REST):
            while found:
                await asyncio.sleep(_BETWEEN_LOOKS)
                found = wrong()
    return found


def main(arguments: Sequence[str]) -> int:
    """Run, and print the report; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description="Torment a broker.")
    parser.add_argument("--minutes", type=float, default=5.0, help="before the quiet at the end")
    parser.add_argument("--seed", type=int, help="of everything that goes wrong")
    parser.add_argument("--folder", type=Path, help="an empty one, to keep database and log in")
    parser.add_argument("--plain", action="store_true", help="print the table as plain text")
    options = parser.parse_args(arguments)
    if options.folder and options.folder.exists() and any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty")
    seed = random.randrange(10_000) if options.seed is None else options.seed
    print(f"seed {seed}, {options.minutes:g} minutes", flush=True)
    with TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        outcome = asyncio.run(run(options.minutes, seed, folder))
        (folder / "weather.txt").write_text(outcome.chronicle())
    rows = [("chaos", figure) for figure in figures(outcome, seed)]
    show(rows, is_plain=options.plain)
    for problem in outcome.problems:
        print(problem)
    return 0 if all(fits(figure) for _, figure in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
