"""The socket's end of the C road: one link's frames go where they lie in the receive buffer into the feed's inlet.

Owns the receive stamp of whole messages and the guard of a feed callback: one bad message must not end the feed.
Left to Python (`link`): the handshake, fragments, closing, control frames, and every message of a feed without
an inlet, e.g. one that a tape recorder stands before.  The payload is borrowed until on_ws_frame returns.
Must not decode or decide.  Made by feeds.connection, one per socket; called by picows.
"""
cimport cython
from libc.stdint cimport int64_t
from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from polybot._fast.inlet cimport Inlet
from polybot._fast.stamp cimport VenueStamp


@cython.final
cdef class FrameListener(WSListener):
    """Listener of one link.

    `link` has on_connected(transport), on_frame(frame) for all that is no whole message, on_message(payload, recv_ns)
    for whole messages when there is no inlet, and on_error(exception).  Without a stamp `now_ns` is called.
    """

    def __init__(self, link, now_ns, *, VenueStamp stamp=None, Inlet inlet=None):
        self.link = link
        self.now_ns = now_ns
        self.stamp = stamp
        self.inlet = inlet

    def let_go(self) -> None:
        """The link is over: whatever still comes is dropped."""
        self.link = None

    def deliver(self, bytes payload not None) -> None:
        """Take a message that came in pieces."""
        self._take(payload, len(payload), payload)

    cpdef on_ws_connected(self, WSTransport transport):
        """Handshake complete."""
        if self.link is not None:
            self.link.on_connected(transport)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        """Deliver a whole message, or leave the frame to the link."""
        if transport.is_close_frame_sent:  # picows parses on for 10 ms after it refused a frame
            return
        if frame.fin and (frame.msg_type == WSMsgType.TEXT or frame.msg_type == WSMsgType.BINARY):
            self._take(frame.payload_ptr, frame.payload_size, None)
        elif self.link is not None:
            self.link.on_frame(frame)

    cdef int _take(self, const char* p, Py_ssize_t n, bytes payload) except -1:
        """Stamp a message and hand it on; `payload` is it as an object, None when there is none yet."""
        cdef object link = self.link
        cdef int64_t now_ns
        if link is None:
            return 0
        now_ns = self.stamp.now() if self.stamp is not None else self.now_ns()
        self.last_ns = now_ns
        try:
            if self.inlet is not None:
                self.inlet.deliver(p, n, now_ns)
            else:
                link.on_message(p[:n] if payload is None else payload, now_ns)
        except Exception as error:  # the guard of a feed callback: one bad message must not end the feed
            link.on_error(error)
        if self.first_ns == 0:
            self.first_ns = now_ns
        return 0
