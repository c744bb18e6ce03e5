"""What the service manager is told: ready, alive, how it stands, stopping (systemd, Type=notify).

Owns the words of sd_notify(3) and when they are said:

    READY=1      entries open for the first time; at the latest service.ready_s after the first beat, closed or not
    WATCHDOG=1   three times in WATCHDOG_USEC, while health.may_feed(): the loop keeps time and no needed feed was
                 silent for service.restart_age_s.  A loop that hangs feeds nothing by itself
    STATUS=      one line, when it changes
    STOPPING=1   a stop was asked for
Must not block or raise: a full or vanished socket is counted, connected again, and nothing else.
Made by polybot.daemon, called with every beat of control.health.  Without NOTIFY_SOCKET it does nothing.
"""

import os
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sdnotify import SystemdNotifier

if TYPE_CHECKING:
    from polybot.control.health import HealthMonitor
    from polybot.trader import Trader

__all__ = ["SOCKET_ENV", "Notifier", "ServiceNews", "watchdog_period_s"]

NS, US = 1_000_000_000, 1_000_000
SOCKET_ENV, WATCHDOG_ENV, WATCHDOG_PID_ENV = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
FEEDS = 3  # in one watchdog interval: two may be lost
MAX_STATUS = 200  # characters


class Notifier:
    """The socket: sends or counts, and never waits."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """No NOTIFY_SOCKET: everything is a no-op."""
        self.sent = 0
        self.failed = 0
        self.is_wanted = bool(environ.get(SOCKET_ENV))
        self._notifier: SystemdNotifier | None = None

    def send(self, *words: str) -> bool:
        """Send words as one message; False when it could not be."""
        if not self.is_wanted:
            return False
        try:
            if self._notifier is None:
                self._notifier = _connect()
            self._notifier.notify("\n".join(words))
        except (BlockingIOError, InterruptedError):  # its queue is full: the next one may pass
            self.failed += 1
            return False
        except (OSError, ValueError):  # gone, or not there yet
            self.failed += 1
            self.close()
            return False
        self.sent += 1
        return True

    def close(self) -> None:
        """Let go of the socket; the next message connects again."""
        if self._notifier is not None:
            self._notifier.socket.close()
            self._notifier = None


class ServiceNews:
    """Tells a Notifier how one trader fares; `on_beat` is called ten times a second."""

    def __init__(
        self,
        notifier: Notifier,
        *,
        trader: "Trader",
        health: "HealthMonitor",
        has_beaten: Callable[[], bool],
        period_s: float | None,
    ) -> None:
        """`has_beaten`: the first beat has been; `period_s`: between two feedings, None without a watchdog."""
        self.is_ready = False  # what READY=1 says, also when nobody wants to hear it
        self._is_told = False
        self._notifier = notifier
        self._trader = trader
        self._health = health
        self._has_beaten = has_beaten
        self._period_ns = None if period_s is None else round(period_s * NS)
        self._ready_ns = 0  # of the first beat, monotonic
        self._fed_ns = 0
        self._status = ""
        self._looked_ns = 0
        self._is_stopping = False

    def on_beat(self) -> None:
        """Say what is to be said now."""
        now_ns = self._trader.clock.mono_ns()
        self._tell_ready(now_ns)
        if now_ns - self._looked_ns >= NS:
            self._looked_ns = now_ns
            status = self._words()
            if status != self._status and self._notifier.send(f"STATUS={status}"):
                self._status = status
        if self._trader.stopping:
            self.stopping()
        if self._period_ns is None or now_ns - self._fed_ns < self._period_ns:
            return
        if self._health.may_feed():
            self._fed_ns = now_ns
            self._notifier.send("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun; said once."""
        if not self._is_stopping:
            self._is_stopping = self._notifier.send("STOPPING=1", "STATUS=stopping")

    def _tell_ready(self, now_ns: int) -> None:
        if self._is_told or not self._has_beaten():
            return
        self._ready_ns = self._ready_ns or now_ns
        waited_s = (now_ns - self._ready_ns) / NS
        if not self._trader.entries.closed_by or waited_s >= self._trader.config.service.ready_s:
            self.is_ready = True
        if self.is_ready:  # said again until it was heard
            self._is_told = not self._notifier.is_wanted or self._notifier.send("READY=1")

    def _words(self) -> str:
        """One line: what it trades, whether entries are open, what ails it."""
        config, trader = self._trader.config, self._trader
        parts = [f"{config.mode.name} {config.venue.name} {config.asset.name} {config.interval.name}"]
        if trader.stopping:
            parts.append("stopping")
        elif not self._has_beaten():
            parts.append("starting")
        else:
            closed = trader.entries.closed_by
            parts.append(f"entries closed: {closed}" if closed else "entries open")
        risk = trader.engine.risk
        halts = (("manual", risk.halted_manual), ("daily", risk.halted_daily), ("weekly", risk.halted_weekly))
        parts += [f"HALTED ({name})" for name, is_on in halts if is_on]
        text = ", ".join([*parts, *(self._health.describe()["reasons"] if self._has_beaten() else ())])
        return "".join(char if char.isprintable() else " " for char in text)[:MAX_STATUS]


def watchdog_period_s(environ: Mapping[str, str]) -> float | None:
    """Seconds between two feedings, None when nobody waits for them (sd_watchdog_enabled(3))."""
    try:
        interval_us = int(environ.get(WATCHDOG_ENV, "0"))
        owner = int(environ.get(WATCHDOG_PID_ENV, str(os.getpid())))
    except ValueError:
        return None
    if interval_us <= 0 or owner != os.getpid():
        return None
    return interval_us / US / FEEDS


def _connect() -> SystemdNotifier:
    """The library's notifier on a socket that never blocks; raises OSError.

    Its default hides every exception and a full queue blocks its sender for ever, the whole loop with it: so
    exceptions are asked for (`debug`) and the socket is taken out of blocking mode.
    """
    address = os.environ.get(SOCKET_ENV, "")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:  # the library leaves an open socket when it fails
        probe.connect(f"\0{address[1:]}" if address.startswith("@") else address)
    notifier = SystemdNotifier(debug=True)
    notifier.socket.setblocking(False)
    return notifier
