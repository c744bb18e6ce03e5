"""The processes beside a daemon (telegram, dashboard): started, kept alive, told of its end; never waited for in trade.

Theory of operation.  Each has a thread of the daemon's that does what may block, so that the loop never forks:

    WAITING --begin()--> RUNNING --it ends--> PAUSED (respawn_min_s, doubled up to respawn_max_s) --> RUNNING
    any --let_go()--> ENDING: its stdin is closed, it sees EOF, says its last word and goes; stop() kills what stays
    RUNNING --it ends with EXIT_CONFIG--> OFF: a wrong setting does not mend itself

What it needs goes down its stdin as one JSON line (secrets nowhere else); what it says on stdout becomes notices; its
stderr, scrubbed, a file of bounded size.  It has a session of its own: Ctrl-C reaches the daemon only.
Must not touch trading, raise into it, or keep it from starting or ending.  Made by polybot.daemon.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from polybot.clock import wall_clock
from polybot.config import Config, config_to_mapping
from polybot.config_service import ServiceConfig
from polybot.credentials.sources import Secrets
from polybot.errors import ConfigError
from polybot.sim.process import child_environment
from polybot.telemetry.log_files import RotatingFile
from polybot.telemetry.telegram.access import read_telegram_secrets

__all__ = ["EXIT_CONFIG", "NAMES", "BoundedFile", "Companion", "Companions", "Given", "read_given"]

NS, MB = 1_000_000_000, 1_000_000
NAMES = ("telegram", "dashboard")
COMMAND = (sys.executable, "-m", "polybot.companion_child")
EXIT_CONFIG = 2  # of the child: starting it again would not help
READ_BYTES = 65_536
LINE_CHARS = 400  # of one line that becomes a notice
LINES_TOLD = 20  # of one life
KILLED_S = 0.5  # wall; how long a killed process is waited for

Tell = Callable[[str, str], None]  # (level, text) to the operator; from any thread
Given = Mapping[str, Mapping[str, str]]  # secrets of each companion that is wanted


def read_given(
    config: Config, secrets: Secrets, hide: Callable[[str], None]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the secrets of every companion that is enabled, and why one that is enabled cannot be started.

    A companion that lacks its secret must not keep trading from starting: it is a line in the banner, not an error.
    Secrets stay in the environment until `forget`.  `hide` hears every secret.
    """
    given: dict[str, dict[str, str]] = {}
    problems = []
    if not config.control.enabled and (config.telegram.enabled or config.dashboard.enabled):
        return {}, ["telegram and dashboard are OFF: they need the control socket (control.enabled=true)"]
    if config.telegram.enabled:
        try:
            found = read_telegram_secrets(config.telegram, secrets)
        except ConfigError as error:
            problems.append(f"telegram is OFF: {error}")
        else:
            hide(found.token)
            given["telegram"] = found.to_mapping()
    if config.dashboard.enabled:
        given["dashboard"] = {}
    return given, problems


