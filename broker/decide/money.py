"""What sessions cost: exact, per microsecond, in whole micro-dollars.

One rounding rule keeps every sum equal to every other: what an accrual has cost is rounded
once, cumulatively from its beginning, to the nearest micro-dollar. The cost of a stretch is
the difference of two such values, so days add up to the month and to the session exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from broker.model import Accrual, Meter

CURRENCY = "USD"

_MICRO = Decimal("0.000001")
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS_PER_HOUR = 3_600_000_000
_SECONDS_PER_HOUR = 3_600
_DAY = timedelta(days=1)


def shown(amount: Decimal) -> Decimal:
    """`amount` as it is shown everywhere: with six decimals."""
    return amount.quantize(_MICRO, rounding=ROUND_HALF_EVEN)


def price_of(price_per_hour: Decimal, span: timedelta) -> Decimal:
    """USD for `span` at this rate, not rounded."""
    return price_per_hour * Decimal(span // _MICROSECOND) / _MICROSECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time, its end excluded."""

    begins_at: datetime
    ends_at: datetime


def day_of(day: date) -> Period:
    """The UTC day."""
    return days(day, day)


def days(first: date, last: date) -> Period:
    """The UTC days from `first` to `last`, both included."""
    return Period(_midnight(first), _midnight(last) + _DAY)


def month_of(day: date) -> Period:
    """The UTC month that `day` is in."""
    first = day.replace(day=1)
    next_month = (first + timedelta(days=31)).replace(day=1)
    return Period(_midnight(first), _midnight(next_month))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def cost(accrual: Accrual, now: datetime, period: Period | None = None) -> Decimal:
    """USD, with six decimals, that `accrual` has cost until `now`, or within `period`."""
    return _dollars(_micros(accrual, now, period))


def _micros(accrual: Accrual, now: datetime, period: Period | None) -> int:
    begin, end = _stretch(accrual, now, period)
    return _cumulative(accrual, end) - _cumulative(accrual, begin)


def _stretch(accrual: Accrual, now: datetime, period: Period | None) -> tuple[datetime, datetime]:
    """The part of `accrual` that has passed and lies in `period`; empty where there is none."""
    begin = accrual.begins_at
    end = now if accrual.ends_at is None else min(accrual.ends_at, now)
    if period is not None:
        begin, end = max(begin, period.begins_at), min(end, period.ends_at)
    return begin, max(begin, end)


def _cumulative(accrual: Accrual, instant: datetime) -> int:
    """Micro-dollars from the beginning of `accrual` to `instant`, the nearest whole number."""
    price, scale = accrual.price_per_hour.as_integer_ratio()
    microseconds = (instant - accrual.begins_at) // _MICROSECOND
    whole, rest = divmod(price * microseconds, divisor := scale * _SECONDS_PER_HOUR)
    # A half goes to the even neighbour, as everywhere else.
    return whole + (2 * rest > divisor or (2 * rest == divisor and whole % 2 == 1))


def _dollars(micros: int) -> Decimal:
    return micros * _MICRO


@dataclass(frozen=True, slots=True)
class Summary:
    """What a period has cost so far; the parts add up to the total to the last digit."""

    period: Period
    total_cost: Decimal
    session_count: int
    """Sessions that were billed for some of it."""
    hours_used: Decimal
    by_provider: Mapping[str, Decimal]
    by_gpu_type: Mapping[str, Decimal]


def summarise(accruals: Iterable[Accrual], period: Period, now: datetime) -> Summary:
    """What `accruals` have cost within `period` until `now`."""
    billed = [(a, *_stretch(a, now, period)) for a in accruals]
    counted = [(a, end - begin) for a, begin, end in billed if end > begin]
    micros = [(a, _micros(a, now, period)) for a, _ in counted]
    microseconds = sum(duration // _MICROSECOND for _, duration in counted)
    return Summary(
        period=period,
        total_cost=_dollars(sum(amount for _, amount in micros)),
        session_count=len({a.session_id for a, _ in counted}),
        hours_used=shown(Decimal(microseconds) / _MICROSECONDS_PER_HOUR),
        by_provider=_totals(micros, lambda a: a.provider),
        by_gpu_type=_totals(micros, lambda a: a.gpu_type),
    )


def _totals(
    micros: Iterable[tuple[Accrual, int]], part: Callable[[Accrual], str]
) -> Mapping[str, Decimal]:
    totals: dict[str, int] = defaultdict(int)
    for accrual, amount in micros:
        totals[part(accrual)] += amount
    return {name: _dollars(amount) for name, amount in sorted(totals.items())}


def daily(accruals: Iterable[Accrual], period: Period, now: datetime) -> list[Summary]:
    """A summary of every UTC day of `period`, days without cost included.

    Their costs add up to those of the whole period to the last digit.
    """
    by_day: dict[datetime, list[Accrual]] = {day: [] for day in _midnights(period)}
    for accrual in accruals:
        begin, end = _stretch(accrual, now, period)
        for day in _midnights(Period(begin, end)) if begin < end else ():
            by_day[day].append(accrual)
    return [summarise(billed, day_of(day.date()), now) for day, billed in by_day.items()]


def _midnights(period: Period) -> Iterable[datetime]:
    """The beginnings of the UTC days that `period` touches."""
    day = _midnight(period.begins_at.date())
    while day < period.ends_at:
        yield day
        day += _DAY


@dataclass(frozen=True, slots=True)
class LiveCosts:
    """What live sessions cost, at one instant."""

    sessions: int
    cost: Decimal
    """USD that they have cost so far, since their beginnings."""
    burn_per_hour: Mapping[str, Decimal]
    """Provider -> USD per hour of the machines that are not proved gone."""


def live_costs(meters: Iterable[Meter], now: datetime) -> LiveCosts:
    """What the live sessions of `meters` cost."""
    live = list(meters)
    burn: dict[str, Decimal] = defaultdict(Decimal)
    billed = [(meter.accrual, meter.is_running) for meter in live if meter.accrual is not None]
    for accrual, is_running in billed:
        burn[accrual.provider] += accrual.price_per_hour * is_running
    return LiveCosts(
        sessions=len({meter.session_id for meter in live}),
        cost=sum((cost(accrual, now) for accrual, _ in billed), Decimal(0)),
        burn_per_hour=burn,
    )
