"""One HTTP/1.1 connection towards the venue: a request out, exactly its answer in.

    IDLE --exchange()--> BUSY --the whole answer--> IDLE
    any  --a byte nobody asked for, half an answer, a reset, a cancelled exchange--> CLOSED (never used again)
Owns the framing of answers.  A connection that said something out of turn is closed, because what it says next could
be taken for the answer to somebody else's order (a library in its place was seen to do that).  So is one whose socket
holds something that nobody has read yet when a request wants to leave: `is_silent` asks the kernel.  Must not know
pools, retries or the venue.  Called by gateway.http.  Source of the framing: RFC 9112, sections 6 and 7.
"""

import asyncio
import select
from socket import socket
from typing import cast

from polybot.transport import HttpResponse

__all__ = ["BrokenAnswer", "Wire"]

MAX_HEAD_BYTES = 64 * 1024
# No honest answer is larger; an endless one must not fill the memory.
MAX_BODY_BYTES = 32 * 1024 * 1024
HEAD_END = b"\r\n\r\n"
NO_BODY = (204, 304)
SWITCHING = 101  # nobody asked for another protocol
MAX_LENGTH_DIGITS = 9
HEX_DIGITS = b"0123456789abcdefABCDEF"


class BrokenAnswer(ValueError):
    """Bytes that are no HTTP answer we could trust."""


