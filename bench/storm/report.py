"""The report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Figure, count, seconds
from bench.storm.audit import Evidence, Findings
from bench.storm.troubles import STARVED


@dataclass(frozen=True)
class Outcome:
    """Everything that a run tells."""

    evidence: Evidence
    findings: Findings
    faults: Mapping[str, int]
    """What went wrong -> how often."""
    unrest: Sequence[str]
    """What did not come to rest, or does not agree with the accounts."""
    left: Sequence[str]
    """What was left when everything had been ended."""
    foreign: Sequence[str]
    """What was done to machines of others."""
    deaths: Sequence[str]
    """Brokers that ended by themselves, or did not when they should."""

    def chronicle(self) -> str:
        """What went wrong when, and how far the broker's clock was ahead, as text."""
        lines = [
            *(
                f"{one.begins:%T.%f} {f'until {one.ends:%T.%f}' if one.ends else ''}"
                f" {one.provider or 'broker'}: {one.kind}"
                for one in self.evidence.troubles
            ),
            *(f"{one.since:%T.%f} clock ahead by {one.ahead}" for one in self.evidence.shifts),
        ]
        return "".join(f"{line}\n" for line in sorted(lines))

    @property
    def problems(self) -> list[str]:
        """A line for everything that must not be."""
        found = self.findings
        kinds = {
            "leaked": found.leaks,
            "rented twice": found.double_rentals,
            "final while its machine lived": found.early_ends,
            "wrong end": found.wrong_ends,
            "cost": found.cost_differences,
            "no rest": self.unrest,
            "left": self.left,
            "foreign": self.foreign,
            "ended by itself": self.deaths,
            "answered": found.answers,
        }
        return [f"{kind}: {text}" for kind, texts in kinds.items() for text in texts]


def figures(outcome: Outcome, seed: int) -> list[Figure]:
    """The lines of the table."""
    evidence, found = outcome.evidence, outcome.findings
    ends = Counter(
        f"{row['status']}, {row['reason']}" for row in evidence.records.sessions
    ).most_common()
    return [
        Figure("seed", str(seed)),
        count("sessions", len(evidence.records.sessions)),
        count("machines", len(evidence.machines)),
        *(count(f"sessions {name}", number) for name, number in ends),
        *(count(f"fault: {name}", number) for name, number in sorted(outcome.faults.items())),
        count("starts", sum(one.kind == "down" for one in evidence.troubles)),
        Figure("time without a core to run on", f"{_starved(evidence):.0f} s"),
        count("machines judged", found.judged),
        count("undisturbed", found.undisturbed),
        seconds("latest destroy call after an undisturbed end", found.latest_call),
        Figure(
            "machine-seconds beyond the bound",
            f"{found.leaked_seconds:.1f}",
            "0",
            found.leaked_seconds == 0,
        ),
        count("double rentals", len(found.double_rentals), 0),
        count("sessions final while their machines lived", len(found.early_ends), 0),
        count("wrong ends", len(found.wrong_ends), 0),
        count("machines of others touched", len(outcome.foreign), 0),
        count("rows and machines that do not agree", len(outcome.unrest), 0),
        count("left at the end", len(outcome.left), 0),
        count("costs wrong by more than a second", len(found.cost_differences), 0),
        count("brokers that ended by themselves", len(outcome.deaths), 0),
        count("answers with status 500", len(found.answers), 0),
    ]


def _starved(evidence: Evidence) -> float:
    """Seconds for which the computer was busy with something else."""
    spans = (
        (one.ends or evidence.now) - one.begins for one in evidence.troubles if one.kind == STARVED
    )
    return sum(span.total_seconds() for span in spans)
