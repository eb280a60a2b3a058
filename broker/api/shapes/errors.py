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
    minimum_gb: NotRequired[Annotated[int, Field(description="GB needed.", examples=[160])]]
    recommended_gb: NotRequired[
        Annotated[int, Field(description="GB recommended.", examples=[200])]
    ]
    breakdown: NotRequired[
        Annotated[
            dict[str, float],
            Field(description="GB, what for.", examples=[{"weights": 132, "reserve": 28}]),
        ]
    ]
