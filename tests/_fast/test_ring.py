"""CommandRing against two plain deques: order, overwriting, growth and exact counts."""

import random
from collections import Counter, deque

import numpy as np
import pytest

from polybot._fast.event import COMMAND_DTYPE, CommandBuffer, CommandKind
from polybot._fast.ring import KEEP_MAX, RECORD_BYTES, CommandRing

LOOSE = (CommandKind.CMD_GATE, CommandKind.CMD_DIAGNOSTIC)
KEPT = (CommandKind.CMD_PLACE, CommandKind.CMD_ORDER, CommandKind.CMD_FILL, CommandKind.CMD_SETTLEMENT)
OTHER = (CommandKind.CMD_CANCEL, CommandKind.CMD_CANCEL_ALL, CommandKind.CMD_RESYNC_BOOK)
DENIED = 7


def record(kind: int, number: int, reason: int = DENIED) -> bytes:
    array = np.zeros(1, dtype=COMMAND_DTYPE)
    array["kind"], array["order_seq"], array["reason"] = kind, number, reason
    return array.tobytes()


def numbers(drained: bytes) -> list[int]:
    return [int(n) for n in np.frombuffer(drained, dtype=COMMAND_DTYPE)["order_seq"]]


class SlowRing:
    """The reference: what the ring promises, in the plainest Python."""

    def __init__(self, loose_capacity: int, keep_max: int) -> None:
        self.loose: deque[tuple[int, int, bytes]] = deque()
        self.keep: deque[tuple[int, int, bytes]] = deque()
        self.loose_capacity, self.keep_max = loose_capacity, keep_max
        self.serial = self.lost = self.drained = 0
        self.dropped: Counter[int] = Counter()

    def push(self, kind: int, raw: bytes, *, keep: bool) -> None:
        self.serial += 1
        if keep:
            if len(self.keep) == self.keep_max:
                self.lost += 1
                return
            self.keep.append((self.serial, kind, raw))
            return
        if len(self.loose) == self.loose_capacity:
            self.dropped[self.loose.popleft()[1]] += 1
        self.loose.append((self.serial, kind, raw))

    def drain(self, count: int) -> bytes:
        found = sorted([*self.keep, *self.loose])[:count]
        taken = {serial for serial, _, _ in found}
        self.keep = deque(item for item in self.keep if item[0] not in taken)
        self.loose = deque(item for item in self.loose if item[0] not in taken)
        self.drained += len(found)
        return b"".join(raw for _, _, raw in found)


@pytest.mark.parametrize("seed", range(8))
def test_random_pushes_and_drains_equal_the_reference(seed: int) -> None:
    rng = random.Random(seed)
    ring = CommandRing(loose_capacity=8, keep_start=2, keep_max=16)
    slow = SlowRing(8, 16)
    kinds = (*LOOSE, *KEPT, CommandKind.CMD_SIGNAL, *OTHER)
    for number in range(4_000):
        if rng.random() < 0.12:
            count = rng.randrange(12)
            drained, evals = ring.drain(count)
            assert drained == slow.drain(count)
            assert len(evals) // 8 == len(drained) // RECORD_BYTES
        kind, reason = rng.choice(kinds), rng.choice((0, DENIED))
        raw = record(kind, number, reason)
        ring.push_bytes(raw)
        if kind not in OTHER:
            slow.push(kind, raw, keep=kind in KEPT or (kind == CommandKind.CMD_SIGNAL and reason == 0))
        assert len(ring) == len(slow.keep) + len(slow.loose)
        assert ring.pushed == ring.drained + ring.dropped + ring.lost + len(ring)
    assert ring.dropped_kinds() == dict(slow.dropped)
    assert (ring.pushed, ring.lost, ring.drained) == (slow.serial, slow.lost, slow.drained)
    assert ring.dropped > 0
    assert ring.lost > 0


def test_wraparound_many_times_keeps_the_order() -> None:
    ring = CommandRing(loose_capacity=4)
    seen: list[int] = []
    for number in range(1_000):
        ring.push_bytes(record(CommandKind.CMD_GATE, number))
        if number % 3 == 2:
            seen += numbers(ring.drain()[0])
    assert seen == list(range(999))
    assert ring.dropped == 0


