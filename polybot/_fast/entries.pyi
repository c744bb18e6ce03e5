"""Types of polybot._fast.entries as Python sees them."""

class Entries:
    count: int
    first_seq: int
    last_seq: int
    first_ns: int
    last_ns: int
    columns: memoryview
    payloads: memoryview
    def __init__(self) -> None: ...
    def take(self, data: bytes | bytearray | memoryview, start: int) -> int: ...
