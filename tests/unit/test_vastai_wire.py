"""What Vast.ai answers: lists, credit, templates and keys, as values."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import BadResponse, NotFound, ProviderError
from providers.vastai.wire import (
    AttachedKey,
    parse_credit,
    parse_instance,
    parse_keys,
    parse_page,
    parse_single,
    parse_template,
    parse_templates,
)
from tests.unit.vastai_rows import NOW, a_row, anything, rows_like


def test_a_page_holds_instances_and_the_way_to_the_next() -> None:
    """The token is null on the last page."""
    payload = {
        "success": True,
        "instances_found": 1,
        "total_instances": 42,
        "next_token": "eyJ2",
        "instances": [a_row()],
    }

    page = parse_page(payload, NOW)

    assert ([i.id for i in page.instances], page.next_token, page.total) == (
        ["48738931"],
        "eyJ2",
        42,
    )
    assert parse_page({"instances": [], "next_token": None}, NOW).next_token is None


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        [a_row()],
        "",
        {},
        {"instances": None},
        {"instances": {}},
        {"instances": a_row()},
        {"success": False, "instances": []},
        {"instances": [], "next_token": 7},
        {"instances": [a_row(), None]},
        {"instances": [a_row(), {}]},
        {"instances": [a_row(id=None)]},
    ],
)
def test_an_odd_list_is_no_knowledge(payload: object) -> None:
    """It is never read as an account with fewer instances."""
    with pytest.raises(BadResponse):
        parse_page(payload, NOW)


def test_one_instance_comes_in_an_envelope() -> None:
    """It is an object, not a list."""
    assert parse_single({"instances": a_row()}, "48738931", NOW) == parse_instance(a_row(), NOW)


@pytest.mark.parametrize("payload", [{"instances": None}, {"success": True, "instances": None}])
def test_an_explicit_null_is_the_word_that_it_is_gone(payload: object) -> None:
    """This and nothing else proves it in a 200."""
    with pytest.raises(NotFound):
        parse_single(payload, "48738931", NOW)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        "null",
        {"instance": None},
        {"instances": []},
        {"instances": {}},
        {"instances": ""},
        {"instances": [a_row()]},
        {"instances": False},
        {"instances": {"id": None}},
        {"instances": a_row(id=1)},
        {"success": False, "instances": None},
        a_row(),
    ],
)
def test_any_other_oddity_proves_nothing(payload: object) -> None:
    """Another instance than the one asked for is odd too."""
    with pytest.raises(BadResponse):
        parse_single(payload, "48738931", NOW)


@pytest.mark.parametrize(
    ("credit", "expected"),
    [(12.5, Decimal("12.5")), ("3.10", Decimal("3.10")), (0, Decimal()), (-0.25, Decimal("-0.25"))],
)
def test_the_credit_is_what_can_be_spent(credit: object, expected: Decimal) -> None:
    """It may be negative; `balance` is another ledger."""
    assert parse_credit({"id": 1, "credit": credit, "balance": 99}) == expected


@pytest.mark.parametrize(
    "payload",
    [None, [], {}, {"balance": 5}, {"credit": None}, {"credit": "x"}, {"credit": math.inf}],
)
def test_an_account_without_a_credit_is_refused(payload: object) -> None:
    """Unknown money is not zero."""
    with pytest.raises(BadResponse):
        parse_credit(payload)


def a_template(**changes: Any) -> dict[str, Any]:
    """A template as a search answers it; `...` leaves a field out."""
    row: dict[str, Any] = {
        "id": 338630,
        "hash_id": "a8a44c7363cbca20056020397e3bf072",
        "name": "Ollama",
        "image": "vastai/ollama",
        "tag": "0.15.4",
        "env": "-p 1111:1111 -e OLLAMA_MODEL=qwen3:14b",
        "onstart": "entrypoint.sh",
        "runtype": "jupyter",
        "use_ssh": True,
        "ssh_direct": True,
        "recommended": True,
        "recommended_disk_space": 32,
        "extra_filters": '{"cpu_arch": {"in": ["arm64", "amd64"]}}',
        "creator_id": 62897,
        "created_at": 1770056848.0,
        "count_created": 302,
    }
    return {name: value for name, value in (row | changes).items() if value is not ...}


def test_a_template_is_read_whole() -> None:
    """Its conditions stay in the marketplace's words."""
    template = parse_template(a_template(), NOW)

    assert template is not None
    assert (template.provider, template.tagged_image) == ("vastai", "vastai/ollama:0.15.4")
    assert (template.recommended_disk_space, template.recommended) == (32, True)
    assert template.created_at == datetime(2026, 2, 2, 18, 27, 28, tzinfo=UTC)
    assert template.extra_filters == '{"cpu_arch": {"in": ["arm64", "amd64"]}}'


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        ({"tag": ""}, "tag", None),
        ({"use_ssh": ...}, "use_ssh", True),
        ({"use_ssh": ..., "runtype": "args"}, "use_ssh", False),
        ({"use_ssh": "false"}, "use_ssh", False),
        ({"recommended": None}, "recommended", False),
        ({"recommended_disk_space": "32"}, "recommended_disk_space", 32),
        ({"recommended_disk_space": 32.5}, "recommended_disk_space", 32),
        ({"extra_filters": {"num_gpus": {"eq": 1}}}, "extra_filters", '{"num_gpus": {"eq": 1}}'),
        ({"extra_filters": {}}, "extra_filters", None),
        ({"extra_filters": None}, "extra_filters", None),
        ({"created_at": "2026-02-02T13:27:28-05:00"}, "creator_id", 62897),
        (
            {"created_at": "2026-02-02T13:27:28-05:00"},
            "created_at",
            datetime(2026, 2, 2, 18, 27, 28, tzinfo=UTC),
        ),
        (
            {"created_at": "2026-02-02T18:27:28"},
            "created_at",
            datetime(2026, 2, 2, 18, 27, 28, tzinfo=UTC),
        ),
    ],
)
def test_a_templates_odd_values_survive_or_are_unknown(
    changes: dict[str, Any], name: str, expected: object
) -> None:
    """Every field but three may be missing."""
    assert getattr(parse_template(a_template(**changes), NOW), name) == expected