def test_a_storm_of_gates_drops_the_oldest_gates_and_no_order() -> None:
    ring = CommandRing(loose_capacity=16, keep_start=2)
    for number in range(1_000):
        ring.push_bytes(record(CommandKind.CMD_GATE, number))
        if number % 10 == 0:
            ring.push_bytes(record(CommandKind.CMD_FILL, 10_000 + number))
    left = numbers(ring.drain()[0])
    assert [n for n in left if n >= 10_000] == list(range(10_000, 11_000, 10))
    assert [n for n in left if n < 10_000] == list(range(984, 1_000))
    assert ring.dropped_kinds() == {int(CommandKind.CMD_GATE): 984}
    assert ring.lost == 0


def test_dispatched_signals_are_kept_and_denied_ones_are_droppable() -> None:
    ring = CommandRing(loose_capacity=1)
    for number in range(50):
        ring.push_bytes(record(CommandKind.CMD_SIGNAL, number, reason=0 if number % 2 else DENIED))
    assert numbers(ring.drain()[0]) == [*range(1, 49, 2), 48, 49]
    assert ring.dropped_kinds() == {int(CommandKind.CMD_SIGNAL): 24}


def test_kept_records_beyond_the_named_maximum_are_counted_and_raise_the_flag() -> None:
    ring = CommandRing(keep_start=4, keep_max=8)
    for number in range(8):
        ring.push_bytes(record(CommandKind.CMD_ORDER, number))
    assert not ring.overflowed
    assert ring.push_bytes(record(CommandKind.CMD_ORDER, 8)) == 0
    assert ring.overflowed
    assert ring.lost == 1
    assert numbers(ring.drain()[0]) == list(range(8))


def test_default_maximum_holds_hours_of_orders() -> None:
    ring = CommandRing()
    batch = b"".join(record(CommandKind.CMD_FILL, number) for number in range(1 << 12))
    kept = sum(ring.push_bytes(batch) for _ in range(KEEP_MAX >> 12))
    assert kept == KEEP_MAX
    assert ring.push_bytes(batch) == 0
    assert ring.lost == 1 << 12


def test_commands_for_the_gateway_are_not_telemetry() -> None:
    ring = CommandRing()
    assert ring.push_bytes(b"".join(record(kind, 1) for kind in OTHER)) == 0
    assert len(ring) == ring.pushed == 0


def test_engine_call_time_travels_with_each_record() -> None:
    ring = CommandRing()
    ring.push_bytes(record(CommandKind.CMD_GATE, 1) + record(CommandKind.CMD_PLACE, 2), 1_500)
    ring.push_bytes(record(CommandKind.CMD_ORDER, 3))
    records, evals = ring.drain()
    assert numbers(records) == [1, 2, 3]
    assert np.frombuffer(evals, dtype="<i8").tolist() == [1_500, 1_500, 0]


def test_an_empty_command_buffer_and_an_empty_ring_are_fine() -> None:
    ring = CommandRing()
    assert ring.push_all(CommandBuffer(), 5) == 0
    assert ring.drain() == (b"", b"")
    assert ring.drain(-3) == (b"", b"")


def test_drain_takes_at_most_what_it_is_asked_for() -> None:
    ring = CommandRing()
    for number in range(10):
        ring.push_bytes(record(CommandKind.CMD_ORDER, number))
    assert numbers(ring.drain(4)[0]) == [0, 1, 2, 3]
    assert len(ring) == 6


@pytest.mark.parametrize(
    "sizes", [{"loose_capacity": 0}, {"keep_start": 0}, {"keep_start": 8, "keep_max": 4}]
)
def test_impossible_sizes_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        CommandRing(**sizes)


def test_a_torn_record_is_refused() -> None:
    with pytest.raises(ValueError, match="no whole number"):
        CommandRing().push_bytes(b"x" * 129)


def test_record_size_is_the_command_record() -> None:
    assert RECORD_BYTES == COMMAND_DTYPE.itemsize == 128
