"""What a template asks of an offer.

It is text in the marketplace's own words. What cannot be read or judged is told, never
silently left out.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from providers.base import Offer, Template
from providers.gpus import gpu_key
from providers.json_text import parse_json

_MB_PER_GB = 1024

Term = Decimal | str | bool
"""What a condition compares."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a template asks of an offer."""

    field: str
    operator: str
    values: tuple[Term, ...]
    """One, or for `in` and `notin` any number."""

    def __str__(self) -> str:
        """`cuda_max_good gte 12.9`."""
        return f"{self.field} {self.operator} {', '.join(map(str, self.values))}"


@dataclass(frozen=True, slots=True)
class Asked:
    """The conditions of a template: those that make sense, and the others."""

    conditions: tuple[Condition, ...] = ()
    unjudged: tuple[str, ...] = ()
    """Names of the conditions that cannot be understood."""
    is_readable: bool = True


@dataclass(frozen=True, slots=True)
class TemplateFilter:
    """Which templates to list; None is no condition. Texts are parts, whatever their case."""

    name: str | None = None
    image: str | None = None
    provider: str | None = None
    recommended: bool | None = None
    use_ssh: bool | None = None

    def admits(self, template: Template) -> bool:
        """Whether the template meets every condition."""
        return (
            (self.name or "").casefold() in template.name.casefold()
            and (self.image or "").casefold() in template.image.casefold()
            and self.provider in {None, template.provider}
            and self.recommended in {None, template.recommended}
            and self.use_ssh in {None, template.use_ssh}
        )


def parse_conditions(template: Template) -> Asked:
    """The template's `extra_filters`, as far as they can be read."""
    try:
        filters = parse_json(template.extra_filters or "{}")
    except ValueError:
        return Asked(is_readable=False)
    if not isinstance(filters, dict):
        return Asked(is_readable=False)
    conditions: list[Condition] = []
    unjudged: list[str] = []
    for name, tests in filters.items():
        parsed = _parse_tests(name, tests if isinstance(tests, dict) else {"eq": tests})
        if parsed is None:
            unjudged.append(name)
        else:
            conditions += parsed
    return Asked(tuple(conditions), tuple(unjudged))


def judge(condition: Condition, offer: Offer) -> bool | None:
    """Whether `offer` meets `condition`; None where it does not tell what would have to be known.

    What every offer tells here (`_READ`) is always judged: unknown, it is not met.
    """
    is_ours = condition.field in _READ
    term = _term(condition.field, offer)
    if term is None:
        return False if is_ours else None
    pairs = [_comparable(condition.field, term, value) for value in condition.values]
    known = [pair for pair in pairs if pair is not None]
    if condition.operator in _ONE_OF_MANY:
        is_one = any(own == value for own, value in known)
        return (
            None if condition.values and not known else is_one is _ONE_OF_MANY[condition.operator]
        )
    if not known or (condition.operator in _ORDERS and not _is_ordered(known[0])):
        return None
    return bool(_COMPARE[condition.operator](*known[0]))


def holds(condition: Condition, offer: Offer) -> bool:
    """Whether `offer` meets `condition`, or does not tell."""
    return judge(condition, offer) is not False


def unmet(conditions: Iterable[Condition], offer: Offer) -> tuple[Condition, ...]:
    """The conditions that `offer` does not meet."""
    return tuple(condition for condition in conditions if not holds(condition, offer))


def untold(conditions: Iterable[Condition], offers: Collection[Offer]) -> tuple[str, ...]:
    """Names of the conditions that some of the offers do not tell enough about."""
    return tuple(
        condition.field
        for condition in conditions
        if any(judge(condition, offer) is None for offer in offers)
    )