def test_templates_that_cannot_be_read_are_counted() -> None:
    """The same template twice is one template."""
    rows = [a_template(), a_template(), a_template(hash_id=None), a_template(image=...), None]

    read = parse_templates({"success": True, "templates": rows}, NOW)

    assert ([t.name for t in read.templates], read.dropped) == (["Ollama"], 3)
    assert parse_templates({"templates": []}, NOW).templates == ()


@pytest.mark.parametrize(
    "payload",
    [None, [], {}, {"templates": {}}, {"success": False, "templates": []}, [a_template()]],
)
def test_what_is_no_list_of_templates_is_refused(payload: object) -> None:
    """It is never read as a marketplace without templates."""
    with pytest.raises(BadResponse):
        parse_templates(payload, NOW)


def test_a_list_without_one_readable_template_is_refused() -> None:
    """Fields were renamed: that is not an empty list."""
    with pytest.raises(BadResponse):
        parse_templates({"templates": [{"id": 1, "name": "x", "image": "y"}]}, NOW)


def test_the_keys_of_an_instance_are_a_list_or_json_text() -> None:
    """The quotes with which some were stored are no part of a key."""
    rows = [
        {"id": 1, "name": "mine", "public_key": "'ssh-ed25519 AAAA me'\n"},
        {"id": 2, "key": "ssh-rsa BBBB"},
        {"id": 3, "public_key": None},
        None,
    ]
    expected = (AttachedKey("1", "ssh-ed25519 AAAA me"), AttachedKey("2", "ssh-rsa BBBB"))

    assert parse_keys({"success": True, "ssh_keys": rows}) == expected
    assert parse_keys({"success": True, "ssh_keys": json.dumps(rows)}) == expected


def test_no_keys_in_words_is_an_empty_list() -> None:
    """The marketplace says so with a 404."""
    assert parse_keys({"success": False, "msg": "No SSH keys found"}) == ()


@pytest.mark.parametrize("payload", [None, [], {}, {"ssh_keys": None}, {"ssh_keys": "[1, "}])
def test_what_is_no_list_of_keys_is_refused(payload: object) -> None:
    """It is never read as an instance without keys."""
    with pytest.raises(BadResponse):
        parse_keys(payload)


@given(payload=anything | st.dictionaries(st.sampled_from(["instances", "templates"]), anything))
def test_no_payload_raises_anything_but_our_errors(payload: object) -> None:
    """Whatever a server that is not the marketplace may send."""
    for parse in (
        lambda: parse_page(payload, NOW),
        lambda: parse_single(payload, "1", NOW),
        lambda: parse_templates(payload, NOW),
        lambda: parse_keys(payload),
        lambda: parse_credit(payload),
    ):
        with suppress(ProviderError):
            parse()


@given(row=rows_like(a_template()))
def test_no_template_raises(row: dict[str, Any]) -> None:
    """Any field may hold anything."""
    template = parse_template(row, NOW)

    assert template is None or (template.name and template.image)
