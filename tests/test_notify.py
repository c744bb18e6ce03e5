"""What a service manager hears: a real datagram socket in its place, a trader whose state is set by hand."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from polybot.config import default_config
from polybot.notify import Notifier, ServiceNews, watchdog_period_s

NS = 1_000_000_000
PERIOD_S = 3.0


class Manager:
    """The service manager's end: a bound datagram socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Every line that came since the last call."""
        lines = []
        while True:
            try:
                lines += self.socket.recv(4_096).decode().split("\n")
            except BlockingIOError:
                return lines


@pytest.fixture(autouse=True)
def sockets_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    made: list[Notifier] = []
    send = Notifier.send

    def remember(self: Notifier, *words: str) -> bool:
        made.append(self)
        return send(self, *words)

    monkeypatch.setattr(Notifier, "send", remember)
    yield
    for notifier in made:
        notifier.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(made.path))
    yield made
    made.socket.close()


class Daemon:
    """A trader with only what is asked of it, and the news made of it."""

    def __init__(self, *, period_s: float | None = PERIOD_S) -> None:
        self.mono = 100 * NS
        risk = SimpleNamespace(halted_manual=False, halted_daily=False, halted_weekly=False)
        self.trader: Any = SimpleNamespace(
            clock=SimpleNamespace(mono_ns=lambda: self.mono),
            config=default_config(),
            engine=SimpleNamespace(risk=risk),
            entries=SimpleNamespace(closed_by="user channel not connected"),
            stopping=False,
        )
        self.may_feed, self.reasons, self.has_beaten = True, [], False
        health: Any = SimpleNamespace(may_feed=lambda: self.may_feed, describe=lambda: {"reasons": self.reasons})
        self.notifier = Notifier(os.environ)
        self.news = ServiceNews(
            self.notifier, trader=self.trader, health=health, has_beaten=lambda: self.has_beaten, period_s=period_s
        )

    def beats(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.mono += NS // 10
            self.news.on_beat()


def test_ready_is_said_once_when_entries_open_first(manager: Manager) -> None:
    daemon = Daemon()
    daemon.beats(5.0)
    daemon.has_beaten = True
    daemon.beats(5.0)
    assert "READY=1" not in manager.heard()
    daemon.trader.entries.closed_by = ""
    daemon.beats(5.0)
    assert manager.heard().count("READY=1") == 1
    daemon.trader.entries.closed_by = "gateway paused: VENUE_DOWN"
    daemon.beats(50.0)
    daemon.trader.entries.closed_by = ""
    daemon.beats(50.0)
    assert "READY=1" not in manager.heard()


def test_a_venue_that_is_down_at_the_start_does_not_hold_up_ready_for_ever(manager: Manager) -> None:
    daemon = Daemon()
    daemon.has_beaten = True
    daemon.beats(29.0)
    assert "READY=1" not in manager.heard()
    daemon.beats(2.0)
    heard = manager.heard()
    assert heard.count("READY=1") == 1
    assert daemon.news.is_ready


def test_the_watchdog_is_fed_three_times_in_its_interval_while_all_is_well_and_not_otherwise(manager: Manager) -> None:
    daemon = Daemon()
    daemon.beats(30.0)
    assert manager.heard().count("WATCHDOG=1") == 10
    daemon.may_feed = False
    daemon.beats(30.0)
    assert "WATCHDOG=1" not in manager.heard()
    daemon.may_feed = True
    daemon.beats(0.1)
    assert manager.heard().count("WATCHDOG=1") == 1


def test_without_a_watchdog_nothing_is_fed(manager: Manager) -> None:
    daemon = Daemon(period_s=None)
    daemon.has_beaten = True
    daemon.beats(60.0)
    assert "WATCHDOG=1" not in manager.heard()


def test_the_status_is_one_line_said_when_it_changes(manager: Manager) -> None:
    daemon = Daemon()
    daemon.beats(3.0)
    daemon.has_beaten = True
    daemon.beats(3.0)
    daemon.trader.entries.closed_by = ""
    daemon.trader.engine.risk.halted_daily = True
    daemon.reasons = ["stale spot"]
    daemon.beats(3.0)
    daemon.trader.entries.closed_by = "two\nlines " + "x" * 500
    daemon.beats(3.0)
    statuses = [line for line in manager.heard() if line.startswith("STATUS=")]
    assert statuses[:3] == [
        "STATUS=live sim btc 5m, starting",
        "STATUS=live sim btc 5m, entries closed: user channel not connected",
        "STATUS=live sim btc 5m, entries open, HALTED (daily), stale spot",
    ]
    assert statuses[3].startswith("STATUS=live sim btc 5m, entries closed: two lines xxx")
    assert len(statuses) == 4
    assert len(statuses[3]) <= 210


def test_a_stop_is_said_once(manager: Manager) -> None:
    daemon = Daemon()
    daemon.trader.stopping = True
    daemon.beats(3.0)
    daemon.news.stopping()
    assert manager.heard().count("STOPPING=1") == 1


def test_a_manager_that_does_not_read_blocks_nothing_and_is_fed_again_later(manager: Manager) -> None:
    daemon = Daemon()
    for _ in range(100_000):
        if not daemon.notifier.send("WATCHDOG=1"):
            break
    assert daemon.notifier.failed == 1
    daemon.beats(30.0)
    assert daemon.notifier.failed > 9
    sent = daemon.notifier.sent
    assert manager.heard().count("WATCHDOG=1") == sent
    daemon.beats(PERIOD_S)
    assert manager.heard().count("WATCHDOG=1") == 1


def test_a_manager_that_is_gone_is_survived_and_found_again(manager: Manager) -> None:
    daemon = Daemon()
    daemon.beats(3.0)
    manager.socket.close()
    manager.path.unlink()
    daemon.has_beaten = True
    daemon.trader.entries.closed_by = ""
    daemon.beats(30.0)
    failed = daemon.notifier.failed
    assert failed > 5
    again = Manager(manager.path)
    daemon.beats(3.0)
    heard = again.heard()
    again.socket.close()
    assert "READY=1" in heard
    assert "WATCHDOG=1" in heard
    assert daemon.notifier.failed == failed


@pytest.mark.parametrize("address", ["", "@nobody-listens-here", "/nowhere/at/all", "relative"])
def test_no_socket_or_a_wrong_one_raises_nothing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    daemon = Daemon()
    daemon.has_beaten = True
    daemon.trader.entries.closed_by = ""
    daemon.beats(10.0)
    assert daemon.notifier.sent == 0
    assert daemon.news.is_ready


def test_an_abstract_socket_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0polybot-test-{os.getpid()}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@polybot-test-{os.getpid()}")
        assert Notifier(os.environ).send("READY=1", "STATUS=here")
        assert heard.recv(100) == b"READY=1\nSTATUS=here"


@pytest.mark.parametrize(
    ("environ", "period_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "9000000"}, 3.0),
        ({"WATCHDOG_USEC": "9000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "9000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdogs_interval_is_read_as_systemd_gives_it(environ: dict[str, str], period_s: float | None) -> None:
    assert watchdog_period_s(environ) == period_s


def test_a_loop_that_stands_still_feeds_nothing(manager: Manager) -> None:
    """The feeding hangs on the loop: while it is blocked nothing is sent, whoever might have wished it."""

    async def main() -> tuple[list[str], list[str]]:
        daemon = Daemon(period_s=0.01)
        loop = asyncio.get_running_loop()
        fed = asyncio.Event()

        def beat() -> None:
            daemon.mono = round(loop.time() * NS)
            daemon.news.on_beat()
            fed.set()
            loop.call_later(0.01, beat)

        beat()
        await fed.wait()
        manager.heard()
        before = loop.time()
        while loop.time() < before + 0.2:
            pass
        blocked = manager.heard()
        fed.clear()
        await fed.wait()
        return blocked, manager.heard()

    blocked, after = asyncio.run(main())
    assert blocked == []
    assert "WATCHDOG=1" in after
