"""The one shape of all errors."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from broker.api.shapes.words import OfferId, Provider, SessionId


class WrongField(TypedDict):
    """One wrong field, parameter or header."""

    field: Annotated[str, Field(description="Its path.", examples=["reservation_hours"])]
    message: Annotated[
        str,
        Field(description="What is wrong.", examples=["input should be less than or equal to 12"]),
    ]


class LiveSession(TypedDict):
    """The session that stands in the way."""

    session_id: SessionId


class DiskBreakdown(TypedDict):
    """What the disk must hold, in GB, and what that was told from."""

    model_weight_gb: Annotated[float, Field(description="The model.", examples=[140])]
    download_buffer_gb: Annotated[float, Field(description="While it loads.", examples=[14])]
    docker_image_gb: Annotated[float, Field(description="The image.", examples=[15])]
    system_overhead_gb: Annotated[float, Field(description="The system.", examples=[5])]
    minimum_gb: Annotated[int, Field(description="GB needed.", examples=[174])]
    recommended_gb: Annotated[int, Field(description="GB recommended.", examples=[210])]
    template_floor_gb: NotRequired[Annotated[int, Field(description="The template asks for it.")]]
    model_id: NotRequired[Annotated[str, Field(description="The model.")]]
    quantization: NotRequired[Annotated[str, Field(description="Of the model.")]]
    param_count_b: NotRequired[Annotated[float, Field(description="Billions of parameters.")]]


class Error(TypedDict):
    """What happened, why, and what to do; which further fields there are depends on `code`."""

    error: Annotated[str, Field(description="A sentence for people.")]
    code: Annotated[str, Field(description="A word for programs.")]
    request_id: Annotated[
        str,
        Field(
            description="The X-Request-ID of the answer.",
            examples=["1f0e6a52-6b52-4f0c-9c8e-0c8f6c1b9d11"],
        ),
    ]
    details: NotRequired[
        Annotated[
            list[WrongField] | LiveSession,
            Field(description="Every wrong field; or the session that stands in the way."),
        ]
    ]
    retry_suggested: NotRequired[
        Annotated[bool, Field(description="Another try may succeed.", examples=[True])]
    ]
    session_id: NotRequired[
        Annotated[SessionId, Field(description="The session that came to nothing.")]
    ]
    error_type: NotRequired[
        Annotated[str, Field(description="The same as `code`.", examples=["stale_inventory"])]
    ]
    offer_id: NotRequired[OfferId]
    provider: NotRequired[Provider]
    message: NotRequired[
        Annotated[
            str,
            Field(
                description="What to do.",
                examples=["Please refresh inventory and select a different offer."],
            ),
        ]
    ]
    requested_gb: NotRequired[Annotated[int, Field(description="GB asked for.", examples=[50])]]
    minimum_gb: NotRequired[Annotated[int, Field(description="GB needed.", examples=[174])]]
    recommended_gb: NotRequired[
        Annotated[int, Field(description="GB recommended.", examples=[210])]
    ]
    breakdown: NotRequired[DiskBreakdown]
