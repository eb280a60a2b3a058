"""Figures: what was measured, what it must reach, and the table of all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

_HEAD = ("part", "figure", "measured", "must reach", "")
Form = Callable[[float], str]

_VERDICTS = {True: "ok", False: "MISSED", None: ""}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    measured: str
    limit: str = ""
    """What it must reach; empty for what is told as information."""
    is_met: bool | None = None


Row = tuple[str, Figure]
"""The part, and one of its figures."""


def seconds(what: str, value: float, below: float | None = None) -> Figure:
    """A time, judged where there is a limit."""
    return _judged(what, value, below, _time)


def megabytes(what: str, value: float, below: float | None = None) -> Figure:
    """Memory, judged where there is a limit."""
    return _judged(what, value, below, lambda amount: f"{amount:.0f} MB")


def ratio(what: str, value: float, below: float | None = None) -> Figure:
    """A ratio of two measurements of this run, judged where there is a limit."""
    return _judged(what, value, below, lambda amount: f"{amount:.2f}")


def share(what: str, value: float, least: float | None = None) -> Figure:
    """A ratio of two measurements of this run that must not be lower than its limit."""
    if least is None:
        return Figure(what, f"{value:.3f}")
    return Figure(what, f"{value:.3f}", f"at least {least}", value >= least)


def per_second(what: str, value: float) -> Figure:
    """A rate, as information."""
    return Figure(what, f"{value:,.0f} /s")


def count(what: str, value: int, wanted: int | None = None) -> Figure:
    """How many, judged where it must be a certain number."""
    if wanted is None:
        return Figure(what, str(value))
    return Figure(what, str(value), str(wanted), value == wanted)


def fits(figure: Figure) -> bool:
    """Whether a figure is what it must be."""
    return figure.is_met is not False


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def encode(figures: Iterable[Figure]) -> str:
    """Figures as text for another process."""
    return json.dumps([asdict(figure) for figure in figures])


def decode(text: str) -> list[Figure]:
    """The figures in the text of another process."""
    return [Figure(**fields) for fields in json.loads(text)]


def show(rows: Sequence[Row], *, is_plain: bool) -> None:
    """Print the table."""
    lines = [(part, one.what, one.measured, one.limit, _VERDICTS[one.is_met]) for part, one in rows]
    if is_plain:
        _print_plain([_HEAD, *lines])
        return
    table = Table(*_HEAD)
    for line, (_, one) in zip(lines, rows, strict=True):
        table.add_row(*line, style=None if fits(one) else "bold red")
    Console().print(table)


def _print_plain(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def _judged(what: str, value: float, below: float | None, form: Form) -> Figure:
    if below is None:
        return Figure(what, form(value))
    return Figure(what, form(value), f"below {form(below)}", value < below)


def _time(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"
