"""The peers of receiving: aiohttp and websockets clients that do nothing with a message but count it.

Runs in the peer's own environment.  Each task connects to every path of bench/frame_server.py's round, receives until
the server closes, and tells what the process's CPU time was from saying "go" to the last goodbye.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import uvloop
import websockets
from serving import serve

Receive = Callable[[str, asyncio.Barrier], Awaitable[int]]


def run(url: str, paths: list[str], receive: Receive) -> dict[str, Any]:
    """Receive everything from every path at once."""

    async def both() -> dict[str, Any]:
        connected = asyncio.Barrier(len(paths) + 1)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_counted(receive, f"{url}/{path}", connected)) for path in paths]
            await connected.wait()
            start_ns, start_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        cpu_ns, ns = time.process_time_ns() - start_cpu_ns, time.perf_counter_ns() - start_ns
        return {"ns": ns, "cpu_ns": cpu_ns, "frames": sum(task.result() for task in tasks)}

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(both())


async def _counted(receive: Receive, url: str, connected: asyncio.Barrier) -> int:
    return await receive(url, connected)


async def _aiohttp(url: str, connected: asyncio.Barrier) -> int:
    count = 0
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0, compress=0) as socket:
        await connected.wait()
        await socket.send_str("go")
        async for _ in socket:
            count += 1
    return count


async def _websockets(url: str, connected: asyncio.Barrier) -> int:
    count = 0
    async with websockets.connect(url, compression=None, max_queue=None, max_size=None, ping_interval=None) as socket:
        await connected.wait()
        await socket.send("go")
        async for _ in socket:
            count += 1
    return count


serve(
    aiohttp=lambda url, paths: run(url, paths, _aiohttp),
    websockets=lambda url, paths: run(url, paths, _websockets),
)
