"""What templates ask of offers, and what their docker flags say."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from broker.decide.templates import holds, parse_conditions, unmet, untold
from providers.docker_flags import parse_docker_flags
from tests.offers import a_template, an_offer


def is_met(filters: dict[str, Any], **fields: Any) -> bool:
    """Whether an offer with `fields` meets filters that can all be judged."""
    asked = parse_conditions(a_template(extra_filters=orjson.dumps(filters).decode()))
    assert asked.is_readable
    assert asked.unjudged == ()
    return all(holds(condition, an_offer(**fields)) for condition in asked.conditions)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"cuda_max_good": {"gte": 12.8}}, True),
        ({"cuda_max_good": {"gt": 12.8}}, False),
        ({"cuda_max_good": {"gte": "12.1"}}, True),
        ({"gpu_ram": {"gte": 24000}}, True),
        ({"gpu_ram": {"gt": 24576}}, False),
        ({"gpu_total_ram": {"gte": 48000}}, True),
        ({"gpu_total_ram": {"gte": 50000}}, False),
        ({"num_gpus": {"eq": 2}}, True),
        ({"num_gpus": 2}, True),
        ({"num_gpus": {"neq": 2}}, False),
        ({"num_gpus": {"gte": 1, "lt": 2}}, False),
        ({"gpu_name": {"in": ["RTX_3090", "RTX_4090"]}}, True),
        ({"gpu_name": {"notin": ["RTX 4090"]}}, False),
        ({"reliability2": {"lte": 0.99}}, True),
        ({"verified": {"eq": True}}, True),
        ({"verified": {"eq": "false"}}, False),
        ({}, True),
    ],
)
def test_conditions_in_the_marketplaces_words_are_held_against_our_offers(
    filters: dict[str, Any], expected: bool
) -> None:
    """Two RTX 4090, CUDA 12.8, verified, reliability 0.99."""
    assert expected == is_met(filters, gpu_count=2)


def test_what_is_unknown_of_an_offer_never_meets_a_condition() -> None:
    """Not even one that asks for something else."""
    assert not is_met({"cuda_max_good": {"neq": 11}}, cuda_version=None)
    assert not is_met({"verified": {"notin": [False]}}, verified=None)


TRAITS = {
    "cpu_arch": "amd64",
    "cpu_name": "AMD EPYC_7642",
    "cpu_ram": 64393.0,
    "driver_version": 535183001,
    "direct_port_count": 4,
    "has_avx": 1,
    "os_version": "22.04",
    "static_ip": True,
    "kernel": "6.8.49",
    "gpu_ram": 24564.0,
}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"cpu_arch": {"in": ["arm64", "AMD64"]}}, True),
        ({"cpu_arch": {"notin": ["arm64", "amd64"]}}, False),
        ({"cpu_arch": {"in": []}}, False),
        ({"cpu_arch": {"neq": "arm64"}}, True),
        ({"cpu_arch": "arm64"}, False),
        ({"cpu_name": {"eq": "AMD_EPYC 7642"}}, True),
        ({"cpu_ram": {"gte": 64000}}, True),
        ({"cpu_ram": {"gte": "65000.5"}}, False),
        ({"direct_port_count": {"in": ["3", 4.0]}}, True),
        ({"has_avx": {"eq": True}}, True),
        ({"has_avx": {"eq": "1"}}, True),
        ({"static_ip": {"eq": True}}, True),
        ({"static_ip": {"eq": "false"}}, False),
        ({"static_ip": {"neq": 0}}, True),
        ({"os_version": {"gte": 20.04}}, True),
        ({"os_version": {"eq": "22.04"}}, True),
        ({"driver_version": {"gte": "535.86.05"}}, True),
        ({"driver_version": {"gte": "535.183.02"}}, False),
        ({"driver_version": {"gte": 535086005}}, True),
        ({"driver_version": {"gte": "535190000"}}, False),
        ({"driver_version": {"gte": 550}}, False),
        ({"driver_version": {"lt": "535.9"}}, False),
        ({"kernel": {"gte": "6.8.50"}}, False),
        ({"kernel": {"gte": "6.10"}}, False),
        ({"kernel": {"gte": "6.8"}}, True),
        ({"gpu_ram": {"gte": 24576}}, False),
        ({"num_gpus": {"eq": 1}}, True),
    ],
)
def test_what_only_the_marketplace_tells_of_an_offer_is_judged_by_its_kind(
    filters: dict[str, Any], expected: bool
) -> None:
    """Numbers, numbers as text, flags, words in any spelling, versions; its own figures first."""
    assert expected == is_met(filters, traits=TRAITS)


@pytest.mark.parametrize(
    "filters",
    [
        {"gpu_max_power": {"gte": 300}},
        {"cpu_arch": {"gte": "amd"}},
        {"cpu_ram": {"gte": "much"}},
        {"static_ip": {"gt": False}},
        {"static_ip": {"in": ["perhaps"]}},
        {"driver_version": {"gte": "new"}},
    ],
)
def test_what_an_offer_does_not_tell_is_named_and_keeps_nobody_away(
    filters: dict[str, Any],
) -> None:
    """Not applied, never silently."""
    asked = parse_conditions(a_template(extra_filters=orjson.dumps(filters).decode()))
    offers = [an_offer("1", traits=TRAITS), an_offer("2", traits=TRAITS)]

    assert unmet(asked.conditions, offers[0]) == ()
    assert untold(asked.conditions, offers) == tuple(filters)
    assert untold(asked.conditions, []) == ()


@pytest.mark.parametrize(
    "filters",
    [
        {"cpu_arch": {"like": ["amd64"]}},
        {"cpu_arch": {"in": ["amd64", {}]}},
        {"cpu_arch": None},
        {"cuda_max_good": {"roughly": 12}},
        {"cuda_max_good": {"gte": "new"}},
        {"cuda_max_good": {"gte": [12]}},
        {"num_gpus": {"gte": True}},
        {"gpu_ram": {"gte": None}},
        {"gpu_name": {"eq": 4090}},
        {"verified": {"eq": 1}},
        {"gpu_ram": {"gte": 1, "oddly": 2}},
    ],
)
def test_what_cannot_be_judged_is_named(filters: dict[str, Any]) -> None:
    """Neither applied nor silently dropped."""
    asked = parse_conditions(a_template(extra_filters=orjson.dumps(filters).decode()))

    assert asked.conditions == ()
    assert asked.unjudged == tuple(filters)


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "[" * 100_000, "NaN"])
def test_filters_that_cannot_be_read_say_so(text: str) -> None:
    """Text that is no JSON object."""
    assert not parse_conditions(a_template(extra_filters=text)).is_readable


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_a_template_without_filters_asks_nothing(text: str | None) -> None:
    """Neither conditions nor complaints."""
    asked = parse_conditions(a_template(extra_filters=text))

    assert (asked.conditions, asked.unjudged, asked.is_readable) == ((), (), True)


def test_figures_that_no_number_is_are_not_compared() -> None:
    """JSON as Python reads it knows NaN and Infinity."""
    asked = parse_conditions(a_template(extra_filters='{"gpu_ram": {"gte": 1e999}}'))

    assert asked.unjudged == ("gpu_ram",)


@pytest.mark.parametrize(
    ("text", "env", "ports"),
    [
        (
            "-p 1111:1111 -p 21434:21434 -e OLLAMA_MODEL=qwen3:14b ...",
            {"OLLAMA_MODEL": "qwen3:14b"},
            (1111, 21434),
        ),
        ("-e A=1 --env B='x y' --env=C=3 -e D", {"A": "1", "B": "x y", "C": "3"}, ()),
        ("-p 8080:80/tcp -p 53:53/udp --publish=9000 -p 80", {}, (80, 9000)),
        ("-p 70000:70000 -p x:y -p 0:0 -p " + "9" * 5000, {}, ()),
        ("-e A='open", {"A": "'open"}, ()),
        ("-p", {}, ()),
        (None, {}, ()),
    ],
)
def test_docker_flags_tell_environment_and_ports(
    text: str | None, env: dict[str, str], ports: tuple[int, ...]
) -> None:
    """Everything else in them is left out, and nothing in them is an error."""
    flags = parse_docker_flags(text)

    assert flags.env == env
    assert flags.ports == ports
