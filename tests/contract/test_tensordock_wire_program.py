"""The simulated TensorDock as a program: for people, and for tools that are programs themselves."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp

from tests.contract.tensordock_customers import an_order
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


async def test_it_says_where_it_serves_and_takes_everything_with_it(tmp_path: Path) -> None:
    """Also the machines, when it is told to end."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.tensordock_wire", "--api-token", "T"),
        cwd=ROOT,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    line = await asyncio.wait_for(program.stdout.readline(), PATIENCE)
    url, *words = line.decode().split()
    headers = {"Authorization": "Bearer T"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{url}/instances", json=an_order()) as response,
    ):
        made = await response.json()
    folders = len(list(tmp_path.iterdir()))
    program.terminate()

    assert (["api", "token", "T"], "running") == (words[:3], made["data"]["status"])
    assert 0 == await asyncio.wait_for(program.wait(), PATIENCE)
    assert [1, 0] == [folders, len(list(tmp_path.iterdir()))]
