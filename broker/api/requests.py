"""A session as a client asks for it, in the broker's own terms."""

from __future__ import annotations

from datetime import timedelta

from broker.api.models import SessionCreate
from broker.model import Criteria, Request


def request_of(body: SessionCreate) -> Request:
    """The body in the broker's own terms."""
    minutes = (body.reservation_hours or 0) * 60 + (body.reservation_minutes or 0)
    criteria = Criteria(
        gpu_type=body.gpu_type,
        gpu_count=body.gpu_count,
        min_vram=body.min_vram,
        max_price=body.max_price,
        location=body.location,
        min_reliability=body.min_reliability,
        min_cuda=body.min_cuda,
        provider=body.provider,
        allow_unverified=body.allow_unverified,
    )
    return Request(
        consumer_id=body.consumer_id,
        workload_type=body.workload_type,
        reservation=timedelta(minutes=minutes),
        offer_id=body.offer_id,
        criteria=criteria,
        launch_mode=body.launch_mode,
        docker_image=body.docker_image,
        model_id=body.model_id,
        quantization=body.quantization,
        exposed_ports=body.exposed_ports,
        template_hash_id=body.template_hash_id,
        storage_policy=body.storage_policy,
        idle_threshold=_minutes(body.idle_threshold_minutes),
        auto_retry=body.auto_retry,
        max_retries=body.max_retries,
        retry_scope=body.retry_scope,
        ssh_key_type=body.ssh_key_type,
        managed_access=body.managed_access,
        ssh_timeout=_minutes(body.ssh_timeout_minutes),
        hard_max_override=timedelta(hours=body.hard_max_override)
        if body.hard_max_override
        else None,
        watchdog=body.watchdog,
        name=body.name,
        labels=body.labels,
    )


def _minutes(count: int | None) -> timedelta | None:
    return timedelta(minutes=count) if count else None
