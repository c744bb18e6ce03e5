"""The daemon's end of the control socket: bytes of a local client in, one answer per request out.

Owns the socket file (0600 in a 0700 folder, a dead process's one replaced, removed at the end) and the bounds that
keep a client from mattering to trading: clients, request size, rate, unread answers, idle time.  Only the daemon's
own user and root are answered.  Everything is answered from the callback that received it: no task, no wait.
Must not know what a verb does (control.operator does).  Called by polybot.daemon.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol, cast

from polybot.config_control import ControlConfig
from polybot.control.address import make_folder
from polybot.control.wire import Request, encode, parse_request
from polybot.errors import AlreadyRunning, DecodeError
from polybot.gateway.limiter import TokenBucket

__all__ = ["Acts", "ControlServer", "is_answered"]

SOCKET_MODE = 0o600
# struct ucred: pid, uid, gid (man 7 unix, SO_PEERCRED).
PEER_CREDENTIALS = struct.Struct("3i")
# Answers a client may leave unread before it is let go.
MAX_UNREAD_BYTES = 1 << 20
# Requests read in one go; a client that sends more without a breath is let go.
MAX_AT_ONCE = 64
PROBE_S = 0.2  # wall; is anybody behind a socket file that is already there?
ROOT_UID = 0


class Acts(Protocol):
    """What the server asks of polybot.control.operator.Operator."""

    is_ready: bool

    def halt(self, by: str, reason: str) -> str: ...
    def resume(self, by: str, reason: str = "") -> str: ...
    def flatten(self, by: str, reason: str) -> str: ...
    def kill(self, by: str, reason: str) -> str: ...
    def hello(self) -> dict[str, Any]: ...
    def status(self) -> dict[str, Any]: ...
    def watch(self, since: int | None) -> dict[str, Any]: ...
    def unseen(self, since: int) -> dict[str, Any]: ...


class ControlServer:
    """Serves one operator on one path."""

    def __init__(
        self, operator: Acts, path: Path, settings: ControlConfig, *, mono_ns: Callable[[], int]
    ) -> None:
        """`path` is control.address.socket_path's; mono_ns reads the monotonic clock for the rate limit."""
        self.counters = {"requests": 0, "refused": 0, "turned_away": 0, "let_go": 0}
        self.settings = settings
        self._operator = operator
        self._path = path
        self._mono_ns = mono_ns
        self._bucket = TokenBucket(settings.requests_per_s, max(1, round(settings.requests_per_s)))
        self._clients: dict[_Client, None] = {}
        self._server: asyncio.AbstractServer | None = None
        self._inode = 0

    async def start(self) -> None:
        """Listen; raises AlreadyRunning when somebody answers there, OSError when the folder cannot be used."""
        make_folder(self._path.parent.parent)
        if is_answered(self._path):
            raise AlreadyRunning(f"another daemon answers at {self._path}")
        listener = _bind(self._path)
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Client(self), sock=listener)

    def close(self, last_word: dict[str, Any] | None = None) -> None:
        """Tell those who wait how it ended, and remove the socket and what is empty then."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for client in tuple(self._clients):
            client.say_last(last_word)
        with suppress(OSError):
            if self._path.stat().st_ino == self._inode:  # else another daemon's already
                self._path.unlink()
        for folder in (self._path.parent, self._path.parent.parent):
            with suppress(OSError):  # not empty: somebody else's
                folder.rmdir()

    @property
    def is_heard(self) -> bool:
        """After close: nobody is still reading the last word."""
        return not self._clients

    # -- what a client brings -----------------------------------------------------------------------------------

    def admit(self, client: "_Client", uid: int) -> bool:
        """Take a client in, unless it is a stranger or one too many."""
        if uid not in (os.geteuid(), ROOT_UID) or len(self._clients) >= self.settings.clients:
            self.counters["turned_away"] += 1
            return False
        self._clients[client] = None
        return True

    def forget(self, client: "_Client") -> None:
        """A client is gone."""
        self._clients.pop(client, None)

    def answer(self, line: bytes, client: "_Client") -> bytes:
        """Carry out one request."""
        self.counters["requests"] += 1
        if self._bucket.take_or_wait(self._mono_ns()):
            return self._refuse(f"too many requests: at most {self.settings.requests_per_s:g} a second")
        try:
            request = parse_request(line)
        except DecodeError as error:
            return self._refuse(str(error))
        if request.verb == "watch":
            facts = self._operator.watch(request.since)
            client.cursor = facts["events_next"]
            return encode({"ok": True, **facts, "control": self.counters})
        if request.verb not in ("hello", "status") and not self._operator.is_ready:
            return encode({"ok": False, "starting": True, "error": "the daemon is starting: ask again in a moment"})
        return encode({"ok": True, **self._carry_out(request, client.uid)})

    def last_word(self, word: dict[str, Any], client: "_Client") -> bytes:
        """The daemon's last word to one client; who watched hears what happened since it looked."""
        return encode(word if client.cursor is None else {**word, **self._operator.unseen(client.cursor)})

    def refuse_long(self) -> bytes:
        """The answer to a request without an end."""
        self.counters["requests"] += 1
        return self._refuse(f"too long: a request has at most {self.settings.request_bytes} bytes")

    def _refuse(self, why: str) -> bytes:
        self.counters["refused"] += 1
        return encode({"ok": False, "error": why})

    def _carry_out(self, request: Request, uid: int) -> dict[str, Any]:
        by = f"{request.via or 'control socket'} (uid {uid})"
        if request.verb == "hello":
            return self._operator.hello()
        if request.verb == "status":
            return {**self._operator.status(), "control": dict(self.counters)}
        act = {
            "halt": self._operator.halt,
            "resume": self._operator.resume,
            "flatten": self._operator.flatten,
            "kill": self._operator.kill,
        }[request.verb]
        return {"text": act(by, request.reason)}


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: ControlServer) -> None:
        self.uid = -1
        self.cursor: int | None = None  # the first event it has not seen, once it watches
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        peer = transport.get_extra_info("socket").getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size
        )
        self.uid = PEER_CREDENTIALS.unpack(peer)[1]
        if not self._server.admit(self, self.uid):
            transport.abort()
            return
        self._transport = transport
        transport.set_write_buffer_limits(high=MAX_UNREAD_BYTES)
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._wait()
        self._unread += data
        for _ in range(MAX_AT_ONCE):
            if self._transport is None or b"\n" not in self._unread:
                break
            line, _, self._unread = self._unread.partition(b"\n")
            if len(line) > self._server.settings.request_bytes:
                self._unread = line
                break
            self._write(self._server.answer(line, self))
        else:
            if b"\n" in self._unread:  # a flood, each line of which would cost the loop a moment
                self._unread = b""
                self._let_go()
        if len(self._unread) > self._server.settings.request_bytes:
            self._unread = b""
            self._write(self._server.refuse_long())
            self._let_go()

    def pause_writing(self) -> None:
        """It does not read what it asked for: gone."""
        self._let_go(at_once=True)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._server.forget(self)

    def say_last(self, word: dict[str, Any] | None) -> None:
        """The daemon ends."""
        if self._transport is not None:
            if word is not None:
                self._transport.write(self._server.last_word(word, self))
            self._transport.close()

    def _write(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)

    def _wait(self) -> None:
        """Let the client go when it says nothing for the limit."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._server.settings.idle_s, self._let_go)

    def _let_go(self, *, at_once: bool = False) -> None:
        transport, self._transport = self._transport, None
        if transport is None:
            return
        self._server.counters["let_go"] += 1
        if at_once:
            transport.abort()
        else:
            transport.close()


def is_answered(path: Path) -> bool:
    """Is a living process behind this socket file?"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(os.fspath(path))
        except BlockingIOError:  # its queue is full: somebody is there
            return True
        except OSError:
            return False
        return True


def _bind(path: Path) -> socket.socket:
    """A listening socket of mode 0600 at `path`, in place of what a dead process left there."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with ExitStack() as undo:
        kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, kind))
        listener.bind(os.fspath(fresh))
        fresh.chmod(SOCKET_MODE)
        listener.listen()
        fresh.replace(path)
        undo.pop_all()
    return listener
