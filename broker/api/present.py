"""Sessions and events as JSON has them. One shape of the session object everywhere."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from broker.api import shapes
from broker.decide.lease import due_at, has_cut_hold
from broker.decide.money import price_of
from broker.model import Attempt, Event, Session, Warned
from providers.base import Endpoint

_INNER_NETWORKS = tuple(
    map(
        ipaddress.ip_network,
        (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
            *("fc00::/7", "fe80::/10"),
        ),
    )
)
"""Private, shared and link-local addresses."""

_NOTE = "Full SSH diagnostics require client-side SSH access."


def present_session(
    session: Session, attempts: Sequence[Attempt], accrued: Decimal
) -> shapes.Session:
    """The session object; `accrued` is what it has cost so far."""
    span = due_at(session) - session.created_at
    has_hold = not has_cut_hold(session)
    return {
        "id": session.id,
        "status": session.status,
        "status_reason": session.reason,
        "error": session.error,
        **_present_request(session),
        **_present_machine(session),
        "idle_since": session.idle_since,
        "price_per_hour": session.price_per_hour,
        "estimated_cost": price_of(session.price_per_hour, span),
        "accrued_cost": accrued,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "held_until": session.held_until if has_hold else None,
        "hold_reason": session.hold_reason if has_hold else None,
        "running_at": session.running_at,
        "stopped_at": session.stopped_at,
        "attempts": [_present_attempt(attempt) for attempt in attempts],
    }


def _present_request(session: Session) -> shapes.RequestedSession:
    """What the consumer asked for; the reservation with its extensions."""
    request = session.request
    reservation = session.expires_at - session.created_at
    hours = reservation / timedelta(hours=1)
    return {
        "consumer_id": request.consumer_id,
        "name": request.name,
        "labels": dict(request.labels),
        "workload_type": request.workload_type,
        "launch_mode": request.launch_mode,
        "docker_image": request.docker_image,
        "model_id": request.model_id,
        "quantization": request.quantization,
        "exposed_ports": list(request.exposed_ports),
        "template_hash_id": request.template_hash_id,
        "storage_policy": request.storage_policy,
        "managed_access": request.managed_access,
        "reservation_hours": int(hours) if hours == int(hours) else round(hours, 6),
        "reservation_minutes": reservation // timedelta(minutes=1),
        "idle_threshold_minutes": (request.idle_threshold or timedelta()) // timedelta(minutes=1),
    }


def _present_machine(session: Session) -> shapes.RentedMachine:
    """What was rented, and where it is reached."""
    offer, access = session.offer, session.access
    ssh = access.ssh if access.ssh is not None and is_reachable(access.ssh) else None
    return {
        "provider": offer.provider,
        "offer_id": offer.id,
        "provider_instance_id": session.instance_id,
        "gpu_type": offer.gpu_type,
        "gpu_count": offer.gpu_count,
        "location": offer.location,
        "disk_gb": offer.rented_disk_gb(session.request.disk_gb),
        "image": session.image,
        "ssh_host": ssh.host if ssh else None,
        "ssh_port": ssh.port if ssh else None,
        "ssh_user": access.ssh_user if ssh else None,
        "known_hosts": list(access.known_hosts),
        "api_endpoint": access.api_endpoint,
        "ports": {str(inner): outer.port for inner, outer in access.ports.items()},
    }


def _present_attempt(attempt: Attempt) -> shapes.Attempt:
    return {
        "n": attempt.n,
        "offer_id": attempt.offer.id,
        "provider": attempt.offer.provider,
        "price_per_hour": attempt.price_per_hour,
        "instance_id": attempt.instance_id,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
    }


def present_diagnostics(session: Session, now: datetime) -> shapes.Diagnostics:
    """A closer look at a session; one that has not run yet is up for no time."""
    up, left = now - (session.running_at or now), session.expires_at - now
    machine = _present_machine(session)
    return {
        "session_id": session.id,
        "status": session.status,
        "provider": machine["provider"],
        "gpu_type": machine["gpu_type"],
        "gpu_count": machine["gpu_count"],
        "ssh_host": machine["ssh_host"],
        "ssh_port": machine["ssh_port"],
        "ssh_user": machine["ssh_user"],
        "launch_mode": session.request.launch_mode,
        "api_endpoint": session.access.api_endpoint or "",
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "uptime": present_span(up),
        "uptime_seconds": int(up.total_seconds()),
        "time_to_expiry": present_span(left),
        "seconds_to_expiry": int(left.total_seconds()),
        "ssh_available": session.access.ssh is not None,
        "note": _NOTE,
    }


def present_event(event: Event) -> shapes.Event:
    """One entry of a session's history."""
    return {
        "id": event.id,
        "type": event.type,
        "created_at": event.created_at,
        "data": dict(event.data),
    }


def present_warning(warned: Warned) -> shapes.Warned:
    """Something to know, though the request succeeded."""
    return {"code": warned.code, "message": warned.message}


def present_span(span: timedelta) -> str:
    """A duration for people: `1h 30m`, `30m`; `expired` where it is over."""
    if span < timedelta(0):
        return "expired"
    minutes = int(span.total_seconds() // 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m"


def is_reachable(endpoint: Endpoint) -> bool:
    """False for an address inside a provider's network, which nobody outside can use."""
    try:
        address = ipaddress.ip_address(endpoint.host)
    except ValueError:
        return True
    return not any(address in network for network in _INNER_NETWORKS)
