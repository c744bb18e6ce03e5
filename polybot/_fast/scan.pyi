from enum import IntEnum

from polybot._fast.event import EventBuffer

class DecodeResult(IntEnum):
    """What became of a frame."""

    DEC_OK = 0
    DEC_IGNORED = 1
    DEC_UNSUPPORTED = 2
    DEC_MALFORMED = 3
    DEC_WRONG_SYMBOL = 4
    DEC_UNKNOWN_TOKEN = 5

DEC_OK: int
DEC_IGNORED: int
DEC_UNSUPPORTED: int
DEC_MALFORMED: int
DEC_WRONG_SYMBOL: int
DEC_UNKNOWN_TOKEN: int

class FrameDecoder:
    """Decoder of one feed's frames into events; a bad frame leaves nothing in the buffer."""

    frames: int
    ignored: int
    malformed: int
    unsupported: int

    def feed(self, payload: bytes | bytearray | memoryview, recv_ns: int, out: EventBuffer) -> int: ...
    def counters(self) -> dict[str, int]: ...

def check_json(text: bytes) -> int: ...
def read_double(text: bytes, shift: int = 0) -> float | None: ...
def read_fixed(text: bytes, decimals: int) -> int | None: ...
def read_stamp(text: bytes) -> int | None: ...
