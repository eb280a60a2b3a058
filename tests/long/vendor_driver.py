"""Drives the vendor's SDK from outside: one call a line on stdin, one outcome a line on stdout.

It runs in an environment that has the SDK and nothing of ours. A call is `[method, args, kwargs]`,
an outcome `{"result": …}`, or `{"error": class, "status": …, "body": …}` for what was raised.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import vastai


def outcome_of(client: Any, method: str, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a call returned or raised."""
    try:
        return {"result": getattr(client, method)(*args, **kwargs)}
    except Exception as error:  # noqa: BLE001 (it is told, whatever it is)
        response = getattr(error, "response", None)
        return {
            "error": type(error).__name__,
            "status": getattr(response, "status_code", None),
            "body": getattr(response, "text", str(error)),
        }


def main(out: Any) -> None:
    """Carry out calls until there are no more."""
    client = vastai.VastAI()
    for line in sys.stdin:
        print(json.dumps(outcome_of(client, *json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    # What the SDK prints itself must not get between the outcomes.
    outcomes, sys.stdout = sys.stdout, sys.stderr
    main(outcomes)
