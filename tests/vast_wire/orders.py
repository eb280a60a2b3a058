"""Reading a create call: validation as the service does it, completed from the template. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.docker_flags import parse_docker_flags
from tests.vast_wire.contracts import Order
from tests.vast_wire.refusals import Refused, invalid
from tests.wire.answers import Body

_LONGEST = {"label": 256, "image": 1024}
_LONGEST_START = 4096
_LONGEST_VALUE, _LONGEST_ENVIRONMENT = 256, 32_768
_MOST_PORTS = 64
_SMALLEST_DISK_GB = 8
_PRICES = (0.001, 128)
_RUNTYPES = frozenset(
    {
        *("ssh", "jupyter", "args", "ssh_proxy", "ssh_direct", "jupyter_proxy", "jupyter_direct"),
        *("ssh_direc", "jupyter_direc"),
    }
)


def parse_order(body: Body, template: Body | None) -> Order:
    """What a create call asks for. A null is as good as nothing; raises `Refused`."""
    given = {name: value for name, value in body.items() if value is not None}
    template = template or {}
    order = Order(
        image=given.get("image") or _image(template),
        label=given.get("label"),
        runtype=_runtype(given, template),
        disk_gb=_number(given, "disk", float(template.get("recommended_disk_space") or 10)),
        env={**_template_env(template), **_env(given)},
        onstart=given.get("onstart") or template.get("onstart"),
        args=_args(given, template),
        price=_number(given, "price", None),
        template=template,
        cancel_unavail=_cancels(given),
    )
    _check(order)
    return order


def _cancels(given: Body) -> bool:
    """Without a word: yes on demand, no for bids and for what is not to run."""
    is_plain = "price" not in given and given.get("target_state", "running") == "running"
    return bool(given.get("cancel_unavail", is_plain))


def _image(template: Body) -> str:
    image, tag = template.get("image") or "", template.get("tag")
    return f"{image}:{tag}" if image and tag and not tag.startswith("@") else image


def _runtype(given: Body, template: Body) -> str:
    runtype = given.get("runtype")
    if runtype is None and template:
        runtype = _template_runtype(template)
    if runtype is None:
        runtype = "args" if "args" in given or "args_str" in given else "ssh"
    if not isinstance(runtype, str) or not set(runtype.split()) <= _RUNTYPES:
        raise invalid(f"Invalid args: runtype {runtype}")
    return _SPELLED.get(runtype, runtype)


_SPELLED = {
    "ssh_direct": "ssh_direc ssh_proxy",
    "jupyter_direct": "jupyter_direc ssh_direc ssh_proxy",
    "jupyter": "jupyter_proxy ssh_proxy",
}
"""How an instance spells what was asked for."""


def _template_runtype(template: Body) -> str | None:
    runtype = template.get("runtype")
    if runtype == "jupyter":
        return "jupyter_direct" if template.get("jup_direct") else "jupyter"
    if runtype == "ssh" or template.get("use_ssh"):
        return "ssh_direct" if template.get("ssh_direct") else "ssh_proxy"
    return runtype


def _template_env(template: Body) -> Mapping[str, str]:
    flags = parse_docker_flags(template.get("env"))
    return {**flags.env, **{f"-p {port}:{port}": "1" for port in flags.ports}}


def _env(given: Body) -> Mapping[str, str]:
    env = given.get("env", {})
    if not isinstance(env, dict):
        raise invalid("invalid env type: env must be a dict")
    return {str(name): str(value) for name, value in env.items()}


def _args(given: Body, template: Body) -> tuple[str, ...]:
    if isinstance(given.get("args"), list):
        return tuple(str(word) for word in given["args"])
    text = given.get("args_str") or template.get("args_str") or ""
    return tuple(str(text).split())


def _number(given: Body, name: str, default: Any) -> Any:
    value = given.get(name, default)
    if value is not default and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise invalid(f"Invalid args: {name} must be a number")
    return value


def _check(order: Order) -> None:
    """The limits on what is sent."""
    if not order.image:
        raise invalid("error 400/3467: Invalid args: 'image' is required")
    if len(order.image) > _LONGEST["image"]:
        raise invalid("Invalid args: image is too long")
    if order.label is not None and not isinstance(order.label, str):
        raise invalid("Invalid args: label must be a string")
    if len(order.label or "") > _LONGEST["label"]:
        raise Refused(400, "label_too_long", f"Label must be at most {_LONGEST['label']} long.")
    if order.disk_gb < _SMALLEST_DISK_GB:
        raise invalid(f"Invalid args: disk must be at least {_SMALLEST_DISK_GB} GB")
    if order.price is not None and not _PRICES[0] <= order.price <= _PRICES[1]:
        raise invalid(f"Invalid args: price {order.price}", "invalid_price")
    if len(order.onstart or "") + len(" ".join(order.args)) > _LONGEST_START:
        raise invalid(f"Invalid args: onstart and args have more than {_LONGEST_START} characters")
    _check_env(order)


def _check_env(order: Order) -> None:
    if any(len(value) > _LONGEST_VALUE for value in order.env.values()):
        raise invalid(f"Invalid args: an env value has more than {_LONGEST_VALUE} characters")
    if sum(len(name) + len(value) for name, value in order.env.items()) > _LONGEST_ENVIRONMENT:
        raise invalid(f"Invalid args: env has more than {_LONGEST_ENVIRONMENT} characters")
    if len(order.ports) > _MOST_PORTS:
        raise invalid(f"Invalid args: more than {_MOST_PORTS} ports")
    if not all(port.partition("/")[0].isdigit() for port in order.ports):
        raise invalid("Invalid args: a port is no number")