class Wire(asyncio.Protocol):
    """One connection; `is_free` when a request may leave on it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._incoming: select.poll | None = None  # asks the kernel for what was not read yet
        self._waiter: asyncio.Future[HttpResponse] | None = None
        self._answer: _Answer | None = None  # made when its first bytes are here
        self.idle_since = 0.0  # loop time, kept by the pool
        self.exchanges = 0

    @property
    def is_free(self) -> bool:
        """Connected, and nobody waits for an answer."""
        return self._transport is not None and self._waiter is None and not self._transport.is_closing()

    @property
    def is_silent(self) -> bool:
        """Free, and nothing came since the last answer, not even what the loop had no turn to read (0.7 us).

        What waits there now is no answer to a request that leaves now, and an end of the connection that waits there
        means that nobody may read the request.
        """
        return self.is_free and (self._incoming is None or not self._incoming.poll(0))

    def begin(self, request: bytes) -> "asyncio.Future[HttpResponse]":
        """Write a request and return the future of its answer; `finish` must follow its end.  Raises ConnectionError.

        The future fails with BrokenAnswer or ConnectionError; the transport gives the bytes to the kernel at once.
        """
        assert self._waiter is None, "one request at a time"
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("closed before the request was written")
        waiter: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        self._answer = None
        self.exchanges += 1
        transport.write(request)
        return waiter

    def finish(self, waiter: "asyncio.Future[HttpResponse]") -> None:
        """The exchange is over.

        When it was cancelled or failed the connection is closed: a late answer must not be read as the next one.
        """
        self._waiter = None
        answer = self._answer
        if waiter.cancelled() or waiter.exception() is not None or answer is None or answer.must_close:
            self.close()

    async def exchange(self, request: bytes) -> HttpResponse:
        """Write a request and return its answer; raises BrokenAnswer, ConnectionError."""
        waiter = self.begin(request)
        try:
            return await waiter
        finally:
            waiter.cancel()  # nothing to do but for a caller that was cancelled
            self.finish(waiter)

    def transport_socket(self) -> socket | None:
        """The socket below, for its options."""
        found = None if self._transport is None else self._transport.get_extra_info("socket")
        return found if hasattr(found, "setsockopt") else None

    def close(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        sock = self.transport_socket()
        if sock is not None:
            self._incoming = select.poll()
            self._incoming.register(sock.fileno(), select.POLLIN)  # the end of a connection can be read too

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            self.close()  # out of turn
            return
        answer = self._answer
        if answer is None:
            answer = self._answer = _Answer()
        try:
            response = answer.feed(data)
        except BrokenAnswer as error:
            waiter.set_exception(error)
            return
        if response is not None:
            waiter.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        response = None if self._answer is None else self._answer.end()
        if response is not None and exc is None:
            waiter.set_result(response)
        else:
            waiter.set_exception(ConnectionResetError("closed before the answer was complete"))


class _Answer:
    """The answer being read."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._status = 0  # 0: the head is not complete
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._left = 0  # bytes of the body, or of a chunk, to come; -1: until the connection closes
        self._is_chunked = False
        self._in_trailer = False
        self.must_close = False

    def feed(self, data: bytes) -> HttpResponse | None:
        """Take bytes; returns the answer once it is whole.  Raises BrokenAnswer."""
        self._buffer += data
        while self._status == 0:
            if not self._read_head():
                return None
        if len(self._body) + len(self._buffer) > MAX_BODY_BYTES:
            raise BrokenAnswer("answer too large")
        is_whole = self._read_chunks() if self._is_chunked else self._read_plain()
        if not is_whole:
            return None
        self.must_close = self.must_close or bool(self._buffer)
        return HttpResponse(self._status, self._headers, bytes(self._body))

    def end(self) -> HttpResponse | None:
        """The connection is closed: the answer, when its end was to be told that way."""
        if self._status == 0 or self._left != -1:
            return None
        return HttpResponse(self._status, self._headers, bytes(self._body))

    def _read_head(self) -> bool:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BrokenAnswer("head too large")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + len(HEAD_END)]
        status = _read_status(lines[0])
        if status < 200:  # only a foretaste; the answer follows
            return True
        self._headers = _read_fields(lines[1:])
        self._status = status
        self._read_framing(lines[0].startswith("HTTP/1.0"))
        return True

    def _read_framing(self, is_old: bool) -> None:
        headers = self._headers
        encoding = headers.get("transfer-encoding", "").lower()
        length = headers.get("content-length")
        self.must_close = is_old or "close" in headers.get("connection", "").lower()
        if self._status in NO_BODY:
            self._left = 0
        elif encoding:
            if encoding != "chunked" or length is not None:
                raise BrokenAnswer("unclear framing")
            self._is_chunked = True
        elif length is not None:
            is_number = length.isascii() and length.isdigit() and len(length) <= MAX_LENGTH_DIGITS
            if not is_number or int(length) > MAX_BODY_BYTES:
                raise BrokenAnswer("unclear length")
            self._left = int(length)
        else:
            self._left, self.must_close = -1, True

    def _read_plain(self) -> bool:
        if self._left < 0:
            self._body += self._buffer
            self._buffer.clear()
            return False
        taken = self._buffer[: self._left]
        del self._buffer[: len(taken)]
        self._body += taken
        self._left -= len(taken)
        return self._left == 0

    def _read_chunks(self) -> bool:
        """chunk-size CRLF data CRLF ... 0 CRLF trailer CRLF; True at its end."""
        while True:
            if self._left > 0:
                taken = self._buffer[: self._left]
                del self._buffer[: len(taken)]
                self._body += taken
                self._left -= len(taken)
                if self._left:
                    return False
                self._left = -2  # the CRLF after the data
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > MAX_HEAD_BYTES:
                    raise BrokenAnswer("chunk without an end")
                return False
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            if self._in_trailer:
                if not line:
                    return True
            elif self._left == -2:
                if line:
                    raise BrokenAnswer("chunk longer than told")
                self._left = 0
            else:
                self._left = _read_size(line)
                self._in_trailer = self._left == 0


def _read_status(line: str) -> int:
    """Status of `HTTP/1.1 200 OK`."""
    version, _, rest = line.partition(" ")
    code = rest.partition(" ")[0]
    is_number = len(code) == 3 and code.isascii() and code.isdigit()
    if version not in ("HTTP/1.1", "HTTP/1.0") or not is_number or code < "100" or int(code) == SWITCHING:
        raise BrokenAnswer("not an HTTP answer")
    return int(code)


def _read_fields(lines: list[str]) -> dict[str, str]:
    """Header fields by lower-case name; repeated ones joined."""
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BrokenAnswer("not a header field")
        key = name.lower()
        fields[key] = f"{fields[key]}, {value.strip()}" if key in fields else value.strip()
    return fields


def _read_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or digits.strip(HEX_DIGITS):  # int() alone takes 0x5, 1_0 and +5
        raise BrokenAnswer("not a chunk")
    size = int(digits, 16)
    if size > MAX_BODY_BYTES:
        raise BrokenAnswer("not a chunk")
    return size
