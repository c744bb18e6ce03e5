"""A program's end of the control socket, without blocking: watch one daemon, and act on it.

Owns the search for the daemon that is meant, the connection, the cursor and the waits (wall seconds).  Theory of
operation: one request at a time on one connection; a connection that breaks is made again with the next call, to the
same daemon or to the one that runs then.  As long as it is the same process the cursor goes on, so no event is
missed or told twice; another process's events are read from its first one.  A daemon that ends says its last word,
which the next call of `watch` returns ("ended": true); after it there is none until one is found again.
Must not be used by two tasks that act at once without its lock, or know what an answer means.
Called by the companions: telemetry.telegram, telemetry.dashboard.
"""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from polybot.config_control import ControlConfig
from polybot.control.address import control_folder, sockets
from polybot.control.nobody import why_nobody
from polybot.control.wire import encode
from polybot.errors import NoDaemon

__all__ = ["Watcher", "list_daemons"]

MAX_ANSWER_BYTES = 1 << 22
PIECE_BYTES = 1 << 18
RETRY_S = 0.1  # wall, while the daemon starts
Answer = dict[str, Any]


async def list_daemons(state_dir: Path, settings: ControlConfig) -> list[str]:
    """ACCOUNT-SESSION of every daemon that answers in this state folder: what a Watcher takes as its target."""
    found = []
    for path in sockets(state_dir):
        line = await _Line.to(path, settings.answer_s)
        if line is not None:
            found.append(line.name)
            line.close()
    return found