_COMPARE: Mapping[str, Callable[[Term, Term], object]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_ORDERS = frozenset({"gt", "gte", "lt", "lte"})
_ONE_OF_MANY = {"in": True, "notin": False}


def _parse_tests(name: str, tests: Mapping[str, object]) -> list[Condition] | None:
    """None where one of them cannot be judged."""
    conditions = [_parse_test(name, word, value) for word, value in tests.items()]
    known = [condition for condition in conditions if condition is not None]
    return known if len(known) == len(conditions) else None


def _parse_test(name: str, word: str, value: object) -> Condition | None:
    parse = _PARSE.get(name, _parse_term)
    if word not in (_COMPARE.keys() | _ONE_OF_MANY.keys()):
        return None
    listed = value if isinstance(value, list) and word in _ONE_OF_MANY else [value]
    terms = [parse(item) for item in listed]
    known = tuple(term for term in terms if term is not None)
    return Condition(name, word, known) if len(known) == len(terms) else None


def _parse_term(value: object) -> Term | None:
    """A value whose kind the field's own will decide."""
    return value if isinstance(value, bool | str) else _parse_number(value)


def _parse_number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _parse_gpu(value: object) -> str | None:
    return gpu_key(value) if isinstance(value, str) else None


_FLAG_WORDS = {"true": True, "false": False}


def _parse_flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return _FLAG_WORDS.get(value) if isinstance(value, str) else None


def _parse_version(value: object) -> Decimal | None:
    """`535.86.05` as 535086005, a number that is this already, or only the beginning: `550`."""
    text = str(value).strip()
    parts = _VERSION.fullmatch(text)
    if parts is None:
        return None
    major, minor, patch = (int(part) for part in parts.groups("0"))
    is_packed = major >= _LEAST_PACKED_VERSION and parts[2] is None
    return Decimal(major if is_packed else (major * 1000 + minor) * 1000 + patch)


_VERSION = re.compile(r"(\d{1,10})(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?")
_LEAST_PACKED_VERSION = 1_000_000


def _term(field: str, offer: Offer) -> Term | None:
    """What the offer tells of a field: in the marketplace's own words, else in ours."""
    told = _PARSE.get(field, _parse_term)(offer.traits.get(field))
    return _READ[field](offer) if told is None and field in _READ else told


def _comparable(field: str, own: Term, value: Term) -> tuple[Term, Term] | None:
    """The offer's own term and a condition's value as terms of one kind; None if they are not."""
    if field in _VERSIONS:
        return _both(_parse_version(own), _parse_version(value))
    if isinstance(own, bool):
        return _both(own, _FLAGS.get(_word(value)))
    if isinstance(own, Decimal):
        return _both(own, Decimal(value) if isinstance(value, bool) else _parse_number(value))
    if own.count(".") > 1:
        return _both(_parse_version(own), _parse_version(value))
    return _both(_parse_number(own), _parse_number(value)) or (_word(own), _word(value))


def _both(own: Term | None, value: Term | None) -> tuple[Term, Term] | None:
    return None if own is None or value is None else (own, value)


def _is_ordered(pair: tuple[Term, Term]) -> bool:
    return all(isinstance(term, Decimal) for term in pair)


def _word(term: Term) -> str:
    """Words are compared in any spelling of the marketplace's tools."""
    return str(term).casefold().replace("_", " ").strip()


_VERSIONS = frozenset({"driver_version", "driver_vers"})
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def _number(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))


_READ: Mapping[str, Callable[[Offer], Term | None]] = {
    "cuda_max_good": lambda offer: _number(offer.cuda_version),
    "gpu_ram": lambda offer: Decimal(offer.vram_gb * _MB_PER_GB),
    "gpu_total_ram": lambda offer: Decimal(offer.vram_gb * offer.gpu_count * _MB_PER_GB),
    "num_gpus": lambda offer: Decimal(offer.gpu_count),
    "reliability": lambda offer: _number(offer.reliability),
    "reliability2": lambda offer: _number(offer.reliability),
    "gpu_name": lambda offer: gpu_key(offer.gpu_type),
    "verified": lambda offer: offer.verified,
}
"""The marketplace's names for what an offer tells."""

_PARSE: Mapping[str, Callable[[object], Term | None]] = {
    **dict.fromkeys(_READ, _parse_number),
    "gpu_name": _parse_gpu,
    "verified": _parse_flag,
}
