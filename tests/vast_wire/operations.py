"""Which kind of call a request is."""

from __future__ import annotations

from aiohttp import web

from tests.vast_wire.misfortunes import Operation

_INSTANCE = "/api/v0/instances/{id}/"
_OF = {
    ("POST", "/api/v0/bundles/"): Operation.SEARCH,
    ("GET", "/api/v0/bundles/"): Operation.SEARCH,
    ("GET", "/api/v0/bundles"): Operation.SEARCH,
    ("PUT", "/api/v0/search/asks/"): Operation.SEARCH,
    ("PUT", "/api/v0/asks/{id}/"): Operation.CREATE,
    ("POST", "/api/v0/asks/bulk/"): Operation.CREATE,
    ("PUT", "/api/v0/launch_instance/"): Operation.CREATE,
    ("GET", "/api/v1/instances/"): Operation.LIST,
    ("GET", "/api/v0/instances/"): Operation.OLD_LIST,
    ("GET", "/api/v0/instances"): Operation.OLD_LIST,
    ("GET", _INSTANCE): Operation.SHOW,
    ("PUT", _INSTANCE): Operation.CHANGE,
    ("PUT", "/api/v0/instances/"): Operation.CHANGE,
    ("DELETE", _INSTANCE): Operation.DESTROY,
    ("DELETE", "/api/v0/instances/"): Operation.DESTROY,
    ("PUT", "/api/v0/instances/reboot/{id}/"): Operation.REBOOT,
    ("PUT", "/api/v0/instances/recycle/{id}/"): Operation.REBOOT,
    ("PUT", "/api/v0/instances/bid_price/{id}/"): Operation.BID,
    ("PUT", "/api/v0/instances/prepay/{id}/"): Operation.PREPAY,
    ("PUT", "/api/v0/instances/request_logs/{id}/"): Operation.LOGS,
    ("PUT", "/api/v0/instances/command/{id}/"): Operation.COMMAND,
    ("POST", f"{_INSTANCE}ssh/"): Operation.ATTACH,
    ("GET", f"{_INSTANCE}ssh/"): Operation.ATTACHED,
    ("DELETE", f"{_INSTANCE}ssh/{{key}}/"): Operation.DETACH,
    ("GET", "/api/v0/ssh/"): Operation.KEYS,
    ("POST", "/api/v0/ssh/"): Operation.NEW_KEY,
    ("PUT", "/api/v0/ssh/{id}/"): Operation.NEW_KEY,
    ("DELETE", "/api/v0/ssh/{id}/"): Operation.KEYS,
    ("GET", "/api/v0/template/"): Operation.TEMPLATES,
    ("POST", "/api/v0/template/"): Operation.NEW_TEMPLATE,
    ("DELETE", "/api/v0/template/"): Operation.NEW_TEMPLATE,
    ("PUT", "/api/v1/template/"): Operation.NEW_TEMPLATE,
    ("GET", "/api/v0/users/current"): Operation.USER,
    ("GET", "/api/v0/users/current/"): Operation.USER,
    ("GET", "/api/v0/charges/"): Operation.CHARGES,
    ("GET", "/api/v1/invoices/"): Operation.INVOICES,
    ("GET", "/api/v0/secrets/"): Operation.SECRETS,
    ("GET", "/api/v0/gpu_names/unique/"): Operation.OPEN,
    ("GET", "/api/v0/gpu_types/"): Operation.OPEN,
    ("GET", "/results/{name}"): Operation.OPEN,
}
OPEN = frozenset({Operation.SEARCH, Operation.OPEN})
"""What is answered without a key."""
OWN_MACHINE = frozenset({Operation.SHOW, Operation.CHANGE, Operation.DESTROY})
"""What an instance's key allows with that instance, its label aside."""


def operation_of(request: web.Request) -> Operation:
    """The kind of a request, whether or not it can be served."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    return _OF.get((request.method, path), Operation.OTHER)
