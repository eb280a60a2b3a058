"""What can be had where: the truth of the hosts, and the lists, which may be behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from tests.tensordock_wire.lives import VirtualMachine, gpu_of
from tests.tensordock_wire.orders import Order
from tests.tensordock_wire.places import Gpu, Host, Location
from tests.tensordock_wire.refusals import (
    DEPLOY_ERROR,
    HOST_UNAVAILABLE,
    NO_NODES,
    NO_PUBLIC_IP,
    Refused,
)
from tests.wire.answers import Body


class Market:
    """The locations; `machines` are those that take something of them."""

    def __init__(self, locations: Sequence[Location], stale: timedelta) -> None:
        self.locations = locations
        self.stale = stale
        """For so long the list of locations tells what it once told."""
        self._snapshot: tuple[datetime, list[Body]] | None = None

    def place(self, order: Order, machines: Collection[VirtualMachine], now: datetime) -> Host:
        """The host on which an order fits. Raises `Refused`."""
        hosts = [host for host in self._hosts(order) if _fits(order, host, machines, now)]
        if not hosts:
            is_gone = order.host_id and not any(self._hosts(order))
            raise Refused(HOST_UNAVAILABLE if is_gone else NO_NODES)
        if order.has_own_ip:
            hosts = [host for host in hosts if _free_ips(host, machines, now)]
            if not hosts:
                raise Refused(NO_PUBLIC_IP)
        with_ports = [host for host in hosts if _has_ports(order, host, machines, now)]
        if not with_ports:
            raise Refused(NO_NODES)
        host = with_ports[0]
        if not _is_allowed(order, host):
            raise Refused(DEPLOY_ERROR)
        return host

    def location_of(self, host: Host) -> Location:
        """Where a host is."""
        return next(one for one in self.locations if host in one.hosts)

    def list_locations(self, machines: Collection[VirtualMachine], now: datetime) -> list[Body]:
        """As `/locations` tells them."""
        if self._snapshot is None or now - self._snapshot[0] >= self.stale:
            told = [_location(one, machines, now) for one in self.locations]
            self._snapshot = now, told
        return self._snapshot[1]

    def list_hosts(self, machines: Collection[VirtualMachine], now: datetime) -> list[Body]:
        """As `/hostnodes` tells them."""
        return [
            _hostnode(location, host, machines, now)
            for location in self.locations
            for host in location.hosts
        ]

    def _hosts(self, order: Order) -> Iterable[Host]:
        return (
            host
            for location in self.locations
            for host in location.hosts
            if order.host_id == host.id or order.location_id == location.id
        )


def free_gpus(host: Host, gpu: Gpu, machines: Collection[VirtualMachine], now: datetime) -> int:
    """How many GPUs of a model nobody has."""
    held = (
        one.order.gpu_count
        for one in machines
        if one.host.id == host.id and one.order.gpu == gpu.v0_name and one.holds_gpus(now)
    )
    return max(gpu.count - sum(held), 0)


def free_ports(host: Host, machines: Collection[VirtualMachine], now: datetime) -> list[int]:
    """The external ports that nobody has."""
    held = {
        forward.outside
        for one in machines
        if one.host.id == host.id and one.holds_host(now)
        for forward in one.forwards
    }
    return [port for port in host.ports if port not in held]


def _free_ips(host: Host, machines: Collection[VirtualMachine], now: datetime) -> int:
    held = sum(
        one.order.has_own_ip for one in machines if one.host.id == host.id and one.holds_host(now)
    )
    return max(host.public_ips - held, 0)


def _room(host: Host, machines: Collection[VirtualMachine], now: datetime) -> tuple[int, int, int]:
    """Free vCPUs, GB of RAM and GB of disk."""
    here = [one for one in machines if one.host.id == host.id and one.holds_host(now)]
    orders = [one.order for one in here if one.holds_gpus(now)]
    return (
        max(host.vcpus - sum(order.vcpus for order in orders), 0),
        max(host.ram_gb - sum(order.ram_gb for order in orders), 0),
        max(host.storage_gb - sum(one.order.storage_gb for one in here), 0),
    )


def _fits(order: Order, host: Host, machines: Collection[VirtualMachine], now: datetime) -> bool:
    vcpus, ram_gb, storage_gb = _room(host, machines, now)
    has_gpus = free_gpus(host, gpu_of(host, order.gpu), machines, now) >= order.gpu_count
    has_room = order.vcpus <= vcpus and order.ram_gb <= ram_gb and order.storage_gb <= storage_gb
    return has_gpus and has_room


def _has_ports(
    order: Order, host: Host, machines: Collection[VirtualMachine], now: datetime
) -> bool:
    return len(order.forwards) <= len(free_ports(host, machines, now))


def _is_allowed(order: Order, host: Host) -> bool:
    """Whether it keeps to what the host allows, which is told nowhere but here."""
    gpus = max(order.gpu_count, 1)
    per_gpu = ((order.vcpus, host.max_vcpus_per_gpu), (order.ram_gb, host.max_ram_per_gpu))
    is_within = all(most is None or amount <= most * gpus for amount, most in per_gpu)
    return is_within and order.storage_gb >= host.least_storage_gb


def _location(location: Location, machines: Collection[VirtualMachine], now: datetime) -> Body:
    """What is offered of one model is the most that one machine can have of it."""
    offers: dict[str, Body] = {}
    for host in location.hosts:
        for gpu in host.gpus:
            free = free_gpus(host, gpu, machines, now)
            known = offers.get(gpu.v0_name)
            if free and (known is None or known["max_count"] < free):
                offers[gpu.v0_name] = _offer(host, gpu, free, machines, now)
    return {
        "id": location.id,
        "city": location.city,
        "stateprovince": location.stateprovince,
        "country": location.country,
        "tier": location.tier,
        "gpus": list(offers.values()),
    }


def _offer(
    host: Host, gpu: Gpu, free: int, machines: Collection[VirtualMachine], now: datetime
) -> Body:
    vcpus, ram_gb, storage_gb = _room(host, machines, now)
    named = {"displayName": gpu.display_name} if gpu.display_name else {}
    return {
        "v0Name": gpu.v0_name,
        **named,
        "max_count": free,
        "price_per_hr": float(gpu.price),
        "resources": {"max_vcpus": vcpus, "max_ram_gb": ram_gb, "max_storage_gb": storage_gb},
        "pricing": _pricing(host),
        "network_features": {
            "dedicated_ip_available": _free_ips(host, machines, now) > 0,
            "port_forwarding_available": bool(free_ports(host, machines, now)),
            "network_storage_available": False,
        },
    }


def _hostnode(
    location: Location, host: Host, machines: Collection[VirtualMachine], now: datetime
) -> Body:
    vcpus, ram_gb, storage_gb = _room(host, machines, now)
    gpus = max(sum(gpu.count for gpu in host.gpus), 1)
    return {
        "id": host.id,
        "location_id": location.id,
        "engine": "kvm",
        "uptime_percentage": host.uptime,
        "available_resources": {
            "gpus": [
                {
                    "v0Name": gpu.v0_name,
                    "availableCount": free_gpus(host, gpu, machines, now),
                    "price_per_hr": float(gpu.price),
                }
                for gpu in host.gpus
            ],
            "vcpu_count": vcpus,
            "ram_gb": ram_gb,
            "storage_gb": storage_gb,
            "max_vcpus_per_gpu": host.max_vcpus_per_gpu or host.vcpus // gpus,
            "max_ram_per_gpu": host.max_ram_per_gpu or host.ram_gb // gpus,
            "max_vcpus": vcpus,
            "max_ram_gb": ram_gb,
            "max_storage_gb": storage_gb,
            "available_ports": free_ports(host, machines, now),
            "has_public_ip_available": _free_ips(host, machines, now) > 0,
        },
        "pricing": _pricing(host),
        "location": _place(location),
    }


def _pricing(host: Host) -> dict[str, float]:
    prices: dict[str, Decimal] = {
        "per_vcpu_hr": host.per_vcpu,
        "per_gb_ram_hr": host.per_gb_ram,
        "per_gb_storage_hr": host.per_gb_storage,
    }
    return {name: float(price) for name, price in prices.items()}


def _place(location: Location) -> Body:
    return {
        "uuid": location.id,
        "city": location.city,
        "stateprovince": location.stateprovince,
        "country": location.country,
        "has_network_storage": False,
        "network_speed_gbps": 0.94,
        "network_speed_upload_gbps": 0.9,
        "organization": "c0ffee00-0000-4000-8000-000000000001",
        "organizationName": "Somebody's hosts",
        "tier": location.tier,
    }
