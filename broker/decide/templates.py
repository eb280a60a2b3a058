"""What a template asks of an offer.

It is text in the marketplace's own words. What cannot be read or judged is told, never
silently left out.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from providers.base import Offer, Template
from providers.gpus import gpu_key

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


@dataclass(frozen=True, slots=True)
class Asked:
    """The conditions of a template: those that offers can be held against, and the others."""

    conditions: tuple[Condition, ...] = ()
    unjudged: tuple[str, ...] = ()
    """Names of the conditions that our offers do not tell enough about."""
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
        filters = json.loads(template.extra_filters or "{}")
    except (ValueError, RecursionError):
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


def holds(condition: Condition, offer: Offer) -> bool:
    """Whether `offer` meets `condition`; what is unknown of an offer never does."""
    term = _READ[condition.field](offer)
    if term is None:
        return False
    if condition.operator in _ONE_OF_MANY:
        return (term in condition.values) is _ONE_OF_MANY[condition.operator]
    return bool(_COMPARE[condition.operator](term, condition.values[0]))


_COMPARE: Mapping[str, Callable[[Term, Term], object]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_ONE_OF_MANY = {"in": True, "notin": False}


def _parse_tests(name: str, tests: Mapping[str, object]) -> list[Condition] | None:
    """None where one of them cannot be judged."""
    conditions = [_parse_test(name, word, value) for word, value in tests.items()]
    known = [condition for condition in conditions if condition is not None]
    return known if len(known) == len(conditions) else None


def _parse_test(name: str, word: str, value: object) -> Condition | None:
    parse = _PARSE.get(name)
    if parse is None or word not in (_COMPARE.keys() | _ONE_OF_MANY.keys()):
        return None
    listed = value if isinstance(value, list) and word in _ONE_OF_MANY else [value]
    terms = [parse(item) for item in listed]
    known = tuple(term for term in terms if term is not None)
    return Condition(name, word, known) if len(known) == len(terms) else None


def _parse_number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
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
