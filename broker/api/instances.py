"""The instances of a marketplace account: what really runs there, and whose it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from aiohttp import web

from broker.api import shapes
from broker.api.http import json_response
from broker.api.routes import Resource, Route, Tag
from broker.decide.ownership import Owned
from broker.errors import NotFound, ProviderUnavailable
from broker.usecases.accounts import Accounts


class InstanceRoutes(Resource):
    """Handler of `/api/v1/providers/{name}/instances`."""

    def __init__(self, accounts: Accounts, now: Callable[[], datetime]) -> None:
        self._accounts = accounts
        self._now = now

    async def list_all(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        contents = await self._accounts.contents(name)
        now = self._now()
        prices = (one.instance.price_per_hour for one in contents.instances)
        answer: shapes.Instances = {
            "provider": name,
            "instances": [_present(one, now) for one in contents.instances],
            "count": len(contents.instances),
            "listed_at": contents.listed_at,
            "burn_per_hour": sum((price for price in prices if price is not None), Decimal(0)),
        }
        return json_response(answer)

    ROUTES = (
        Route(
            method="GET",
            path="/api/v1/providers/{name}/instances",
            handler=list_all,
            operation="list_instances",
            tag=Tag.OPERATION,
            summary="What an account really runs",
            description=(
                "Every machine of the account, as a fresh list of the marketplace has it: "
                "orphaned ones first, then unreadable, then foreign ones, then ours, the oldest "
                "first. 503 where it cannot be listed."
            ),
            names={"name": shapes.Provider},
            answers={200: shapes.Instances},
            errors=(NotFound, ProviderUnavailable),
        ),
    )


def _present(owned: Owned, now: datetime) -> shapes.Instance:
    instance, label, seen = owned.instance, owned.label, owned.sighting
    return {
        "instance_id": instance.id,
        "label": instance.label,
        "ownership": owned.ownership,
        "deployment": label.deployment if label else None,
        "session_id": _session_id(owned),
        "session_status": owned.holder.status if owned.holder else None,
        "status": instance.status,
        "gpu_type": instance.gpu_type,
        "gpu_count": instance.gpu_count,
        "created_at": instance.created_at,
        "age_seconds": _age(owned.since, now),
        "price_per_hour": instance.price_per_hour,
        "deadline": label.deadline if label else None,
        "first_seen_at": seen.first_seen_at if seen else None,
        "destroy_asked_at": seen.destroy_asked_at if seen else None,
    }


def _session_id(owned: Owned) -> str | None:
    """Whose it is; of a machine that is not ours, what its label says."""
    if owned.holder is not None:
        return owned.holder.session_id
    return owned.label.session_id if owned.label else None


def _age(since: datetime | None, now: datetime) -> int | None:
    return None if since is None else max(int((now - since).total_seconds()), 0)