class BoundedFile:
    """Lines kept in a file of at most `limit_bytes`, and as many before it in NAME.1; what cannot be written counts."""

    def __init__(self, path: Path, *, limit_bytes: int, scrub: Callable[[str], str]) -> None:
        self.lost = 0
        self._file = RotatingFile(path, limit_bytes=limit_bytes, keep=1)
        self._limit = limit_bytes
        self._scrub = scrub

    def add(self, line: bytes) -> None:
        """Append one line, scrubbed."""
        text = self._scrub(line.decode(errors="replace").rstrip("\r\n"))
        try:
            self._file.write(text[: self._limit // 8] + "\n")
        except OSError:
            self.lost += 1


class Companion:
    """One process beside the daemon and the thread that keeps it alive."""

    def __init__(
        self,
        name: str,
        message: Mapping[str, Any],
        *,
        settings: ServiceConfig,
        tell: Tell,
        errors: BoundedFile,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """`message` is its first line of stdin."""
        self.name = name
        self.starts = 0
        self.deaths = 0
        self._message = dict(message)
        self._settings = settings
        self._tell = tell
        self._errors = errors
        self._command = tuple(command)
        self._begin = threading.Event()
        self._ending = threading.Event()
        self._lock = threading.Lock()  # of _process and _ending: a process started while we end is let go too
        self._process: subprocess.Popen[bytes] | None = None
        # Daemonic: a child that will not end must not keep the daemon.
        self._thread = threading.Thread(target=self._run, name=f"companion {name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Its process id; None while none runs."""
        process = self._process
        return None if process is None else process.pid

    def begin(self) -> None:
        """Start it, in the thread."""
        self._begin.set()

    def let_go(self) -> None:
        """Close its stdin, which is how it learns that the daemon is gone; does not wait."""
        with self._lock:
            self._ending.set()
            self._begin.set()
            _close(self._process)

    def wait(self, limit_s: float) -> bool:
        """After let_go: wait for its end, kill it when it takes longer (wall s); False when it had to be killed."""
        self._thread.join(limit_s)
        if not self._thread.is_alive():
            return True
        process = self._process
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
        self._thread.join(KILLED_S)
        return False

    # -- in the thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        settings, clock = self._settings, wall_clock()
        self._begin.wait()
        wait_s = settings.respawn_min_s
        while not self._ending.is_set():
            begun_ns = clock.mono_ns()
            code, last = self._live()
            if self._ending.is_set():
                return
            self.deaths += 1
            why = f"{_code_words(code)}{f': {last}' if last else ''}"
            if code == EXIT_CONFIG:
                self._tell("WARNING", f"{self.name} is OFF until the next start: {why}")
                return
            if clock.mono_ns() - begun_ns > settings.respawn_reset_s * NS:
                wait_s = settings.respawn_min_s
            self._tell(
                "WARNING", f"{self.name} ended ({why}), for the {self.deaths}. time; started again in {wait_s:g} s"
            )
            self._ending.wait(wait_s)
            wait_s = min(settings.respawn_max_s, 2.0 * wait_s)

    def _live(self) -> tuple[int | None, str]:
        """One life: start, talk, listen, end; its exit code (None: it could not be started) and its last words."""
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,  # closing a pipe must never wait for what was not taken
                env=child_environment(),
                start_new_session=True,
            )
        except OSError as error:
            return None, str(error)
        self.starts += 1
        with self._lock:
            self._process = process
        last = ""
        with process:
            with suppress(OSError, ValueError):  # it ended at once, or we do: its end is seen below
                _write(process, json.dumps(self._message).encode() + b"\n")
            if self._ending.is_set():
                _close(process)
            last = self._listen(process)
            _close(process)
        with self._lock:
            self._process = None
        return process.returncode, last

    def _listen(self, process: "subprocess.Popen[bytes]") -> str:
        """Take what it says until it has closed both ends; returns the last line of stderr."""
        told, last = 0, b""
        with selectors.DefaultSelector() as selector:
            rests: dict[str, bytes] = {}
            for which, stream in (("out", process.stdout), ("err", process.stderr)):
                assert stream is not None
                selector.register(stream, selectors.EVENT_READ, which)
                rests[which] = b""
            while selector.get_map():
                for key, _ in selector.select():
                    data = os.read(key.fd, READ_BYTES)
                    *lines, rests[key.data] = (rests[key.data] + data).split(b"\n")
                    if not data or len(rests[key.data]) > READ_BYTES:
                        lines, rests[key.data] = [*lines, *filter(None, [rests[key.data]])], b""
                    if not data:
                        selector.unregister(key.fileobj)
                    for line in lines:
                        if key.data == "err":
                            self._errors.add(line)
                            last = line or last
                        elif told < LINES_TOLD:
                            told += 1
                            text = _plain(line)
                            self._tell("INFO", text if text.startswith(self.name) else f"{self.name}: {text}")
        return _plain(last)


class Companions:
    """All processes beside one daemon."""

    def __init__(self, companions: Sequence[Companion], *, stop_s: float) -> None:
        self._companions = tuple(companions)
        self._stop_s = stop_s
        self._let_go_ns: int | None = None

    @classmethod
    def of(
        cls, config: Config, given: Given, *, target: str, scrub: Callable[[str], str], tell: Tell
    ) -> "Companions":
        """Prepare those that are wanted; `target` (ACCOUNT-SESSION) is the daemon they belong to."""
        folder = Path(config.telemetry.out_dir) / "log"
        limit = config.service.stderr_mb * MB
        mapping = config_to_mapping(config)
        made = [
            Companion(
                name,
                {"name": name, "config": mapping, "secrets": dict(secrets), "target": target},
                settings=config.service,
                tell=lambda level, text: tell(level, scrub(text)),
                errors=BoundedFile(folder / f"{name}.stderr", limit_bytes=limit, scrub=scrub),
            )
            for name, secrets in given.items()
        ]
        return cls(made, stop_s=config.service.stop_s)

    def begin(self) -> None:
        """Start them; returns at once."""
        for companion in self._companions:
            companion.begin()

    def let_go(self) -> None:
        """The daemon has said its last word: they may end; returns at once."""
        self._let_go_ns = wall_clock().mono_ns()
        for companion in self._companions:
            companion.let_go()

    def stop(self) -> None:
        """Wait for their ends, at most until stop_s after let_go(); what stays is killed."""
        if self._let_go_ns is None:
            self.let_go()
        assert self._let_go_ns is not None
        for companion in self._companions:
            passed_s = (wall_clock().mono_ns() - self._let_go_ns) / NS
            companion.wait(max(0.0, self._stop_s - passed_s))


def _close(process: "subprocess.Popen[bytes] | None") -> None:
    """Close its stdin."""
    if process is not None and process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def _write(process: "subprocess.Popen[bytes]", data: bytes) -> None:
    """Write all of it; raises OSError, ValueError when the pipe is closed."""
    assert process.stdin is not None
    left = memoryview(data)
    while left:
        left = left[process.stdin.write(left) :]


def _plain(line: bytes) -> str:
    """One printable line of bounded length."""
    text = line[: 4 * LINE_CHARS].decode(errors="replace")
    return "".join(char if char.isprintable() else " " for char in text).strip()[:LINE_CHARS]


def _code_words(code: int | None) -> str:
    if code is None:
        return "it could not be started"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
