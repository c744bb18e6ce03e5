"""What stands between a feed and its socket, and between a program and HTTP, so that a tape gets what passes.

Owns the order on the tape (the frame as received first, then what the feed said about it), marked gaps, and rates.
A gap begins with the last data before a socket went or a feed fell silent and ends with the first data after it.
Must not decode, connect or decide.  Called by session and taped_window.
"""

from collections.abc import Callable, Mapping
from typing import Any

from polybot._fast.event import EVENT_DTYPE, EventBuffer, EventKind, FeedState
from polybot.clock import Clock
from polybot.tape.records import AUX_BEFORE, EntryKind, TapeFeed
from polybot.tape.writer import Numbering, TapeWriter
from polybot.transport import BeforeWrite, Feed, HttpClient, HttpResponse, Route, SendText

__all__ = ["FeedTap", "TapedFeed", "TapedHttp"]

STATE_BIT = 1 << int(EventKind.EV_FEED_STATE)
FRAME, OPEN, CLOSE = int(EntryKind.FRAME), int(EntryKind.OPEN), int(EntryKind.CLOSE)
EVENTS, RESET, ANSWER = int(EntryKind.EVENTS), int(EntryKind.RESET), int(EntryKind.ANSWER)
OWN, REST = int(TapeFeed.OWN), int(TapeFeed.REST)


class FeedTap:
    """One feed's way onto the tapes in `targets`; `sink` is what the feed gets for its events."""

    def __init__(
        self,
        feed: TapeFeed,
        targets: list[TapeWriter],
        numbers: Numbering,
        *,
        on_data: Callable[[EventBuffer], None] | None = None,
    ) -> None:
        self.name = feed.name.lower()
        self.frames = 0
        self.bytes = 0
        self.gaps = 0
        self.data_ns = 0  # last frame with data
        self.state: bytes = b""  # the last feed state told, one event
        self._code = int(feed)
        self._targets = targets
        self._numbers = numbers
        self._on_data = on_data
        self._in_frame = False
        self._had_data = False
        self._gap_from_ns = 0
        self._gap_cause = ""
        self._gap_detail = ""

    def sink(self, events: EventBuffer) -> None:
        """Take events of the feed: states go on the tape, data is on it already, as the frame it came in."""
        if not events.kind_mask() & STATE_BIT:
            self._had_data = True
            if self._on_data is not None:
                self._on_data(events)
            return
        self.state = events.to_bytes()[-EVENT_DTYPE.itemsize :]
        before = AUX_BEFORE if self._in_frame and not self._had_data else 0
        self.own(events.recv_ns_at(0), EVENTS, events.to_bytes(), feed=OWN, aux=before)
        if int(events.to_numpy()["j"][-1]) == FeedState.FS_STALE:
            self.begin_gap("silence", events.recv_ns_at(0), "no data for too long")

    def before_frame(self, payload: bytes, recv_ns: int) -> None:
        """A frame came; it is on the tape before anybody has looked at it."""
        seq = self._numbers.take()
        for tape in self._targets:
            tape.add(seq, recv_ns, feed=self._code, kind=FRAME, payload=payload)
        self.frames += 1
        self.bytes += len(payload)
        self._in_frame, self._had_data = True, False

    def after_frame(self, recv_ns: int) -> None:
        """The feed has taken the frame."""
        self._in_frame = False
        if self._had_data:
            if self._gap_from_ns:
                self.end_gap(recv_ns)
            self.data_ns = recv_ns

    def own(self, recv_ns: int, kind: int, payload: bytes, *, feed: int = -1, aux: int = 0) -> None:
        """Put an entry of the recorder's own on all tapes."""
        seq = self._numbers.take()
        for tape in self._targets:
            tape.add(seq, recv_ns, feed=self._code if feed < 0 else feed, kind=kind, payload=payload, aux=aux)

    def begin_gap(self, cause: str, now_ns: int, detail: str) -> None:
        """Data stopped; a gap that is open already goes on."""
        if not self._gap_from_ns:
            self._gap_from_ns = self.data_ns or now_ns
            self.gaps += 1
        self._gap_cause, self._gap_detail = cause, detail

    def end_gap(self, now_ns: int) -> None:
        """Data is back (or nobody waits for it any more)."""
        if self._gap_from_ns:
            for tape in self._targets:
                self.mark_gap(tape, now_ns)
            self._gap_from_ns = 0

    def mark_gap(self, tape: TapeWriter, now_ns: int) -> None:
        """Mark the open gap, if there is one, on a tape that is about to be closed."""
        if self._gap_from_ns:
            tape.gap(
                self.name,
                self._gap_cause,
                from_ns=self._gap_from_ns,
                to_ns=now_ns,
                frames=None,
                detail=self._gap_detail,
            )


