"""A whole daemon as a service, with both companions: what systemd hears of it, and that everything ends with it.

Real processes on loopback: the embedded venue, the daemon, telegram (against a Bot API server of our own) and the
dashboard.  The service manager is a datagram socket of this test.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from child_process import Process

from tests.telegram.bot_api import CHAT, TOKEN, BotApi

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 120.0
WATCHDOG_S = 1.5
SILENCE_S = 2.0  # a feed this long silent: the watchdog is not fed
QUIET_S = 3.0  # so long nothing may be fed: two whole watchdog intervals
SETTINGS = {
    "venue.speed": "4",
    "venue.seed": "4",
    "telemetry.console": "plain",
    "service.restart_age_s": str(SILENCE_S),
    "service.respawn_min_s": "0.1",
    "dashboard.enabled": "true",
    "dashboard.port": "0",
    "telegram.enabled": "true",
}


class Manager:
    """The service manager's socket: every line with the second it came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.2)
        self._is_over = False
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._is_over:
            try:
                data = self._socket.recv(4_096)
            except TimeoutError:
                continue
            self.heard += [(time.monotonic(), line) for line in data.decode().split("\n")]

    def count(self, line: str, *, since: float = 0.0) -> int:
        return sum(when >= since and one == line for when, one in self.heard)

    def last(self, line: str) -> float:
        return max(when for when, one in self.heard if one == line)

    def close(self) -> None:
        self._is_over = True
        self._thread.join()
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


@pytest.fixture
def phone() -> Iterator[BotApi]:
    with BotApi() as made:
        yield made


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def start(folder: Path, phone: BotApi, **environ: str) -> Process:
    folder.mkdir()
    words = [f"{key}={value}" for key, value in {**SETTINGS, "telegram.api_url": phone.url}.items()]
    return Process(
        folder,
        ["-m", "polybot", *words],
        {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "1",
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_CHAT_ID": str(CHAT),
            **environ,
        },
    )


def companions_of(daemon: Process) -> list[int]:
    """Pids of the companions: started by threads of the daemon, in sessions of their own."""
    found = []
    for task in Path(f"/proc/{daemon.pid}/task").iterdir():
        for text in (task / "children").read_text().split():
            if b"companion_child" in Path(f"/proc/{text}/cmdline").read_bytes():
                found.append(int(text))
    return sorted(found)


def venue_of(daemon: Process) -> int:
    (pid,) = {
        int(text)
        for task in Path(f"/proc/{daemon.pid}/task").iterdir()
        for text in (task / "children").read_text().split()
        if b"polybot.sim.child" in Path(f"/proc/{text}/cmdline").read_bytes()
    }
    return pid


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def both_are_up(daemon: Process, phone: BotApi) -> str:
    """Wait for both companions; returns the dashboard's address."""
    _, line = daemon.wait_for(r"dashboard +http://", LIMIT_S)
    wait_until(lambda: phone.calls["getUpdates"] > 0, "telegram never polled")
    address = re.search(r"http://\S+", line)
    assert address
    return address[0]


def healthcheck(folder: Path) -> int:
    words = [sys.executable, "-m", "polybot.healthcheck", "state"]
    return subprocess.run(words, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode


def feeds_nothing_while(manager: Manager, pid: int) -> None:
    """Stop a process: at last nothing is fed for two intervals.  Let it go on: it is fed again."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: time.monotonic() - manager.last("WATCHDOG=1") > QUIET_S, "it went on being fed")
    finally:
        os.kill(pid, signal.SIGCONT)
    back = time.monotonic()
    wait_until(lambda: manager.count("WATCHDOG=1", since=back) >= 3, "it was not fed again")


def test_the_watchdog_is_fed_while_all_is_well_and_not_while_the_loop_or_the_feeds_stand_still(
    tmp_path: Path, manager: Manager, phone: BotApi, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}
    daemon = start(tmp_path / "work", phone, **environ)
    try:
        daemon.wait_for("entries open", LIMIT_S)
        wait_until(lambda: manager.count("READY=1"), "never ready")
        wait_until(lambda: manager.count("WATCHDOG=1") >= 3, "never fed")
        address = both_are_up(daemon, phone)
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert browser.open(address, timeout=LIMIT_S).status == 200
        wait_until(lambda: healthcheck(tmp_path / "work") == 0, "the health check never said well")
        feeds_nothing_while(manager, daemon.pid)
        feeds_nothing_while(manager, venue_of(daemon))
        daemon.wait_for(r"watchdog is not fed, .* will restart us: silent is (spot|oracle|book)", LIMIT_S)
        daemon.wait_for("the loop stood still: a beat came [0-9]+ ms late", LIMIT_S)
        first, second = companions_of(daemon)
        os.kill(first, signal.SIGKILL)
        os.kill(second, signal.SIGKILL)
        for name in ("telegram", "dashboard"):
            daemon.wait_for(rf"{name} ended \(signal 9\), for the 1. time; started again in 0.1 s", LIMIT_S)
        wait_until(lambda: len(companions_of(daemon)) == 2, "they did not come back")
        beside = companions_of(daemon)
        asked = time.monotonic()
        daemon.signal(signal.SIGTERM)
        code, _ = daemon.end(60.0)
        took_s = time.monotonic() - asked
        assert code == 0, daemon.text()[-3000:]
        assert all(is_gone(pid) for pid in beside)
        assert manager.count("READY=1") == 1
        assert manager.count("STOPPING=1") == 1
        assert [line for _, line in manager.heard if line.startswith("STATUS=")][-1] == "STATUS=stopping"
        with capsys.disabled():
            sys.stdout.write(f"\nSIGTERM to the end, companions included: {took_s:.1f} s\n")
        assert took_s < 10.0
    finally:
        daemon.close()


def test_companions_of_a_killed_daemon_end_by_themselves_and_the_phone_is_told(tmp_path: Path, phone: BotApi) -> None:
    daemon = start(tmp_path / "work", phone)
    try:
        daemon.wait_for("entries open", LIMIT_S)
        address = both_are_up(daemon, phone)
        beside = companions_of(daemon)
        assert len(beside) == 2
        daemon.signal(signal.SIGKILL)
        assert daemon.end(60.0)[0] == -signal.SIGKILL
        wait_until(lambda: all(is_gone(pid) for pid in beside), "a companion outlived its daemon")
        assert any("last known: " in text for text in phone.texts), phone.texts
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(address, timeout=5.0)
        kept = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
        assert len(kept) > 10
        assert [path for path in kept if TOKEN.encode() in path.read_bytes()] == []
    finally:
        daemon.close()
