"""The seam where faults enter the embedded venue: every message sent and every REST answer.

The default does nothing at all.  A plan may drop, delay, repeat or mangle what passes; it owns its
randomness (seeded) and its timers (the venue's scheduler).  Called by clob_rest and clob_ws.
"""

from collections.abc import Callable
from typing import Protocol

from polybot.transport import HttpResponse, SendText

__all__ = ["FaultPlan", "NoFaults"]


class FaultPlan(Protocol):
    """What may happen between the venue and the wire."""

    def deliver(self, channel: str, text: str, send: SendText, now_ns: int) -> None:
        """Pass one websocket message on, or not; channel is "market" or "user"."""
        ...

    def answer(self, method: str, path: str, call: Callable[[], HttpResponse], now_ns: int) -> HttpResponse:
        """Produce the answer of one request; `call` has the effect and may be called or not."""
        ...


class NoFaults:
    """Everything arrives, once, unchanged."""

    def deliver(self, channel: str, text: str, send: SendText, now_ns: int) -> None:
        send(text)

    def answer(self, method: str, path: str, call: Callable[[], HttpResponse], now_ns: int) -> HttpResponse:
        return call()
