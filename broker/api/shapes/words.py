"""Names and figures that stand in many shapes, each with its meaning and an example."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field

Money = Annotated[Decimal, Field(description="USD, at most 6 decimals.")]
Instant = Annotated[
    datetime, Field(description="UTC, to the millisecond.", examples=["2026-01-29T12:00:00.000Z"])
]
Message = Annotated[str, Field(description="A sentence for people.")]
Count = Annotated[int, Field(description="How many stand in this answer.", examples=[1])]
Total = Annotated[int, Field(description="How many match in all.", examples=[150])]
Currency = Annotated[str, Field(description="ISO 4217.", examples=["USD"])]

SessionId = Annotated[str, Field(description="The session.", examples=["sess-abc234defg"])]
ConsumerId = Annotated[
    str, Field(description="Who the session is for.", examples=["my-application"])
]
OfferId = Annotated[
    str, Field(description="`{provider}-{provider_id}`.", examples=["vastai-12345"])
]
Provider = Annotated[str, Field(description="The marketplace.", examples=["vastai"])]
MachineId = Annotated[
    str | None,
    Field(description="The host; null where the provider names none.", examples=["8812"]),
]
GpuType = Annotated[str, Field(description="The GPU model.", examples=["RTX 4090"])]
GpuCount = Annotated[int, Field(description="GPUs of the machine.", examples=[1])]
Location = Annotated[
    str | None, Field(description="The place; null where unknown.", examples=["US-West"])
]
Image = Annotated[str, Field(description="The container image.", examples=["vastai/ollama"])]
TemplateId = Annotated[
    str, Field(description="The template.", examples=["a8a44c7363cbca20056020397e3bf072"])
]
SshHost = Annotated[
    str | None, Field(description="Where SSH answers; null until known.", examples=["203.0.113.7"])
]
SshPort = Annotated[int | None, Field(description="Its port.", examples=[22])]
SshUser = Annotated[str | None, Field(description="Who logs in there.", examples=["root"])]
PrivateKey = Annotated[
    str | None,
    Field(
        description="Told once and never stored; null where you gave a public key.",
        examples=["-----BEGIN OPENSSH PRIVATE KEY-----\n...\n-----END OPENSSH PRIVATE KEY-----\n"],
    ),
]
