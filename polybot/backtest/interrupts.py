"""Ctrl-C and SIGTERM as something to wait for, beside the results of worker processes.

Owns the two signals while work is under way.  Must not end anything itself.
Called by polybot.backtest.jobs and its Ray sibling, and by polybot.campaign.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interruptible"]


@contextmanager
def interruptible() -> Iterator[int]:
    """While it lasts SIGINT and SIGTERM only make a pipe readable: nothing is torn in the middle of a step.

    Outside the main thread, where Python takes no signal, the pipe stays silent.  Raises KeyboardInterrupt at its end
    for a signal that came after the last look at the pipe: it must not be lost between two batches.
    """
    readable, writable = os.pipe()
    told: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        told.append(number)
        os.write(writable, b"!")

    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield readable
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(readable)
        os.close(writable)
    if told:
        raise KeyboardInterrupt
