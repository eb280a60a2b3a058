"""The simulated Vast.ai as a program: for people, and for tools that are programs themselves."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp

from tests.contract.vast_logins import PUBLIC_KEY
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


async def test_it_says_where_it_serves_and_takes_everything_with_it(tmp_path: Path) -> None:
    """Also the machines, when it is told to end."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.vast_wire", "--api-key", "K", "--offers", "5"),
        cwd=ROOT,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    line = await asyncio.wait_for(program.stdout.readline(), PATIENCE)
    url, *words = line.decode().split()
    headers = {"Authorization": "Bearer K"}
    async with aiohttp.ClientSession(url, headers=headers) as http:
        async with http.post("/api/v0/bundles/", json={}) as response:
            offers = (await response.json())["offers"]
        await http.post("/api/v0/ssh/", json={"ssh_key": PUBLIC_KEY})
        body = {"image": "ubuntu", "disk": 10}
        async with http.put(f"/api/v0/asks/{offers[0]['id']}/", json=body) as response:
            made = await response.json()
    folders = len(list(tmp_path.iterdir()))
    program.terminate()

    assert (["api", "key", "K"], 5, True) == (words, len(offers), made["success"])
    assert 0 == await asyncio.wait_for(program.wait(), PATIENCE)
    assert [1, 0] == [folders, len(list(tmp_path.iterdir()))]
