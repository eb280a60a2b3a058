"""What the API's first document prints, word for word, and what it is to be like that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

OFFER = """{
"id": "vastai-12345", "provider": "vastai", "provider_id": "12345", "gpu_type": "RTX 4090",
"gpu_count": 1, "vram_gb": 24, "price_per_hour": 0.45, "location": "US-West", "reliability": 0.98,
"available": true, "max_duration_hours": 0, "fetched_at": "2026-01-29T12:00:00Z",
"cuda_version": 13.0 }"""
LISTED_TEMPLATE = """{
"id": 338630, "hash_id": "a8a44c7363cbca20056020397e3bf072", "name": "Ollama",
"image": "vastai/ollama", "tag": "0.15.4",
"env": "-p 1111:1111 -p 21434:21434 -e OLLAMA_MODEL=qwen3:14b ...", "onstart": "entrypoint.sh",
"runtype": "jupyter", "use_ssh": true, "ssh_direct": true, "recommended": true,
"recommended_disk_space": 32, "extra_filters": "{}", "creator_id": 62897,
"created_at": "2026-02-02T13:27:28-05:00", "count_created": 302 }"""
CREATED_SESSION = """{
"id": "sess-abc123", "consumer_id": "my-application", "provider": "vastai",
"gpu_type": "RTX 4090", "gpu_count": 1, "status": "provisioning", "ssh_host": "192.168.1.100",
"ssh_port": 22, "ssh_user": "root", "workload_type": "llm", "reservation_hours": 2,
"price_per_hour": 0.45, "disk_gb": 100, "created_at": "2026-01-29T12:00:00Z",
"expires_at": "2026-01-29T14:00:00Z" }"""
COSTS = """{
"consumer_id": "my-application", "total_cost": 45.67, "session_count": 12, "hours_used": 98.5,
"by_provider": {}, "by_gpu_type": {} }"""

HEALTH = json.loads("""{
"status": "ok", "timestamp": "2026-01-29T12:00:00Z",
"services": { "lifecycle": "running", "inventory": "ok", "ready": "true" } }""")
READY = json.loads('{ "ready": true, "timestamp": "2026-01-29T12:00:00Z" }')
INVENTORY = json.loads(f'{{ "offers": [{OFFER}], "count": 1, "total": 150 }}')
ONE_OFFER = json.loads(OFFER)
COMPATIBLE = json.loads("""{
"offer_id": "vastai-12345",
"compatible_templates": [ { "hash_id": "a8a44c7363cbca20056020397e3bf072", "name": "Ollama",
"image": "vastai/ollama", "recommended_disk_space": 32 } ],
"count": 1 }""")
TEMPLATES = json.loads(f'{{ "templates": [{LISTED_TEMPLATE}], "count": 1 }}')
ONE_TEMPLATE = json.loads("""{
"id": 338630, "hash_id": "a8a44c7363cbca20056020397e3bf072", "name": "Ollama",
"image": "vastai/ollama", "tag": "0.15.4", "runtype": "jupyter", "use_ssh": true,
"recommended": true, "recommended_disk_space": 32 }""")
CREATE = json.loads("""{
"consumer_id": "my-application", "offer_id": "vastai-12345", "workload_type": "llm",
"reservation_hours": 2, "idle_threshold_minutes": 30, "storage_policy": "destroy", "disk_gb": 100,
"template_hash_id": "a8a44c7363cbca20056020397e3bf072" }""")
CREATED = json.loads(f"""{{
"session": {CREATED_SESSION}, "ssh_private_key": "-----BEGIN RSA PRIVATE KEY-----" }}""")
SESSIONS = json.loads(f'{{ "sessions": [{CREATED_SESSION}], "count": 5 }}')
ONE_SESSION = json.loads(CREATED_SESSION)
DONE = json.loads('{ "message": "session shutdown initiated", "session_id": "sess-abc123" }')
EXTEND = json.loads('{ "additional_hours": 2 }')
EXTENDED = json.loads("""{
"message": "session extended", "session_id": "sess-abc123",
"new_expires_at": "2026-01-29T16:00:00Z" }""")
DELETED = json.loads('{ "message": "session destroyed", "session_id": "sess-abc123" }')
DIAGNOSTICS = json.loads("""{
"session_id": "sess-abc123", "status": "running", "provider": "vastai", "gpu_type": "RTX 4090",
"gpu_count": 1, "ssh_host": "192.168.1.100", "ssh_port": 22, "ssh_user": "root",
"launch_mode": "ssh", "api_endpoint": "", "created_at": "2026-01-29T12:00:00Z",
"expires_at": "2026-01-29T14:00:00Z", "uptime": "1h 30m", "time_to_expiry": "30m",
"ssh_available": true, "note": "Full SSH diagnostics require client-side SSH access." }""")
SESSION_COST = json.loads('{ "session_id": "sess-abc123", "total_cost": 1.35, "currency": "USD" }')
SUMMARY = json.loads(COSTS)
ERROR = json.loads("""{
"error": "error message description", "request_id": "uuid-of-request" }""")
STALE = json.loads("""{
"error": "offer unavailable due to stale inventory", "error_type": "stale_inventory",
"offer_id": "vastai-12345", "provider": "vastai", "retry_suggested": true,
"message": "The selected offer is no longer available. Please refresh inventory and select a different offer.",
"request_id": "uuid-of-request" }""")  # noqa: E501 (as it is printed)

FIXED = {
    *("message", "error_type", "note", "currency", "retry_suggested", "api_endpoint"),
    *("services.lifecycle", "services.inventory", "services.ready", "launch_mode"),
}
"""Paths of texts that are the same in every answer of the kind."""

MAY_BE_UNKNOWN = {
    *("cuda_version", "reliability", "location"),
    *("env", "onstart", "extra_filters"),
    *("ssh_host", "ssh_port", "ssh_user"),
}
"""What is null where nobody knows it."""


def differences(sample: Any, answer: Any, path: str = "") -> Iterator[str]:
    """How an answer is not like the printed one: fields that are missing, types, fixed words."""
    match sample, answer:
        case dict(), dict():
            for name, value in sample.items():
                below = f"{path}.{name}" if path else name
                if name in answer:
                    yield from differences(value, answer[name], below)
                else:
                    yield f"{below} is missing"
        case [first, *_], [*items]:
            if not items:
                yield f"{path} is empty"
            for item in items:
                yield from differences(first, item, path)
        case _ if not _is_like(sample, answer, path):
            yield f"{path} is {answer!r}, printed {sample!r}"


def _is_like(sample: Any, answer: Any, path: str) -> bool:
    if answer is None:
        return path.rpartition(".")[2] in MAY_BE_UNKNOWN
    if path in FIXED:
        return bool(sample == answer)
    is_instant = isinstance(sample, str) and sample.endswith("Z")
    return _type(sample) == _type(answer) and (not is_instant or answer.endswith("Z"))


def _type(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if is_number else type(value).__name__