class TapedFeed:
    """A transport.Feed that is on tape; everything but the tape is the inner feed's."""

    def __init__(self, feed: Feed, tap: FeedTap) -> None:
        self.inner: Any = feed
        self.tap = tap
        self.name = feed.name
        self._links = 0
        self._resets = 0

    @property
    def wants_reconnect(self) -> str | None:
        """As the inner feed."""
        wish: str | None = self.inner.wants_reconnect
        return wish

    @wants_reconnect.setter
    def wants_reconnect(self, value: str | None) -> None:
        self.inner.wants_reconnect = value

    @property
    def wants_rollover(self) -> str | None:
        """As the inner feed, None for one that never wants it."""
        return getattr(self.inner, "wants_rollover", None)

    @wants_rollover.setter
    def wants_rollover(self, value: str | None) -> None:
        if hasattr(self.inner, "wants_rollover"):
            self.inner.wants_rollover = value

    @property
    def gives_up(self) -> str | None:
        """As the inner feed, None for one that never does."""
        return getattr(self.inner, "gives_up", None)

    @property
    def retry_after_s(self) -> float:
        """As the inner feed, 0 for one that never asks."""
        return float(getattr(self.inner, "retry_after_s", 0.0))

    def url(self) -> str:
        """As the inner feed."""
        address: str = self.inner.url()
        return address

    def on_open(self, send: SendText, now_ns: int) -> None:
        """A socket is up."""
        self._links += 1
        self.tap.own(now_ns, OPEN, b"")
        self.inner.on_open(send, now_ns)

    def on_payload(self, payload: bytes, recv_ns: int) -> None:
        """A message: first onto the tape, then to the feed."""
        tap = self.tap
        tap.before_frame(payload, recv_ns)
        try:
            self.inner.on_payload(payload, recv_ns)
        finally:
            tap.after_frame(recv_ns)

    def on_timer(self, now_ns: int) -> None:
        """As the inner feed; decoders that start anew are noted."""
        self.inner.on_timer(now_ns)
        resets = getattr(self.inner, "id_resets", 0)
        if resets != self._resets:
            self._resets = resets
            self.tap.own(now_ns, RESET, b"")

    def on_close(self, reason: str, now_ns: int) -> None:
        """A socket is gone; with the last one a gap begins."""
        self._links -= 1
        self.tap.own(now_ns, CLOSE, reason.encode())
        self.inner.on_close(reason, now_ns)
        if self._links == 0 and reason != "stopped":
            self.tap.begin_gap("reconnect", now_ns, reason)


class TapedHttp:
    """A transport.HttpClient that keeps answers to public GETs, the latest of each address, until they are taken."""

    def __init__(self, http: HttpClient, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._kept: dict[str, tuple[int, bytes]] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = 5.0,
        before_write: BeforeWrite | None = None,
    ) -> HttpResponse:
        """As the inner client; what carries headers or a body is nobody's business."""
        answer = await self._http.request(
            method, url, headers=headers, body=body, timeout_s=timeout_s, before_write=before_write
        )
        if method == "GET" and headers is None and body is None:
            front = f"GET {url}\n{answer.status}\n".encode()
            self._kept[url] = self._clock.now_ns(), front + answer.body
        return answer

    def route(self, method: str, url: str, headers: Mapping[str, str]) -> Route:
        """As the inner client; nothing of it is kept."""
        return self._http.route(method, url, headers)

    async def warm(self, url: str, timeout_s: float) -> int:
        """As the inner client."""
        return await self._http.warm(url, timeout_s)

    def take(self, tape: TapeWriter) -> None:
        """Put what was kept on a tape, in the order of first questions."""
        kept, self._kept = self._kept, {}
        for recv_ns, payload in kept.values():
            tape.own(recv_ns, ANSWER, payload, feed=REST)
