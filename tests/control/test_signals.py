"""The first signal stops in order, the second at once; before there is a trader the first ends the start."""

import asyncio
import os
import signal

import pytest

from polybot.control.signals import StopSignals


class Trader:
    """Notes what reaches it."""

    def __init__(self):
        self.said = []
        self.stopped = asyncio.Event()

    def notice(self, level, text):
        self.said.append((level, text))

    def stop(self):
        self.stopped.set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_the_trader_and_the_second_ends_the_process(number, capfd):
    exits = []

    async def live():
        trader = Trader()
        with StopSignals(exit_now=exits.append) as signals:
            signals.attach(trader)
            os.kill(os.getpid(), number)
            await asyncio.wait_for(trader.stopped.wait(), 10.0)
            assert (exits, signals.was_early) == ([], False)
            os.kill(os.getpid(), number)
            assert exits == [130]  # at once: without a turn of the loop
        return trader.said

    assert asyncio.run(live())[0][1].startswith("stopping: no new orders")
    assert "ORDERS MAY BE OPEN" in capfd.readouterr().err


def test_a_signal_before_there_is_a_trader_cancels_the_start():
    async def start(told):
        with StopSignals(exit_now=told.append) as signals:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(60.0)
            except asyncio.CancelledError:
                return signals.was_early
            return None

    told = []
    assert asyncio.run(start(told)) is True
    assert told == []


def test_afterwards_the_handlers_are_those_from_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    async def live():
        inside = {number: signal.getsignal(number) for number in before}
        with StopSignals(exit_now=lambda code: None):
            assert all(signal.getsignal(number) != inside[number] for number in before)
        assert {number: signal.getsignal(number) for number in before} == inside

    asyncio.run(live())
    assert {number: signal.getsignal(number) for number in before} == before
