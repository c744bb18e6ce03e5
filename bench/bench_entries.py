"""Taking a tail apart: what the packer's thread does with each entry of the inputs log."""

import struct
from collections.abc import Callable

from polybot._fast.entries import Entries

Budget = Callable[..., float]
HEAD, PAYLOAD, COUNT = 28, 64, 20_000
ENTRY_NS = 40


def test_entries_split(budget: Budget) -> None:
    data = (struct.pack("<I", HEAD + PAYLOAD) + bytes(HEAD - 4 + PAYLOAD)) * COUNT
    entries = Entries()
    assert entries.take(data, 0) == COUNT
    assert (len(entries.columns), len(entries.payloads)) == (COUNT * (HEAD - 4), COUNT * PAYLOAD)
    budget(lambda: entries.take(data, 0), name="tail entry taken apart", median_ns=ENTRY_NS, inner=COUNT)