class Watcher:
    """Follows the daemon whose ACCOUNT-SESSION, account or session begins with `target`; "": the only one."""

    def __init__(
        self,
        state_dir: Path,
        target: str = "",
        settings: ControlConfig | None = None,
        *,
        from_start: bool = False,
        known: tuple[tuple[Any, ...], str] | None = None,
    ) -> None:
        """`from_start`: the first answer brings all events that are still kept, else only later ones come.

        `known`: the process that was watched before (account, session, pid, started_ns) and the cursor then.
        """
        self._state_dir = state_dir
        self._target = target
        self._settings = ControlConfig() if settings is None else settings
        self._line: _Line | None = None
        self._process: tuple[Any, ...] | None = None  # the last one that was watched
        self._cursor = "0" if from_start else ""
        if known is not None:
            self._process, self._cursor = known
        self._farewell: Answer | None = None  # a last word that came in answer to an act
        self._turn = asyncio.Lock()

    @property
    def hello(self) -> Answer:
        """Who is at the other end, {} when nobody is."""
        return {} if self._line is None else self._line.hello

    async def watch(self) -> Answer:
        """One answer of `watch`, events since the last one; or the daemon's last word.

        Raises NoDaemon when none runs, none fits or it does not answer.
        """
        async with self._turn:
            answer, self._farewell = self._farewell, None
            if answer is None:
                answer = await self._ask("watch")
            if answer.get("ok") and "events_next" in answer:
                self._cursor = str(answer["events_next"])
            if answer.get("ended"):
                self.close()
            return answer

    async def act(self, verb: str, reason: str = "", via: str = "program") -> str:
        """Have the daemon halt, resume, flatten or kill; its words.  Raises NoDaemon, also when it refuses."""
        async with self._turn:
            answer = await self._ask(verb, reason=reason, via=via)
            if answer.get("ended"):
                self._farewell = answer
                self.close()
                raise NoDaemon("the daemon has ended")
            if not answer.get("ok"):
                raise NoDaemon(str(answer.get("error", "refused")))
            return str(answer.get("text", ""))

    def close(self) -> None:
        """Hang up; the next call connects again."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    async def _ask(self, verb: str, **words: str) -> Answer:
        """One request; once more on a new connection when the old one turns out to be dead."""
        was_connected = self._line is not None
        try:
            return await self._ask_once(verb, words)
        except NoDaemon:
            self.close()
            if not was_connected or verb != "watch":  # an act may have been carried out: never twice
                raise
        except asyncio.CancelledError:  # with an answer under way: it must not be taken for the next one's
            self.close()
            raise
        return await self._ask_once(verb, words)

    async def _ask_once(self, verb: str, words: Mapping[str, str]) -> Answer:
        line = self._line
        if line is None:
            line = await self._connect()
        extra = {"since": self._cursor} if verb == "watch" else words
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._settings.answer_s
        while True:
            answer = await line.ask({"do": verb, **extra})
            if not answer.get("starting") or loop.time() > deadline_s:
                return answer
            await asyncio.sleep(RETRY_S)

    async def _connect(self) -> "_Line":
        """Connect to the one that is meant; another process than before is read from its first event."""
        fit: list[_Line] = []
        others: list[_Line] = []
        for path in sockets(self._state_dir):
            line = await _Line.to(path, self._settings.answer_s)
            if line is not None:
                (fit if line.fits(self._target) else others).append(line)
        if len(fit) != 1:
            for line in (*fit, *others):
                line.close()
            raise NoDaemon(_why_none(self._state_dir, self._target, fit or others, is_many=bool(fit)))
        for line in others:
            line.close()
        self._line = line = fit[0]
        if self._process is not None and self._process != line.process:
            self._cursor = "0"
        self._process = line.process
        return line


class _Line:
    """One greeted connection.

    Read and written directly, not through a stream: when the daemon is gone a request cannot be sent any more, and
    the last word that lies in the socket is read all the same.
    """

    def __init__(self, peer: socket.socket, answer_s: float) -> None:
        self.hello: Answer = {}
        self._peer = peer
        self._answer_s = answer_s
        self._unread = bytearray()

    @classmethod
    async def to(cls, path: Path, answer_s: float) -> "_Line | None":
        """Connect and greet; None when nobody is behind the file, or nobody answers."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        line = cls(peer, answer_s)
        try:
            async with asyncio.timeout(answer_s):
                await asyncio.get_running_loop().sock_connect(peer, str(path))
            line.hello = await line.ask({"do": "hello"})
        except (OSError, NoDaemon):  # TimeoutError among them
            line.close()
            return None
        except asyncio.CancelledError:
            line.close()
            raise
        if not line.hello.get("ok") or line.hello.get("ended"):
            line.close()
            return None
        return line

    @property
    def name(self) -> str:
        """ACCOUNT-SESSION."""
        return f"{self.hello.get('account', '')}-{self.hello.get('session', '')}"

    @property
    def process(self) -> tuple[Any, ...]:
        """What another daemon cannot have in common with this one."""
        return tuple(self.hello.get(key) for key in ("account", "session", "pid", "started_ns"))

    def fits(self, target: str) -> bool:
        """Is this one meant by the beginning of an account or session?"""
        names = (self.name, str(self.hello.get("session", "")))
        return any(name.lower().startswith(target.lower()) for name in names)

    async def ask(self, message: Mapping[str, str]) -> Answer:
        """One request, one answer, or the last word that came before it; raises NoDaemon when it does not answer."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._answer_s):
                with suppress(ConnectionError):  # it has gone; what it said before it went?
                    await loop.sock_sendall(self._peer, encode(message))
                text = await self._read_line(loop)
        except TimeoutError:
            raise NoDaemon(f"the daemon does not answer within {self._answer_s:g} s: it hangs") from None
        except OSError as error:
            raise NoDaemon(f"the daemon hung up: {error}") from None
        try:
            answer = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise NoDaemon("the daemon's answer is no JSON") from None
        return answer if isinstance(answer, dict) else {}

    async def _read_line(self, loop: asyncio.AbstractEventLoop) -> bytes:
        """The next line; raises NoDaemon at the end of the connection, OSError."""
        unread, seen = self._unread, 0
        while (end := unread.find(b"\n", seen)) < 0:
            seen = len(unread)
            if seen > MAX_ANSWER_BYTES:
                raise NoDaemon("an answer without an end")
            piece = await loop.sock_recv(self._peer, PIECE_BYTES)
            if not piece:
                raise NoDaemon("the daemon hung up: it ends, or has too many clients")
            unread += piece
        text = bytes(unread[: end + 1])
        del unread[: end + 1]
        return text

    def close(self) -> None:
        """Hang up."""
        self._peer.close()


def _why_none(state_dir: Path, target: str, lines: list[_Line], *, is_many: bool) -> str:
    listed = "".join(f"\n  {line.name}" for line in lines)
    if is_many:
        return f"{len(lines)} daemons run here, say which:{listed}"
    if lines:
        return f"no daemon fits {target}; there are{listed}"
    return why_nobody(state_dir) or f"no daemon runs in {control_folder(state_dir)}"
