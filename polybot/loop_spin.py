"""A loop that never sleeps: `loop.busy_spin=true`.

Owns one callback that asks to be called again in the next turn, so that the selector is only looked at, never waited
for: the wake-up of a sleeping core is saved, and one core is used up.  Must not be used where the core is shared.
Called by polybot.loop_care.
"""

import asyncio

__all__ = ["BusySpin"]


class BusySpin:
    """Keeps one running loop awake between start() and stop()."""

    def __init__(self) -> None:
        self.turns = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_on(self) -> bool:
        """Does it spin?"""
        return self._loop is not None

    def start(self) -> None:
        """Begin to spin on the running loop."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._turn)

    def stop(self) -> None:
        """The loop may sleep again, from its next turn on."""
        self._loop = None

    def _turn(self) -> None:
        loop = self._loop
        if loop is not None:
            self.turns += 1
            loop.call_soon(self._turn)
