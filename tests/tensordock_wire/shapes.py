"""In which of the shapes that were seen the service answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tests.tensordock_wire.lives import VirtualMachine
from tests.tensordock_wire.refusals import ErrorShape
from tests.wire.answers import Body


class ListShape(StrEnum):
    """What stands around the list of machines."""

    PLAIN = "plain"
    """`{"data": [item]}`: the live service."""
    NAMED = "named"
    """`{"data": {"instances": [item]}}`."""
    TYPED = "typed"
    """`{"data": {"type": "list", "id": "instances", "attributes": {"instances": [item]}}}`."""


class Case(StrEnum):
    """How a status is written."""

    LOWER = "lower"
    TITLE = "title"
    UPPER = "upper"
    CAMEL = "camel"
    """`StoppedDisassociated`."""
    SNAKE = "snake"
    """`stopped_disassociated`."""


class NoAddress(StrEnum):
    """What `ipAddress` is while there is none."""

    EMPTY = "empty"
    NULL = "null"
    MISSING = "missing"


@dataclass
class Shapes:
    """The switches; tests turn them."""

    list_shape: ListShape = ListShape.PLAIN
    has_attributes: bool = False
    """Whether the fields of an item of the list stand in its `attributes`."""
    has_list_price: bool = True
    is_list_brief: bool = False
    """Whether an item of the list tells nothing but which machine it is, and its status."""
    has_gone_in_list: bool = False
    """Whether deleted machines stay in the list, as deleted."""
    is_wrapped: bool = False
    """Whether one machine is told in `data`."""
    create_status: int = 200
    create_attributes: bool = False
    """Whether name and status of a new machine stand in `attributes`."""
    delete_status: int = 200
    case: Case = Case.LOWER
    no_address: NoAddress = NoAddress.EMPTY
    first_status: str = "running"
    """What a new machine is told to be at once: `running`, `creating` or `queued`."""
    error: ErrorShape = ErrorShape.TEXT

    def word(self, status: str) -> str:
        """A status as it is written."""
        spaced = status.replace("disassociated", " disassociated")
        match self.case:
            case Case.TITLE:
                return status.capitalize()
            case Case.UPPER:
                return status.upper()
            case Case.CAMEL:
                return spaced.title().replace(" ", "")
            case Case.SNAKE:
                return spaced.replace(" ", "_")
        return status

    def machine(self, one: VirtualMachine, now: datetime) -> Body:
        """One machine, without anything around it."""
        order, has_address = one.order, one.has_address(now)
        gpus = {order.gpu: {"count": order.gpu_count, "v0Name": order.gpu}} if order.gpu else {}
        body: Body = {
            "type": "virtualmachine",
            "id": one.id,
            "name": one.name,
            "status": self.word(one.status(now)),
            "ipAddress": one.address if has_address else "",
            "portForwards": [
                {"internal_port": forward.inside, "external_port": forward.outside}
                for forward in one.forwards
                if has_address
            ],
            "resources": {
                "vcpu_count": order.vcpus,
                "ram_gb": order.ram_gb,
                "storage_gb": order.storage_gb,
                "gpus": gpus,
            },
            "rateHourly": float(one.rate),
        }
        if not has_address and self.no_address is NoAddress.NULL:
            body["ipAddress"] = None
        if not has_address and self.no_address is NoAddress.MISSING:
            del body["ipAddress"]
        return body

    def shown(self, body: Body) -> Body:
        """One machine as its own call tells it."""
        return {"data": body} if self.is_wrapped else body

    def created(self, one: VirtualMachine) -> Body:
        """The answer to a creation."""
        told = {"name": one.name, "status": self.word(self.first_status)}
        head = {"type": "virtualmachine", "id": one.id}
        return {"data": {**head, "attributes": told} if self.create_attributes else head | told}

    def listed(self, bodies: list[Body]) -> Body:
        """All machines as the list tells them."""
        items = [self._item(body) for body in bodies]
        match self.list_shape:
            case ListShape.NAMED:
                return {"data": {"instances": items}}
            case ListShape.TYPED:
                attributes = {"instances": items}
                return {"data": {"type": "list", "id": "instances", "attributes": attributes}}
        return {"data": items}

    def _item(self, body: Body) -> Body:
        if self.is_list_brief:
            body = {name: body[name] for name in ("type", "id", "name", "status")}
        if not self.has_list_price:
            body = {name: value for name, value in body.items() if name != "rateHourly"}
        if not self.has_attributes:
            return body
        fields = {name: value for name, value in body.items() if name not in ("type", "id")}
        return {"type": body["type"], "id": body["id"], "attributes": fields}
