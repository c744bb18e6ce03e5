"""From a frame's bytes to the sink of its events: what a feed does with every frame, in C.

Owns the feed's buffer, the stamps of its last frame, data and pong, and the pulse of each market on it.
Python is called for what is rare: frames the decoder does not take (on_odd), kinds the feed wants to hear of
(on_watched), data after staleness (Pulse.on_data).  A feed's Python road goes through `feed`, the listener's
through `deliver`: they are the same, so that nothing depends on who drives the feed.
Must not know sockets, time or what events mean.  Called by feeds.binance, feeds.polymarket and the listener.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp

from polybot._fast.event cimport EventBuffer
from polybot._fast.scan cimport FrameDecoder
from polybot._fast.sink cimport EventSink


cdef class Pulse:
    """When data last came, of one feed or of one market on it; all times venue ns."""

    def beat(self, int64_t now_ns) -> None:
        """Count silence from here on."""
        self.data_ns = now_ns

    def set_stale(self, bint stale) -> None:
        """Note whether staleness was told."""
        self.stale = stale

    def on_data(self, int64_t recv_ns) -> None:
        """Data came; a subclass tells those who were told of staleness."""
        self.data_ns = recv_ns
        self.stale = False


cdef class Inlet:
    """One feed's way in; every link of the feed delivers here.

    on_odd(result, payload, recv_ns) hears of frames without events whose DecodeResult is in `odd`, and may
    append to `events`; on_watched(events, recv_ns) of buffers with a kind in watch(), after the sink.
    """

    def __init__(self, FrameDecoder decoder not None, EventSink sink not None, *, on_odd, odd, on_watched=None,
                 bytes pong=b""):
        """`odd`: DecodeResults; `pong`: the text that answers a text ping, b"" when there is none."""
        self.decoder = decoder
        self.sink = sink
        self.events = EventBuffer()
        self.on_odd = on_odd
        self.on_watched = on_watched
        for result in odd:
            self.odd |= <uint64_t> 1 << <int> result
        self.pong_text = pong
        self.kept = []

    def watch(self, mask) -> None:
        """Hear of these kinds from now on, as bits of EventBuffer.kind_mask()."""
        self.watched = mask

    def follow(self, int market, Pulse pulse not None) -> None:
        """Note data of a market (NO_MARKET for what has none) in this pulse, replacing an earlier one."""
        self.leave(market)
        if self.pulses == MAX_PULSES:
            raise ValueError(f"more than {MAX_PULSES} markets on one feed")
        self.kept.append(pulse)
        self.market[self.pulses] = market
        self.pulse[self.pulses] = <void*> pulse
        self.pulses += 1

    def leave(self, int market) -> None:
        """Forget a market; one never followed is no error."""
        cdef int k = self._find(market)
        if k < 0:
            return
        self.kept.remove(<object> self.pulse[k])
        self.pulses -= 1
        self.market[k] = self.market[self.pulses]
        self.pulse[k] = self.pulse[self.pulses]

    def on_open(self, int64_t now_ns) -> None:
        """A link is up: silences count from here on."""
        self.now_ns = self.data_ns = self.pong_ns = now_ns

    def on_time(self, int64_t now_ns) -> None:
        """The feed's timer ticked."""
        self.now_ns = now_ns

    def on_data(self, int64_t now_ns) -> None:
        """Data is as good as new, for a reason of the feed's own."""
        self.data_ns = now_ns

    def feed(self, payload, int64_t recv_ns) -> None:
        """Take one whole message (bytes or any contiguous buffer) received at recv_ns."""
        cdef Py_buffer view
        if type(payload) is bytes:
            self.deliver(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), recv_ns)
            return
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            self.deliver(<const char*> view.buf, view.len, recv_ns)
        finally:
            PyBuffer_Release(&view)

    cdef int deliver(self, const char* p, Py_ssize_t n, int64_t recv_ns) except -1:
        """Take one whole message of n borrowed bytes; raises what a callback or the sink raises."""
        cdef EventBuffer events = self.events
        cdef int result
        self.now_ns = recv_ns
        if self._is_pong(p, n):
            self.pong_ns = recv_ns
            self.pongs += 1
            return 0
        events.n = 0
        result = self.decoder.decode(p, n, recv_ns, events)
        if events.n == 0 and self.odd >> result & 1:
            self.on_odd(result, p[:n], recv_ns, events)
        self.payloads += 1
        return self._hand_on(recv_ns) if events.n else 0

    cdef int _hand_on(self, int64_t recv_ns) except -1:
        """Events to the sink; then the pulse of the first one's market, and what Python wants to hear of."""
        cdef EventBuffer events = self.events
        cdef uint64_t mask = 0
        cdef Pulse pulse = None
        cdef Py_ssize_t k
        cdef int at = self._find(events.ev[0].market)
        if self.watched:
            for k in range(events.n):
                mask |= <uint64_t> 1 << (events.ev[k].kind & 63)
        if at >= 0:
            pulse = <Pulse> self.pulse[at]
        self.data_ns = recv_ns
        self.sink.take(events)
        if pulse is not None:
            if pulse.stale:
                pulse.on_data(recv_ns)
            else:
                pulse.data_ns = recv_ns
        if mask & self.watched:
            self.on_watched(events, recv_ns)
        return 0

    cdef bint _is_pong(self, const char* p, Py_ssize_t n) noexcept:
        cdef Py_ssize_t length = PyBytes_GET_SIZE(self.pong_text)
        return n == length and n > 0 and memcmp(p, PyBytes_AS_STRING(self.pong_text), n) == 0

    cdef int _find(self, int market) noexcept:
        """Row of a market, -1 when it is not followed."""
        cdef int k
        for k in range(self.pulses):
            if self.market[k] == market:
                return k
        return -1
