"""What people read on stdout: tables and cards; and with `-o json` the API's bytes, nothing else.

Numbers are shown as the API gives them. What is said beside the result goes to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import click

from broker.cli.client import Answer, Body

JSON = "json"
TABLE = "table"
_WIDER_THAN_ANY_TABLE = 1000
_GAP = 2
"""Blanks between two columns."""

Column = tuple[str, str | Callable[[Body], object]]
"""A heading, and what stands under it: a field of the row, or what is made of the row."""

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice([TABLE, JSON]),
    default=TABLE,
    show_default=True,
    help="A table for people, or the API's JSON and nothing else on stdout.",
)


def show(answer: Answer, output: str, present: Callable[[Body], None]) -> None:
    """The answer's own bytes with `-o json`; else `present` it to a person."""
    if output == JSON:
        print_raw(answer.raw)
        return
    present(answer.body)
    for warning in answer.body.get("warnings") or ():
        warn(f"{warning.get('message')} ({warning.get('code')})")


def show_report(report: Body, output: str, present: Callable[[Body], None]) -> None:
    """The same for what the command itself found out."""
    if output == JSON:
        print_json(report)
    else:
        present(report)


def print_raw(raw: bytes) -> None:
    """Bytes exactly as they are; a terminal gets a line end after them."""
    stream = sys.stdout.buffer
    stream.write(raw + b"\n" if sys.stdout.isatty() else raw)
    stream.flush()


def print_json(value: object) -> None:
    """A JSON document that the command itself made."""
    print_raw(json.dumps(value, ensure_ascii=False).encode())


def print_table(columns: Sequence[Column], rows: Iterable[Body], *, empty: str) -> None:
    """Rows under headings, or the sentence `empty` where there are none: nothing without one.

    A terminal that is narrow breaks cells between words; no word is cut, so that a terminal
    narrower than the words wraps the lines itself.
    """
    from rich.cells import cell_len  # noqa: PLC0415 - keeps `--help` quick
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    cells = [[cell(_value(row, what)) for _, what in columns] for row in rows]
    if not cells:
        if empty:
            click.echo(empty)
        return
    headings = [heading for heading, _ in columns]
    texts = [*zip(headings, *cells, strict=True)]
    console = Console(markup=False, highlight=False, emoji=False)
    room = console.width if sys.stdout.isatty() else _WIDER_THAN_ANY_TABLE
    widths = fit_widths(
        [max(map(cell_len, column)) for column in texts],
        [max(cell_len(word) for text in column for word in text.split()) for column in texts],
        room - _GAP * (len(columns) - 1),
    )
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for heading, width in zip(headings, widths, strict=True):
        table.add_column(heading, width=width)
    for row_cells in cells:
        table.add_row(*row_cells)
    console.width = sum(widths) + _GAP * len(columns)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def fit_widths(wanted: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths of columns: as `wanted`, the widest made narrower until all have `room`.

    None becomes narrower than its `least`, even where there is not enough room for that.
    """
    widths = list(wanted)
    while sum(widths) > room:
        shrinkable = [index for index, width in enumerate(widths) if width > least[index]]
        if not shrinkable:
            break
        widths[max(shrinkable, key=widths.__getitem__)] -= 1
    return widths


def _value(row: Body, what: str | Callable[[Body], object]) -> object:
    return row.get(what) if isinstance(what, str) else what(row)


def print_card(pairs: Iterable[tuple[str, object]]) -> None:
    """One thing, a line for each of its properties."""
    shown = [(name, cell(value)) for name, value in pairs]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        click.echo(f"{name:<{width}}  {value}".rstrip())


def print_fields(body: Body) -> None:
    """All fields of a JSON object, as they are called."""
    print_card((name.replace("_", " "), value) for name, value in body.items())


def say(text: str) -> None:
    """Something beside the result, in one line."""
    click.echo(printable(text), err=True)


def warn(text: str) -> None:
    """Something beside the result that deserves a look."""
    say(f"Warning: {text}")


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function that shows the present stage: one moving line on a terminal, else plain lines."""
    from rich.console import Console  # noqa: PLC0415
    from rich.status import Status  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield say
        return
    with Status("", console=console) as status:
        yield lambda text: status.update(Text(printable(text)))


def cell(value: object) -> str:
    """Any JSON value as text for one line; foreign text cannot reach the terminal's controls."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={cell(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(cell(item) for item in value) or "-"
    return printable(str(value))


def printable(text: str) -> str:
    """`text` without control characters."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def dollars(value: object) -> str:
    """An amount of USD."""
    return "-" if value is None else f"${cell(value)}"


def present_length(seconds: float) -> str:
    """`1 h 05 min`, `12 min`."""
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def gpus(row: Body) -> str:
    """`2x RTX 4090`."""
    return f"{row.get('gpu_count') or '?'}x {row.get('gpu_type') or '?'}"


def parse_instant(text: str) -> datetime:
    """An RFC 3339 instant of the API, aware, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def present_remaining(until: str | None, now: datetime) -> str:
    """`1 h 05 min`; `over` for what has passed; `-` for what is not known."""
    if not until:
        return "-"
    left = parse_instant(until) - now
    if left <= timedelta(0):
        return "over"
    return present_length(left.total_seconds())
