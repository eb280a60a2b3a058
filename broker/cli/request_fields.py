"""The fields of POST /api/v1/sessions as options of `rent`.

The table stands here and is not derived from the API's model, so that `--help` imports
nothing heavy; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

import click


class Kind(Enum):
    """How a field is written on a command line."""

    TEXT = auto()
    INTEGER = auto()
    NUMBER = auto()
    FLAG = auto()
    """`--name` or `--no-name`."""
    INTEGERS = auto()
    """`--name 1 --name 2`"""
    PAIRS = auto()
    """`--name KEY=VALUE`, repeated"""


KEY_TYPES = ("ed25519", "rsa")
_KEY_BEGINNINGS = ("ssh-", "ecdsa-", "sk-")
_PRIVATE = "PRIVATE KEY"
"""What the first line of every private key says, whoever made it."""
_TYPES = {Kind.INTEGER: click.INT, Kind.INTEGERS: click.INT, Kind.NUMBER: click.FLOAT}


@dataclass(frozen=True, slots=True)
class RequestField:
    """One field of the request and its option."""

    name: str
    help: str
    kind: Kind = Kind.TEXT
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def option(self) -> Callable[[click.decorators.FC], click.decorators.FC]:
        """The decorator that gives a command this option; not given means not sent."""
        flag = f"--{self.name.replace('_', '-')}"
        if self.kind is Kind.FLAG:
            flag += f"/--no-{flag.removeprefix('--')}"
        type_ = click.Choice(self.choices) if self.choices else _TYPES.get(self.kind)
        return click.option(
            flag,
            *self.aliases,
            self.name,
            default=None,
            type=type_,
            multiple=self.kind in (Kind.INTEGERS, Kind.PAIRS),
            metavar="KEY=VALUE" if self.kind is Kind.PAIRS else None,
            help=self.help,
        )


FIELDS = (
    RequestField("consumer_id", "Who rents.  [default: your login name]"),
    RequestField("offer_id", "The offer to rent, as `gpu-broker inventory` shows it."),
    RequestField("gpu_type", "The cheapest offer with this GPU, for example `RTX 4090`."),
    RequestField("gpu_count", "At least this many GPUs.", Kind.INTEGER),
    RequestField("min_vram", "At least this much memory per GPU, in GB.", Kind.INTEGER),
    RequestField("max_price", "At most this many USD per hour.", Kind.NUMBER),
    RequestField("location", "A country code, or part of the place's name."),
    RequestField("min_reliability", "At least this reliability, 0 to 1.", Kind.NUMBER),
    RequestField("min_cuda", "At least this CUDA version.", Kind.NUMBER),
    RequestField("provider", "Only offers of this provider."),
    RequestField(
        "allow_unverified", "Take unverified and unreliable offers into account.", Kind.FLAG
    ),
    RequestField(
        "workload_type",
        "What the machine is for.  [default: llm]",
        choices=(
            "llm",
            "llm_vllm",
            "llm_tgi",
            "training",
            "batch",
            "interactive",
            "inference",
            "ssh",
            "benchmark",
        ),
    ),
    RequestField(
        "reservation_hours",
        "How long, in hours (1-12).  [default: 1]",
        Kind.INTEGER,
        aliases=("--hours",),
    ),
    RequestField(
        "reservation_minutes",
        "How long, in minutes (1-720), instead of hours.",
        Kind.INTEGER,
        aliases=("--minutes",),
    ),
    RequestField(
        "idle_threshold_minutes", "End after this long without work; 0: never.", Kind.INTEGER
    ),
    RequestField("storage_policy", "What becomes of the disk.", choices=("destroy", "preserve")),
    RequestField("launch_mode", "What the machine promises.", choices=("ssh", "entrypoint")),
    RequestField("docker_image", "The image to run."),
    RequestField("model_id", "The Hugging Face model to serve; it chooses the image."),
    RequestField("quantization", "How the model is quantized, for example `awq`."),
    RequestField("exposed_ports", "A port to publish; may be repeated.", Kind.INTEGERS),
    RequestField("disk_gb", "Disk in GB.", Kind.INTEGER),
    RequestField("template_hash_id", "A template of the provider."),
    RequestField("env", "A variable of the machine; may be repeated.", Kind.PAIRS),
    RequestField("on_start_cmd", "Shell text that the machine runs when it has started."),
    RequestField("auto_retry", "Try another offer where one fails.", Kind.FLAG),
    RequestField("max_retries", "How many further offers at most (1-5).", Kind.INTEGER),
    RequestField(
        "retry_scope",
        "Which offers may stand in.",
        choices=("same_gpu", "same_vram", "any"),
    ),
    RequestField(
        "ssh_public_key", "Your own public key, or its file: then no private key is made."
    ),
    RequestField("ssh_key_type", "The kind of key that is made.", choices=KEY_TYPES),
    RequestField("managed_access", "Let the broker's own key onto the machine too.", Kind.FLAG),
    RequestField(
        "ssh_timeout_minutes", "How long a launch may take, in minutes (1-30).", Kind.INTEGER
    ),
    RequestField("name", "A name of your own for the session."),
    RequestField(
        "labels", "A label of your own; may be repeated.", Kind.PAIRS, aliases=("--label",)
    ),
    RequestField(
        "hard_max_override",
        "Another longest reservation, in hours (administrators).",
        Kind.INTEGER,
    ),
    RequestField(
        "watchdog", "Let the machine end itself 10 minutes after the session's end.", Kind.FLAG
    ),
)


def parse_request(options: Mapping[str, Any], *, consumer: str) -> dict[str, object]:
    """The body of the request: the options that were given, and who, what for and how long."""
    body: dict[str, object] = {"consumer_id": consumer, "workload_type": "llm"}
    for field in FIELDS:
        value = options.get(field.name)
        if value is not None and value != ():
            body[field.name] = _parse_value(field, value)
    if not body.keys() & {"reservation_hours", "reservation_minutes"}:
        body["reservation_hours"] = 1
    return body


def _parse_value(field: RequestField, value: Any) -> object:
    if field.kind is Kind.PAIRS:
        return dict(_parse_pair(field.name, item) for item in value)
    if field.kind is Kind.INTEGERS:
        return list(value)
    if field.name == "ssh_public_key":
        return read_public_key(value)
    return value


def _parse_pair(name: str, text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.UsageError(f"--{name} takes KEY=VALUE, not {text!r}.")
    return key, value


def read_public_key(text: str) -> str:
    """The key itself, where `text` is not the name of a file that holds it.

    Raises click.UsageError, also for a private key: that one stays on this machine.
    """
    _refuse_private(text)
    if text.startswith(_KEY_BEGINNINGS):
        return text
    try:
        key = Path(text).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(
            f"--ssh-public-key is neither an OpenSSH public key nor a readable file: {text!r}."
        ) from error
    _refuse_private(key)
    return key


def _refuse_private(key: str) -> None:
    if _PRIVATE in key:
        raise click.UsageError(
            "--ssh-public-key was given a private key. Nothing was sent: name the .pub file."
        )
