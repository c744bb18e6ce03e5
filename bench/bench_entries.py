"""Taking a tail apart: what the packer's thread does with each entry of the inputs log."""

import struct
from collections.abc import Callable

from polybot._fast.entries import split_entries

Budget = Callable[..., float]
HEAD, PAYLOAD, COUNT = 28, 64, 20_000
ENTRY_NS = 40


def test_entries_split(budget: Budget) -> None:
    data = (struct.pack("<I", HEAD + PAYLOAD) + bytes(HEAD - 4 + PAYLOAD)) * COUNT
    heads, payloads = split_entries(data, 0, HEAD)
    assert (len(heads), len(payloads)) == (COUNT * HEAD, COUNT * PAYLOAD)
    budget(lambda: split_entries(data, 0, HEAD), name="tail entry taken apart", median_ns=ENTRY_NS, inner=COUNT)
