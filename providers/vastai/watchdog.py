"""The dead-man's switch: what a machine runs so that it ends itself when its time is over.

Vast.ai puts an API key into every machine that may destroy this one machine and nothing
else (docs/wire/vastai.md, "Inside the machine"). It works without the broker, as long as
the machine runs, has one of three usual programs and reaches the marketplace.
"""

from __future__ import annotations

import math
import shlex
from datetime import datetime

from providers.base import WATCHDOG_FILE

_LOOK_SECONDS = 5

_SCRIPT = """\
(umask 077
f="${{HOME:-/root}}/{file}"; [ -s "$f" ] || echo {deadline} >"$f"
u={url}/api/v0/instances/$CONTAINER_ID/; a="Authorization: Bearer $CONTAINER_API_KEY"
end() {{ curl -fsS -m 60 -X DELETE -H "$a" -H 'Content-Type: application/json' -d '{{}}' "$u" ||
wget -qO- -T 60 --method=DELETE --header="$a" "$u" ||
U="$u" K="$CONTAINER_API_KEY" python3 -c 'import os,urllib.request as r
h={{"Authorization":"Bearer "+os.environ["K"]}}
r.urlopen(r.Request(os.environ["U"],method="DELETE",headers=h),timeout=60)'
}}
while :; do
d=$(cat "$f" 2>/dev/null); case "$d" in ''|*[!0-9]*) d={deadline};; esac
[ "$(date +%s)" -lt "$d" ] || end
sleep {look}
done) >/dev/null 2>&1 &
"""


def with_watchdog(on_start: str | None, deadline: datetime, api_url: str) -> str:
    """Shell text that starts the switch in the background, and then does what `on_start` says."""
    script = _SCRIPT.format(
        file=WATCHDOG_FILE,
        deadline=math.ceil(deadline.timestamp()),
        url=shlex.quote(api_url.rstrip("/")),
        look=_LOOK_SECONDS,
    )
    return script + (on_start or "")
