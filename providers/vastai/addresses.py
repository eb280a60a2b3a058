"""Where an instance can be reached. Pure.

The direct address needs a port that the host publishes; the proxy always has one, and is
known to refuse now and then. An address is told only when it is whole and can be public.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from providers.base import Endpoint
from providers.fields import Row, number, port_number, public_host, text, word

SSH_PORT = 22
_INNER_PORT = re.compile(r"([0-9]{1,5})/tcp")


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
    host = public_host(text(row, "ssh_host"))
    told = number(row, "ssh_port")
    if host is None or told is None or runtype == "args":
        return None
    port = port_number(told + 1 if "jupyter" in runtype else told)
    return None if port is None else Endpoint(host, port)


def _published(row: Row) -> Iterator[tuple[int, Endpoint]]:
    """Every TCP port in the docker-style map, at the host's public address."""
    host = public_host(text(row, "public_ipaddr"))
    ports = row.get("ports")
    if host is None or not isinstance(ports, Mapping):
        return
    for name, bindings in ports.items():
        inner = _INNER_PORT.fullmatch(str(name))
        outer = _outer_port(bindings)
        if inner and outer and port_number(inner[1]):
            yield int(inner[1]), Endpoint(host, outer)


def _outer_port(bindings: object) -> int | None:
    """The first port of the host in `[{"HostIp": "0.0.0.0", "HostPort": "40022"}, ...]`."""
    listed = bindings if isinstance(bindings, list) else []
    ports = (
        port_number(binding.get("HostPort")) for binding in listed if isinstance(binding, Mapping)
    )
    return next((port for port in ports if port), None)
