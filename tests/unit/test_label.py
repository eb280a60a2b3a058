"""The ownership label."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.label import Label, deployment_part, parse_label

DEPLOYMENTS = st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True)
SESSIONS = st.from_regex(r"sess-[a-z2-7]{10,12}", fullmatch=True)
DEADLINES = st.integers(0, 99_999_999).map(
    lambda minutes: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@given(st.builds(Label, DEPLOYMENTS, SESSIONS, DEADLINES, st.integers(1, 9)))
def test_a_label_survives_the_way_to_the_provider_and_back(label: Label) -> None:
    """Written, it is DNS-safe and short; read, it is the same."""
    text = str(label)

    assert label == parse_label(text)
    assert len(text) <= 48
    assert re.fullmatch(r"[a-z0-9-]+", text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "gpub-",
        "shopper-1",
        "gpub-Dep-aaaaaaaaaa-1-1",
        "gpub-d-aaaaaaaaaa-1-0",
        "gpub-d-aaaaaaaaaa-1-1 ",
        "xgpub-d-aaaaaaaaaa-1-1",
        "gpub-d-aaaaaaaaaa-1-1-1",
    ],
)
def test_what_is_not_exactly_a_label_is_none(text: str | None) -> None:
    """No guess: a text that is almost a label belongs to somebody else."""
    assert parse_label(text) is None


def test_an_id_that_a_label_cannot_hold_is_hashed() -> None:
    """A plain id stands for itself; any other becomes eight characters, always the same."""
    assert deployment_part("prod1") == "prod1"
    hashed = deployment_part("Production EU")
    assert hashed == deployment_part("Production EU")
    assert re.fullmatch(r"[a-z2-7]{8}", hashed)
    assert hashed != deployment_part("Production US")
