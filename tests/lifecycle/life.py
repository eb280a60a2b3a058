"""The life of brokers and their sessions as a state machine that Hypothesis drives."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.lifecycle.chance import BEGINNING, REQUEST, Happening, happenings
from tests.lifecycle.course import Course


class Life(RuleBasedStateMachine):
    """A broker and a consumer, and then anything, in any order.

    One rule for everything: of many rules Hypothesis leaves out about half in each life, and what
    breaks a law is mostly a meeting of three or four of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._course = Course()

    @initialize(
        beginning=st.fixed_dictionaries(dict(BEGINNING)), first=st.fixed_dictionaries(dict(REQUEST))
    )
    def begin(self, beginning: dict[str, Any], first: dict[str, Any]) -> None:
        """A broker starts on an empty folder, and a consumer is there already."""
        self._course.begin(**beginning)
        self._course.open(**first, then=timedelta(seconds=5))

    @rule(what=happenings())
    def happen(self, what: Happening) -> None:
        """Whatever it is."""
        what.befall(self._course)

    def teardown(self) -> None:
        """Whatever has happened, all must end well."""
        try:
            if self._course.has_begun:
                self._course.end_well()
        finally:
            self._course.close()
