"""The command line's end of the control socket: find the daemon that is meant, ask it, print, return the exit code.

Owns the search among the sockets of `run.state_dir`, the waits (named maxima, wall seconds) and what is printed.
Blocking and alone in its process: never imported by the daemon.  A command that finds no daemon, or several and no
word which, raises NoDaemon with what to do about it.  Called by polybot.cli.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from polybot.clock import wall_clock
from polybot.config import Config
from polybot.config_control import ControlConfig
from polybot.control.address import control_folder, kill_file, sockets
from polybot.control.nobody import why_nobody
from polybot.control.past_windows import find_window
from polybot.control.status_text import status_lines
from polybot.control.why_text import past_lines, why_lines
from polybot.control.wire import encode
from polybot.errors import NoDaemon

__all__ = ["EXIT_ORDERS_OPEN", "run"]

EXIT_OK, EXIT_FAILED, EXIT_ORDERS_OPEN = 0, 1, 4
NS = 1_000_000_000
PIECE_BYTES = 1 << 16
MAX_ANSWER_BYTES = 1 << 22
RETRY_S = 0.1  # wall, while the daemon starts
VIA = "command line"
Answer = dict[str, Any]


def run(config: Config, verb: str) -> int:
    """Carry out one control command; returns the exit code, raises NoDaemon."""
    settings = config.control
    if verb == "status" and settings.market:
        return _window(config)
    line = _find(Path(config.run.state_dir), settings)
    try:
        return _status(line, settings) if verb == "status" else _act(line, verb, settings)
    finally:
        line.close()


def _status(line: "_Line", settings: ControlConfig) -> int:
    facts = line.ask("status")
    if not facts["ok"]:
        _complain(facts.get("error", "refused"))
        return EXIT_FAILED
    if settings.json:
        shown = {"why": facts["why"]} if settings.why else facts
        _print(json.dumps({key: value for key, value in shown.items() if key != "ok"}))
    else:
        _print("\n".join(why_lines(facts["why"]) if settings.why else status_lines(facts)))
    return EXIT_OK


def _window(config: Config) -> int:
    """Why one window was not traded: a live one from its daemon, else from its market.json, whoever runs."""
    beginning, out_dir = config.control.market, Path(config.telemetry.out_dir)
    live = [one for one in _live_windows(config) if one["slug"].startswith(beginning)]
    if live:
        _print(json.dumps({"why": live}) if config.control.json else "\n".join(why_lines(live)))
        return EXIT_OK
    try:
        past = find_window(out_dir, beginning)
    except (OSError, ValueError) as error:
        _complain(f"control.market={beginning}: its file cannot be read: {error}")
        return EXIT_FAILED
    if past is None:
        _complain(f"control.market={beginning}: no window that is live begins so, and none in {out_dir}")
        return EXIT_FAILED
    _print(json.dumps(asdict(past)) if config.control.json else "\n".join(past_lines(past)))
    return EXIT_OK


def _live_windows(config: Config) -> list[Any]:
    """Live windows of the daemon that is meant; none when nobody answers: the files are asked then."""
    try:
        line = _find(Path(config.run.state_dir), config.control)
    except NoDaemon:
        return []
    try:
        facts = line.ask("status")
    except NoDaemon:
        return []
    finally:
        line.close()
    return list(facts.get("why", ()))


def _act(line: "_Line", verb: str, settings: ControlConfig) -> int:
    answer = line.ask(verb, reason=settings.reason)
    if not answer["ok"]:
        _complain(answer.get("error", "refused"))
        return EXIT_FAILED
    if verb != "kill":
        _print(json.dumps(answer) if settings.json else answer["text"])
        return EXIT_OK
    if not settings.json:
        _print(answer["text"])
    return _wait_for_end(line, answer, settings)


def _wait_for_end(line: "_Line", answer: Answer, settings: ControlConfig) -> int:
    """The daemon's own last word, or what can be said without it."""
    last = line.last_word(settings.stop_s)
    if last is None:
        waited = f"process {line.pid} has not ended after {settings.stop_s:g} s"
        _complain(f"{waited}: ORDERS MAY BE OPEN, look at the venue")
        return EXIT_ORDERS_OPEN
    if settings.json:
        _print(json.dumps({**answer, **last}))
    elif last.get("orders_may_be_open", True):
        _complain("it ended, and ORDERS MAY BE OPEN: look at the venue")
    else:
        _print("it ended with no order open")
    return EXIT_ORDERS_OPEN if last.get("orders_may_be_open", True) else EXIT_OK


# -- which daemon -------------------------------------------------------------------------------------------------


