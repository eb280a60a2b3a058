"""What adapters find wrong with their sections, before anything starts."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from providers.registry import option_problems


def problems(api_key: str | None) -> dict[str, str]:
    """Of an account at Vast.ai with this key."""
    secret = None if api_key is None else SecretStr(api_key)
    return dict(option_problems("vastai", {"api_key": secret}))


@pytest.mark.parametrize("api_key", [None, "0123456789abcdef" * 4])
def test_an_account_that_can_be_asked_has_no_problem(api_key: str | None) -> None:
    """Nor has one that is not configured."""
    assert problems(api_key) == {}


@pytest.mark.parametrize("api_key", ["two words", "line\nbreak", "schlüssel", "tab\t"])
def test_a_key_that_no_header_can_hold_is_a_mistake_in_the_settings(api_key: str) -> None:
    """It is named by its setting, and not shown."""
    (told,) = problems(api_key).items()
    assert told == ("api_key", "holds characters that no key has")
