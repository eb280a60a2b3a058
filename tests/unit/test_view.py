"""One market out of the readings of all providers."""

from __future__ import annotations

from broker.decide.confidence import FailureMemory
from broker.decide.offers import parse_gpu_types
from broker.decide.places import PlaceMemory, lesson_of_failure
from broker.decide.view import Source, machine_of, view_of
from tests.offers import NOW, a_failure, an_offer, minutes

FIRST = an_offer("1", price="0.5000004")
SECOND = an_offer("2", price="0.4", provider="other", gpu_type="L4")
THIRD = an_offer("3", price="0.5", gpu_type="L4", prior=0.3, machine_id=None)
SOURCES = (Source((FIRST, THIRD), 0.75), Source((SECOND,), 1.0))


def test_the_offers_of_all_providers_are_in_one_order() -> None:
    """The cheapest first by the shown price, ties by id."""
    view = view_of(SOURCES, FailureMemory(), PlaceMemory(), NOW)

    assert [row.id for row in view.rows] == ["other-2", "cloud-1", "cloud-3"]
    assert view.by_id["cloud-3"].offer == THIRD


def test_the_offers_of_some_gpu_types_are_found_without_looking_at_the_others() -> None:
    """By name or prefix; nothing for what nobody has."""
    view = view_of(SOURCES, FailureMemory(), PlaceMemory(), NOW)

    assert [row.id for row in view.of(parse_gpu_types("l4"))] == ["other-2", "cloud-3"]
    assert [row.id for row in view.of(parse_gpu_types("rtx*"))] == ["cloud-1"]
    assert list(view.of(parse_gpu_types("B200"))) == []
    assert list(view.of(None)) == list(view.rows)


def test_an_offer_is_believed_by_its_prior_its_age_and_its_failures() -> None:
    """All three multiplied; a pause that the failures ordered is noted."""
    memory = FailureMemory([a_failure(FIRST)])
    view = view_of(SOURCES, memory, PlaceMemory(), NOW)

    assert {row.id: row.confidence for row in view.rows} == {
        "cloud-1": 0.525,
        "cloud-3": 0.225,
        "other-2": 1.0,
    }
    assert view.by_id["cloud-1"].passed_over_until == NOW + minutes(10)
    assert view.by_id["cloud-3"].passed_over_until is None


def test_an_offer_without_a_machine_is_believed_by_its_place_too() -> None:
    """Whose failures lower what the adapter believes beforehand."""
    sibling = an_offer("4", gpu_type="L4", machine_id=None)
    lesson = lesson_of_failure(a_failure(sibling))
    assert lesson is not None
    view = view_of(SOURCES, FailureMemory(), PlaceMemory([lesson]), NOW)

    assert {row.id: row.confidence for row in view.rows} == {
        "cloud-1": 0.75,
        "cloud-3": 0.15,
        "other-2": 1.0,
    }


def test_an_offer_that_is_listed_twice_is_shown_once() -> None:
    """The latter row counts."""
    dearer = an_offer("1", price="0.9")
    view = view_of([Source((FIRST, dearer), 1.0)], FailureMemory(), PlaceMemory(), NOW)

    assert [row.offer for row in view.rows] == [dearer]


def test_machines_are_told_apart_by_their_provider() -> None:
    """And an offer without a machine shares it with nobody."""
    assert machine_of(FIRST) != machine_of(an_offer("1", provider="other"))
    assert machine_of(FIRST) == machine_of(an_offer("9", machine_id="m1"))
    assert machine_of(THIRD) is None
