"""A running daemon under the service manager's eye, with the processes beside it: joined to one trader's life.

Owns when they begin and end: the companions start when entries open first (or service.ready_s after the first beat,
as READY=1), never before, so that a start stays quick; they are let go after the control socket said its last word.
Tells the operator of a loop that lagged and of a watchdog that is not fed.  Everything hangs on the beat of
control.health; nothing here is waited for before the books are closed.
Must not trade.  Made and ended by polybot.daemon.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from polybot.companions import Companions, Given
from polybot.notify import Notifier, ServiceNews, watchdog_period_s

if TYPE_CHECKING:
    from polybot.control.operator import Operator
    from polybot.trader import Trader

__all__ = ["Attendance", "companion_lines"]


def companion_lines(given: Given, problems: Sequence[str]) -> list[str]:
    """What the banner says of the processes beside the daemon."""
    lines = [f"{name}: on, starts when entries are open" for name in given]
    lines += problems
    if "dashboard" not in given:
        lines.append("dashboard: off   (dashboard.enabled=true, or beside it: python -m polybot dashboard)")
    return lines


class Attendance:
    """What attends one trader from begin() to stop()."""

    def __init__(
        self,
        trader: "Trader",
        given: Given,
        problems: Sequence[str],
        *,
        target: str,
        scrub: Callable[[str], str],
        environ: Mapping[str, str],
    ) -> None:
        """`given`: the secrets of each companion that is wanted; `problems`: why another one is not."""
        self._trader = trader
        self._problems = tuple(problems)
        self._notifier = Notifier(environ)
        self._period_s = watchdog_period_s(environ) if self._notifier.is_wanted else None
        self._news: ServiceNews | None = None
        self._operator: Operator | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_begun = self._is_lagging = self._is_starved = False
        self.companions = Companions.of(trader.config, given, target=target, scrub=scrub, tell=self._tell)

    def begin(self, operator: "Operator") -> None:
        """Watch from now on; on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._operator = operator
        self._news = ServiceNews(
            self._notifier,
            trader=self._trader,
            health=operator.health,
            has_beaten=lambda: operator.is_ready,
            period_s=self._period_s,
        )
        operator.health.listen(self._on_beat)

    def let_go(self) -> None:
        """The daemon said its last word on the control socket: everything beside it may end; does not wait."""
        if self._news is not None:
            self._news.stopping()
        self.companions.let_go()

    def stop(self) -> None:
        """After let_go: wait for the companions' ends, at most service.stop_s in all."""
        self.companions.stop()
        self._notifier.close()

    def _on_beat(self) -> None:
        assert self._news is not None
        self._news.on_beat()
        if self._news.is_ready and not self._has_begun:
            self._has_begun = True
            for problem in self._problems:
                self._trader.notice("WARNING", problem)
            self.companions.begin()
        self._tell_lag()
        self._tell_starved()

    def _tell_lag(self) -> None:
        """Once per bad stretch: this very beat came late."""
        assert self._operator is not None
        lag_ms, limit_ms = self._operator.health.lag.last_ms(), self._trader.config.service.loop_lag_ms
        if lag_ms > limit_ms and not self._is_lagging:
            self._trader.notice("WARNING", f"the loop stood still: a beat came {lag_ms:.0f} ms late")
        self._is_lagging = lag_ms > limit_ms

    def _tell_starved(self) -> None:
        """Once, when a silent feed keeps the watchdog from being fed."""
        assert self._operator is not None
        if self._period_s is None or self._trader.stopping:
            return
        silent = self._operator.health.silent()
        if silent and not self._is_starved:
            text = f"the watchdog is not fed, the service manager will restart us: silent is {', '.join(silent)}"
            self._trader.notice("ERROR", text)
        self._is_starved = bool(silent)

    def _tell(self, level: str, text: str) -> None:
        """A notice, from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._trader.notice, level, text)
