"""The seam where faults enter the embedded venue: every websocket message and every REST answer of the CLOB.

Owns what a plan may do to them: `NoFaults` (the default) does nothing at all, `ScriptedFaults` does what a test
told it, sim.seeded_faults draws from the venue's seed.  A plan says what happens; whoever carries the bytes
(sim.memory, sim.server) does it: see `Withheld`.  Must not know sockets.
Called by clob_rest and clob_ws.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from polybot.transport import HttpResponse, SendText

__all__ = [
    "Call",
    "FaultPlan",
    "NoFaults",
    "Receiver",
    "RestFault",
    "ScriptedFaults",
    "TradeFate",
    "Withheld",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """An answer that does not simply arrive.

    is_reset: the connection breaks at once.  Else after_s None: no answer ever comes; else `response` comes
    after_s venue seconds later.
    """

    response: HttpResponse | None = None
    after_s: float | None = None
    is_reset: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeFate:
    """What becomes of a trade instead of MATCHED, MINED, CONFIRMED in the usual time.

    retry_s > 0: RETRYING in place of MINED, for so long.  is_failed: then FAILED and the match undone.
    late_s: CONFIRMED so much later.
    """

    retry_s: float = 0.0
    is_failed: bool = False
    late_s: float = 0.0


Call = Callable[[], HttpResponse]  # carries the request out: each call has the effect
RestFault = Callable[[Call], HttpResponse | Withheld]


class Receiver(Protocol):
    """The venue's end of one websocket."""

    send: SendText
    close_reason: str | None  # not None: the shell must close the socket; begins with the close code


class FaultPlan(Protocol):
    """What may happen between the venue and the wire."""

    def deliver(self, channel: str, text: str, to: Receiver, now_ns: int) -> None:
        """Pass one websocket message on, or not; channel is "market" or "user"."""
        ...

    def answer(self, method: str, path: str, call: Call, now_ns: int) -> HttpResponse | Withheld:
        """Produce the answer of one request; `call` has the effect and may be called or not."""
        ...

    def page_size(self, size: int) -> int:
        """Rows of the next page of a list; `size` is the usual number."""
        ...

    def trade_fate(self) -> TradeFate | None:
        """What becomes of a new trade of an account with a key; None: the usual."""
        ...


class NoFaults:
    """Everything arrives, once, unchanged."""

    def deliver(self, channel: str, text: str, to: Receiver, now_ns: int) -> None:
        to.send(text)

    def answer(self, method: str, path: str, call: Call, now_ns: int) -> HttpResponse | Withheld:
        return call()

    def page_size(self, size: int) -> int:
        return size

    def trade_fate(self) -> TradeFate | None:
        return None


@dataclass(slots=True)
class _Script:
    method: str  # "": any
    prefix: str  # of the path
    fault: RestFault
    left: int | None  # None: until clear()


@dataclass(slots=True)
class ScriptedFaults:
    """Faults that a test queued: the first script that fits a request strikes it."""

    muted: set[str] = field(default_factory=set)  # channels whose messages are lost: "market", "user"
    rows_per_page: int = 0  # of every list; 0: the usual
    fates: deque[TradeFate] = field(default_factory=deque)  # of the next trades
    struck: list[tuple[str, str]] = field(default_factory=list)  # (method, path) of the requests hit so far
    _scripts: deque[_Script] = field(default_factory=deque)

    def add(self, method: str, prefix: str, fault: RestFault, count: int | None = 1) -> None:
        """Let `fault` strike the next `count` requests with that method ("": any) and start of the path.

        count None: every one until clear().  Ready-made faults are in sim.rest_faults.
        """
        self._scripts.append(_Script(method, prefix, fault, count))

    def clear(self) -> None:
        """Heal: forget every script and fate, unmute the channels."""
        self._scripts.clear()
        self.fates.clear()
        self.muted.clear()
        self.rows_per_page = 0

    def deliver(self, channel: str, text: str, to: Receiver, now_ns: int) -> None:
        """Send, unless the channel is muted."""
        if channel not in self.muted:
            to.send(text)

    def answer(self, method: str, path: str, call: Call, now_ns: int) -> HttpResponse | Withheld:
        """Answer, or let the first fitting fault do it."""
        for script in self._scripts:
            if script.method in ("", method) and path.startswith(script.prefix):
                if script.left is not None:
                    script.left -= 1
                    if script.left == 0:
                        self._scripts.remove(script)
                self.struck.append((method, path))
                return script.fault(call)
        return call()

    def page_size(self, size: int) -> int:
        """The usual size unless `rows_per_page` says less."""
        return self.rows_per_page or size

    def trade_fate(self) -> TradeFate | None:
        """The next scripted fate."""
        return self.fates.popleft() if self.fates else None
