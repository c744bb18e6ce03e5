"""A spinning loop turns by itself and runs everything else as before; stopped, it sleeps again."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from polybot.loop_spin import BusySpin

LIMIT_S = 60.0
Factory = Callable[[], asyncio.AbstractEventLoop]


async def _spin(spin: BusySpin) -> list[str]:
    """Spin until a timer and a socket have had their turn; what came."""
    came: list[str] = []
    spin.start()
    spin.start()  # once is enough
    asyncio.get_running_loop().call_later(0.001, came.append, "timer")
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with asyncio.timeout(LIMIT_S), server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x\n")
        came.append((await reader.readline()).decode().strip())
        writer.close()
        while spin.turns < 1_000 or len(came) < 2:
            await asyncio.sleep(0)
    return came


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    writer.close()


async def _spin_and_stop() -> tuple[int, int, list[str]]:
    spin = BusySpin()
    came = await _spin(spin)
    assert spin.is_on
    spin.stop()
    await asyncio.sleep(0)
    turns = spin.turns
    for _ in range(100):
        await asyncio.sleep(0)
    return turns, spin.turns, came


async def _spin_and_break() -> None:
    BusySpin().start()
    await asyncio.sleep(0)
    raise ValueError("broken")


@pytest.mark.parametrize("factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_spinning_starves_nothing_and_ends_when_told(factory: Factory) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        turns, later, came = runner.run(_spin_and_stop())
    assert turns >= 1_000
    assert later == turns
    assert sorted(came) == ["timer", "x"]


@pytest.mark.parametrize("factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_loop_that_is_closed_while_it_spins_ends_all_the_same(factory: Factory) -> None:
    with pytest.raises(ValueError, match="broken"), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_spin_and_break())