def _find(state_dir: Path, settings: ControlConfig) -> "_Line":
    """The one daemon that is meant; raises NoDaemon."""
    alive: list[_Line] = []
    for path in sockets(state_dir):
        line = _Line.to(path, settings.answer_s)
        if line is None:
            continue
        try:
            line.greet()
        except NoDaemon:
            line.close()
            continue
        alive.append(line)
    fit = [line for line in alive if line.fits(settings.account)]
    for line in alive:
        if len(fit) != 1 or line is not fit[0]:
            line.close()
    if len(fit) == 1:
        return fit[0]
    raise NoDaemon(_why_none(state_dir, settings.account, alive, fit))


def _why_none(state_dir: Path, account: str, alive: list["_Line"], fit: list["_Line"]) -> str:
    listed = "".join(f"\n  control.account={line.account}-{line.session}  {line.words}" for line in fit or alive)
    if len(fit) > 1:
        return f"{len(fit)} daemons run here: say which{listed}"
    if alive:
        return f"no daemon fits control.account={account}; there are{listed}"
    text = why_nobody(state_dir) or (
        f"no daemon found in {control_folder(state_dir)}: start one (python -m polybot run ...), or give the "
        "run.state_dir=... and the working folder it was started with"
    )
    if kill_file(state_dir).exists():
        text += f"; {kill_file(state_dir)} is there, and nothing starts until it is removed"
    return text


class _Line:
    """One connection to a daemon."""

    def __init__(self, peer: socket.socket, answer_s: float) -> None:
        self.account = self.session = self.words = ""
        self.pid = 0
        self._peer = peer
        self._answer_s = answer_s
        self._unread = b""

    @classmethod
    def to(cls, path: Path, answer_s: float) -> "_Line | None":
        """Connect; None when nobody is behind the file."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.settimeout(answer_s)
        try:
            peer.connect(str(path))
        except OSError:
            peer.close()
            return None
        return cls(peer, answer_s)

    def close(self) -> None:
        """Hang up."""
        self._peer.close()

    def greet(self) -> None:
        """Ask who it is; raises NoDaemon."""
        facts = self.ask("hello")
        if not facts.get("ok"):
            raise NoDaemon(str(facts.get("error", "refused")))
        self.account, self.session = str(facts.get("account", "")), str(facts.get("session", ""))
        self.pid = int(facts.get("pid", 0))
        words = (f"process {self.pid}", *(str(facts.get(key, "")) for key in ("mode", "venue", "asset", "interval")))
        self.words = " ".join(words)

    def fits(self, wanted: str) -> bool:
        """Is this one meant by the beginning of an account or session?"""
        names = (self.account.lower(), self.session.lower(), f"{self.account}-{self.session}".lower())
        return any(name.startswith(wanted.lower()) for name in names)

    def ask(self, verb: str, **words: str) -> Answer:
        """One request, one answer; asks again while the daemon starts; raises NoDaemon when it does not answer."""
        deadline_ns = wall_clock().mono_ns() + int(self._answer_s * NS)
        while True:
            answer = self._ask_once({"do": verb, "via": VIA, **words})
            if not answer.get("starting") or wall_clock().mono_ns() > deadline_ns:
                return answer
            _pause(RETRY_S)

    def _ask_once(self, message: Mapping[str, str]) -> Answer:
        try:
            self._peer.sendall(encode(message))
            answer = self._read_line()
        except OSError as error:
            raise NoDaemon(f"the daemon does not answer within {self._answer_s:g} s: {error or 'it hangs'}") from None
        if answer is None:
            raise NoDaemon("the daemon hung up: it ends, or has too many clients")
        return answer

    def last_word(self, limit_s: float) -> Answer | None:
        """What it says before it ends; {} when it ends without a word, None when it does not end."""
        self._peer.settimeout(limit_s)
        try:
            answer = self._read_line()
        except ConnectionError:
            return {}
        except OSError:
            return None
        return answer or {}

    def _read_line(self) -> Answer | None:
        """One line; None at the end of the connection.  Raises OSError (TimeoutError among them)."""
        while b"\n" not in self._unread:
            piece = self._peer.recv(PIECE_BYTES)
            if not piece:
                return None
            self._unread += piece
            if len(self._unread) > MAX_ANSWER_BYTES:
                raise OSError("an answer without an end")
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            raise OSError("an answer that is no JSON") from None
        return answer if isinstance(answer, dict) else {}


def _pause(seconds: float) -> None:
    """Wait wall seconds."""
    asyncio.run(wall_clock().sleep(seconds))


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"polybot: {text}\n")
