"""What must hold of a broker after any misfortune, as the service sees it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from providers.label import PREFIX
from tests.tensordock_wire.misfortunes import Operation
from tests.tensordock_wire.service import TensordockWire


def assert_sound(
    wire: TensordockWire, *, prefix: str = PREFIX, most_billed: Decimal | None = None
) -> None:
    """Hold the broker, whose machines have names that begin with `prefix`, to its duties.

    Nothing of it is left; nothing of others was deleted or stopped; no creation was sent again
    without a look at the list; it kept to the limits, where there are any; and what it had
    cost no more than `most_billed` USD, its own estimate.
    """
    left = [one["name"] for one in wire.instances() if one["name"].startswith(prefix)]
    breaches = [f"left behind: {name}" for name in left]
    breaches += [*_foreign_ends(wire, prefix), *_blind_repetitions(wire)]
    if wire.violations:
        breaches.append(f"{wire.violations} calls too many")
    billed = sum(
        (one.billed for one in wire.fleet.machines.values() if one.name.startswith(prefix)),
        Decimal(),
    )
    if most_billed is not None and billed > most_billed:
        breaches.append(f"billed {billed}, estimated {most_billed}")
    assert not breaches, "; ".join(breaches)


def _foreign_ends(wire: TensordockWire, prefix: str) -> Iterator[str]:
    """Whatever was done to the machines of others; machines are never stopped at all."""
    for call in wire.calls:
        machine_id = call.path.partition("/instances/")[2].partition("/")[0]
        one = wire.fleet.machines.get(machine_id)
        is_foreign = one is not None and not one.name.startswith(prefix)
        if call.operation == Operation.STOP:
            yield f"stopped: {machine_id}"
        elif is_foreign and call.operation == Operation.DESTROY:
            yield f"deleted somebody else's: {machine_id}"


def _blind_repetitions(wire: TensordockWire) -> Iterator[str]:
    """Creations with a name that was sent before, and may have made a machine unseen.

    What was answered with 400 or 429 has made none for certain.
    """
    open_names: set[object] = set()
    for call in wire.calls:
        if call.operation == Operation.LIST:
            open_names.clear()
        if call.operation != Operation.CREATE or call.status in (400, 429):
            continue
        name = _name_of(call.body)
        if name in open_names:
            yield f"created again without a look: {name}"
        open_names.add(name)


def _name_of(body: object) -> object:
    data = body.get("data") if isinstance(body, dict) else None
    attributes = data.get("attributes") if isinstance(data, dict) else None
    return attributes.get("name") if isinstance(attributes, dict) else None
