"""Ring of 128-byte command records between the engine (producer) and telemetry (consumer).

Two lanes share one serial number, so that a drain gives records back in the order they were pushed:
  keep   orders, fills, settlements, dispatched signals: never dropped, grows by doubling up to a
         named maximum; beyond it a record is `lost`, counted, and the owner must halt new orders
  loose  denied signals, gates, diagnostics: fixed size, the oldest is overwritten and counted by kind
Exact at every instant: pushed == drained + dropped + lost + len(ring).
Must not interpret records further than their lane.  One producer and one consumer thread, both
holding the GIL during a call, which is what orders their accesses; neither ever waits.
Called by the runner (push_all) and telemetry.writer (drain).
Sizes are rounded up to powers of two.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from polybot._fast.event cimport (
    CMD_DIAGNOSTIC,
    CMD_FILL,
    CMD_GATE,
    CMD_ORDER,
    CMD_PLACE,
    CMD_SETTLEMENT,
    CMD_SIGNAL,
    CommandBuffer,
)

RECORD_BYTES = sizeof(Command)
KEEP_START = 1 << 10                      # records; a busy market makes a few hundred
KEEP_MAX = 1 << 18                        # records, 36 MiB: hours of orders with a stuck disk
LOOSE_CAPACITY = 1 << 14                  # records, 2.3 MiB: seconds of the busiest signal storm
DRAIN_MAX = 4096                          # records per drain call: bounds how long the GIL is held

cdef int REASON_DISPATCHED = 0

cdef enum LaneOf:
    LANE_NONE = 0                         # not telemetry
    LANE_KEEP = 1
    LANE_LOOSE = 2


cdef inline int lane_of(const Command* cmd) noexcept nogil:
    if cmd.kind == CMD_SIGNAL:
        return LANE_KEEP if cmd.reason == REASON_DISPATCHED else LANE_LOOSE
    if cmd.kind == CMD_GATE or cmd.kind == CMD_DIAGNOSTIC:
        return LANE_LOOSE
    if cmd.kind == CMD_PLACE or cmd.kind == CMD_ORDER or cmd.kind == CMD_FILL or cmd.kind == CMD_SETTLEMENT:
        return LANE_KEEP
    return LANE_NONE


cdef inline int64_t lane_len(const Lane* lane) noexcept nogil:
    return lane.tail - lane.head


cdef inline Slot* slot_at(const Lane* lane, int64_t position) noexcept nogil:
    return &lane.slots[position & (lane.capacity - 1)]


cdef inline int64_t round_up(int64_t records) noexcept nogil:
    """Smallest power of two that holds so many records."""
    cdef int64_t capacity = 1
    while capacity < records:
        capacity *= 2
    return capacity


cdef class CommandRing:
    """Records pushed by the engine's owner, drained by telemetry."""

    def __cinit__(self, Py_ssize_t loose_capacity=LOOSE_CAPACITY, Py_ssize_t keep_start=KEEP_START,
                  Py_ssize_t keep_max=KEEP_MAX):
        if not 0 < loose_capacity <= KEEP_MAX * 64 or not 0 < keep_start <= keep_max:
            raise ValueError(f"ring sizes out of range: {loose_capacity}, {keep_start}, {keep_max}")
        memset(&self.keep, 0, sizeof(Lane))
        memset(&self.loose, 0, sizeof(Lane))
        memset(self.dropped_by_kind, 0, sizeof(self.dropped_by_kind))
        self.keep_max = keep_max
        self.keep.capacity = round_up(keep_start)
        self.keep.slots = <Slot*> malloc(self.keep.capacity * sizeof(Slot))
        self.loose.capacity = round_up(loose_capacity)
        self.loose.slots = <Slot*> malloc(self.loose.capacity * sizeof(Slot))
        if self.keep.slots == NULL or self.loose.slots == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.keep.slots)
        free(self.loose.slots)

    cdef int push(self, const Command* cmd, int64_t eval_ns) noexcept:
        """Copy one record in; 1 when it was kept, 0 when it is no telemetry, -1 when it was lost."""
        cdef int where = lane_of(cmd)
        cdef Lane* lane = &self.keep if where == LANE_KEEP else &self.loose
        cdef Slot* slot
        if where == LANE_NONE:
            return 0
        self.serial += 1
        if lane_len(lane) == lane.capacity:
            if where == LANE_LOOSE:
                slot = slot_at(lane, lane.head)
                self.dropped_by_kind[min(slot.cmd.kind, KIND_SLOTS - 1)] += 1
                lane.head += 1
            elif self._grow_keep() == 0:
                self.lost += 1
                return -1
        slot = slot_at(lane, lane.tail)
        slot.serial = self.serial
        slot.eval_ns = eval_ns
        slot.cmd = cmd[0]
        lane.tail += 1
        return 1

    cdef int _grow_keep(self) noexcept:
        """Double the keep lane; 0 at the named maximum or without memory."""
        cdef int64_t count = lane_len(&self.keep), k
        cdef Slot* grown
        if self.keep.capacity >= self.keep_max:
            return 0
        grown = <Slot*> malloc(2 * self.keep.capacity * sizeof(Slot))
        if grown == NULL:
            return 0
        for k in range(count):
            grown[k] = slot_at(&self.keep, self.keep.head + k)[0]
        free(self.keep.slots)
        self.keep.slots = grown
        self.keep.capacity *= 2
        self.keep.head = 0
        self.keep.tail = count
        return 1

    cdef Slot* _oldest(self) noexcept:
        """Take the record with the smaller serial of both lanes' heads; the ring is not empty."""
        cdef Slot* kept = NULL
        cdef Slot* loose = NULL
        if self.keep.head < self.keep.tail:
            kept = slot_at(&self.keep, self.keep.head)
        if self.loose.head < self.loose.tail:
            loose = slot_at(&self.loose, self.loose.head)
        if loose == NULL or (kept != NULL and kept.serial < loose.serial):
            self.keep.head += 1
            return kept
        self.loose.head += 1
        return loose

    def push_all(self, CommandBuffer commands not None, int64_t eval_ns=0) -> int:
        """Copy every telemetry record of one engine call in; returns how many were kept."""
        cdef Py_ssize_t k
        cdef int kept = 0
        for k in range(commands.n):
            if self.push(&commands.cmd[k], eval_ns) == 1:
                kept += 1
        return kept

    def push_bytes(self, bytes records not None, int64_t eval_ns=0) -> int:
        """Like push_all, from records as they lie in memory: a multiple of 128 bytes."""
        cdef const char* p = records
        cdef Py_ssize_t k, count = len(records) // <Py_ssize_t> sizeof(Command)
        cdef Command cmd
        cdef int kept = 0
        if len(records) % sizeof(Command):
            raise ValueError(f"{len(records)} bytes are no whole number of records")
        for k in range(count):
            memcpy(&cmd, p + k * sizeof(Command), sizeof(Command))
            if self.push(&cmd, eval_ns) == 1:
                kept += 1
        return kept

    def drain(self, Py_ssize_t max_records=DRAIN_MAX) -> tuple[bytes, bytes]:
        """Take the oldest records: (records, 128 bytes each; engine call ns, int64 each), same length."""
        cdef Py_ssize_t k, count = min(max_records, <Py_ssize_t> len(self))
        cdef bytes records, evals
        cdef char* to_records
        cdef char* to_evals
        cdef Slot* slot
        count = max(count, 0)
        records = PyBytes_FromStringAndSize(NULL, count * sizeof(Command))
        evals = PyBytes_FromStringAndSize(NULL, count * sizeof(int64_t))
        to_records = PyBytes_AS_STRING(records)
        to_evals = PyBytes_AS_STRING(evals)
        for k in range(count):
            slot = self._oldest()
            memcpy(to_records + k * sizeof(Command), &slot.cmd, sizeof(Command))
            memcpy(to_evals + k * sizeof(int64_t), &slot.eval_ns, sizeof(int64_t))
        self.drained += count
        return records, evals

    def __len__(self) -> int:
        return lane_len(&self.keep) + lane_len(&self.loose)

    @property
    def pushed(self) -> int:
        """Telemetry records offered so far."""
        return self.serial

    @property
    def dropped(self) -> int:
        """Loose records overwritten before they were drained."""
        cdef int64_t total = 0
        cdef int k
        for k in range(KIND_SLOTS):
            total += self.dropped_by_kind[k]
        return total

    def dropped_kinds(self) -> dict[int, int]:
        """Overwritten records by CommandKind; kinds without losses are left out."""
        return {k: self.dropped_by_kind[k] for k in range(KIND_SLOTS) if self.dropped_by_kind[k]}

    @property
    def overflowed(self) -> bool:
        """A record that must never be dropped was lost: the owner halts new orders."""
        return self.lost > 0
