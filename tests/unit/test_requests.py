"""Whether an offer that was named can serve a request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from broker.decide.requests import check_offer
from broker.decide.select import needs_of
from broker.errors import ValidationFailed
from providers.base import Offer, Template
from tests.offers import a_request, a_template, able, an_offer

CAN = able(templates=True)


def check(offer: Offer, template: Template | None = None, **fields: Any) -> None:
    """Whether `offer` can serve a request with these fields."""
    check_offer(offer, needs_of(a_request(**fields), None, template), CAN)


@pytest.mark.parametrize(
    ("offer", "fields", "field"),
    [
        ({"max_disk_gb": 99}, {"disk_gb": 100}, "disk_gb"),
        ({"max_duration": timedelta(minutes=59)}, {}, "reservation_hours"),
        ({"direct_ports": 2}, {"exposed_ports": (80, 81)}, "exposed_ports"),
    ],
)
def test_what_an_offer_cannot_serve_is_named(
    offer: dict[str, Any], fields: dict[str, Any], field: str
) -> None:
    """With what it can."""
    with pytest.raises(ValidationFailed) as refused:
        check(an_offer("1", **offer), **fields)

    assert [detail.field for detail in refused.value.details] == [field]


def test_the_conditions_of_a_template_that_an_offer_does_not_meet_are_named() -> None:
    """All of them, in the template's words; those that cannot be judged keep nobody away."""
    filters = (
        '{"cuda_max_good": {"gte": 12.9}, "cpu_arch": {"in": ["arm64"]}, "num_gpus": {"gte": 1},'
        ' "gpu_max_power": {"gte": 300}}'
    )
    template = a_template(extra_filters=filters)
    offer = an_offer("1", cuda_version=12.8, traits={"cpu_arch": "amd64"})

    with pytest.raises(ValidationFailed) as refused:
        check(offer, template, template_hash_id=template.hash_id)

    (detail,) = refused.value.details
    assert detail.field == "template_hash_id"
    assert detail.message == ("the offer does not meet: cuda_max_good gte 12.9; cpu_arch in arm64")
    check(
        an_offer("1", cuda_version=13.0, traits={"cpu_arch": "arm64"}),
        template,
        template_hash_id=template.hash_id,
    )


def test_a_template_of_another_provider_is_that_and_nothing_else() -> None:
    """Its conditions are none of this offer's business."""
    template = a_template(provider="other", extra_filters='{"num_gpus": {"gte": 100}}')

    with pytest.raises(ValidationFailed) as refused:
        check(an_offer("1"), template, template_hash_id=template.hash_id)

    assert [detail.message for detail in refused.value.details] == ["is not a template of cloud"]
