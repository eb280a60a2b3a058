"""Where an instance can be reached. Pure.

The direct address needs a port that the host publishes; the proxy always has one, and is
known to refuse now and then. An address is told only when it is whole and can be public.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

from providers.base import Endpoint
from providers.vastai.fields import Row, as_number, number, text, word

SSH_PORT = 22
_HIGHEST_PORT = 65_535
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)*(?![0-9]+$){_LABEL}")
_INNER_PORT = re.compile(r"([0-9]{1,5})/tcp")
_UNREACHABLE = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12"),
        *(
            "192.168.0.0/16",
            "224.0.0.0/3",
            "::/128",
            "::ffff:0:0/96",
            "fc00::/7",
            "fe80::/10",
            "ff00::/8",
        ),
    )
)
"""Private to the host's network, or nobody's. Loopback is left: it is this very machine."""


def parse_ssh(row: Row) -> tuple[Endpoint, ...]:
    """Where SSH may answer: direct, then by the proxy."""
    found = (_direct(row), _proxy(row))
    return tuple(dict.fromkeys(endpoint for endpoint in found if endpoint is not None))


def parse_ports(row: Row) -> Mapping[int, Endpoint]:
    """Port inside the machine -> where it is published, SSH aside."""
    published = dict(_published(row))
    published.pop(SSH_PORT, None)
    return published


def _direct(row: Row) -> Endpoint | None:
    return dict(_published(row)).get(SSH_PORT)


def _proxy(row: Row) -> Endpoint | None:
    """The proxy's address, one port higher for Jupyter; without an SSH server it has none."""
    runtype = word(row, "image_runtype") or ""
    host = _host(text(row, "ssh_host"))
    told = number(row, "ssh_port")
    if host is None or told is None or runtype == "args":
        return None
    port = _port(told + 1 if "jupyter" in runtype else told)
    return None if port is None else Endpoint(host, port)


def _published(row: Row) -> Iterator[tuple[int, Endpoint]]:
    """Every TCP port in the docker-style map, at the host's public address."""
    host = _host(text(row, "public_ipaddr"))
    ports = row.get("ports")
    if host is None or not isinstance(ports, Mapping):
        return
    for name, bindings in ports.items():
        inner = _INNER_PORT.fullmatch(str(name))
        outer = _outer_port(bindings)
        if inner and outer and _port(inner[1]):
            yield int(inner[1]), Endpoint(host, outer)


def _outer_port(bindings: object) -> int | None:
    """The first port of the host in `[{"HostIp": "0.0.0.0", "HostPort": "40022"}, ...]`."""
    listed = bindings if isinstance(bindings, list) else []
    ports = (_port(binding.get("HostPort")) for binding in listed if isinstance(binding, Mapping))
    return next((port for port in ports if port), None)


def _port(value: object) -> int | None:
    found = value if isinstance(value, Decimal) else as_number(value)
    if found is None or found % 1 or not 0 < found <= _HIGHEST_PORT:
        return None
    return int(found)


def _host(name: str | None) -> str | None:
    """An address or a name that could lead somewhere."""
    try:
        address = ipaddress.ip_address(name or "")
    except ValueError:
        return name if name and _NAME.fullmatch(name.lower()) else None
    return None if any(address in network for network in _UNREACHABLE) else name
