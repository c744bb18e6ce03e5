"""Timers of the embedded venue (Scheduler) and of the virtual-time loop (LoopQueue, Line, Pump), on one heap.

Owns order in time: what is due earlier runs earlier, what is due at the same time in the order it was
pushed, so the same calls give the same run.  Nothing here sleeps or reads a clock: a Scheduler is told
the time in ns of venue time, a LoopQueue is the time of its loop, in seconds.  A Line carries texts one
way with a fixed latency; a Pump lets a Scheduler's world pass on a loop.  Called by sim.scheduler, sim.virtual_loop and sim.memory.
"""
from cpython.object cimport PyObject
from libc.math cimport llrint
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

cdef extern from "Python.h":
    PyObject* list_item "PyList_GET_ITEM"(list, Py_ssize_t) noexcept
    void set_list_item "PyList_SET_ITEM"(list, Py_ssize_t, PyObject*) noexcept

COMPACT_AT = 1_024           # cancelled timers kept by a Scheduler before it drops them
RESOLUTION_S = 1e-9          # plans of a loop due within this of now run together
cdef Py_ssize_t C_COMPACT_AT = COMPACT_AT
cdef double C_RESOLUTION_S = RESOLUTION_S
cdef int64_t C_EARLY_NS = 2_000  # what a loop in float seconds may be early, ns


cdef class TimerHeap:
    """Binary min-heap by (at, order)."""

    def __cinit__(self):
        self.what = []

    def __dealloc__(self):
        free(self.due)

    cdef int push(self, int64_t at, object what) except -1:
        cdef void* grown
        if self.n == self.capacity:
            grown = realloc(self.due, (self.capacity * 2 + 64) * sizeof(Due))
            if grown == NULL:
                raise MemoryError()
            self.due = <Due*> grown
            self.capacity = self.capacity * 2 + 64
        self.what.append(what)
        self.pushed += 1
        self.due[self.n].at = at
        self.due[self.n].order = self.pushed
        self.n += 1
        self._up(self.n - 1)
        return 0

    cdef object pop(self):
        """Take out the earliest; there must be one."""
        cdef object first = self.what[0]
        cdef object last = self.what.pop()
        self.n -= 1
        if self.n:
            self.what[0] = last
            self.due[0] = self.due[self.n]
            self._down(0)
        return first

    cdef void _set(self, Py_ssize_t at, Due due, void* what) noexcept:
        self.due[at] = due
        set_list_item(self.what, at, <PyObject*> what)  # pointers change places: no reference is made or lost

    cdef void _up(self, Py_ssize_t at) noexcept:
        cdef Due mine = self.due[at]
        cdef void* what = <void*> list_item(self.what, at)
        cdef Py_ssize_t parent
        while at > 0:
            parent = (at - 1) >> 1
            if not _before(mine, self.due[parent]):
                break
            self._set(at, self.due[parent], <void*> list_item(self.what, parent))
            at = parent
        self._set(at, mine, what)

    cdef void _down(self, Py_ssize_t at) noexcept:
        cdef Due mine = self.due[at]
        cdef void* what = <void*> list_item(self.what, at)
        cdef Py_ssize_t child = 2 * at + 1
        while child < self.n:
            if child + 1 < self.n and _before(self.due[child + 1], self.due[child]):
                child += 1
            if not _before(self.due[child], mine):
                break
            self._set(at, self.due[child], <void*> list_item(self.what, child))
            at = child
            child = 2 * at + 1
        self._set(at, mine, what)


cdef inline bint _before(Due a, Due b) noexcept:
    return a.at < b.at or (a.at == b.at and a.order < b.order)


cdef class Timer:
    """Handle of one scheduled callback."""

    @property
    def active(self) -> bool:
        """Still going to run."""
        return self.callback is not None

    def cancel(self) -> None:
        """Do not run it; harmless when it already ran or was cancelled."""
        if self.callback is not None:
            self.callback = None
            self.owner.cancelled += 1
            self.owner._compact()


cdef class Scheduler:
    """A deterministic timer queue in integer nanoseconds of venue time."""

    def __cinit__(self, int64_t now_ns = 0):
        self.now_ns = now_ns
        self.heap = TimerHeap()

    def __len__(self) -> int:
        """Timers in the queue, those cancelled but not yet dropped included."""
        return self.heap.n

    def at(self, int64_t due_ns, callback) -> Timer:
        """Run `callback` when venue time reaches due_ns; a past time runs at the next advance()."""
        cdef Timer timer = Timer.__new__(Timer)
        timer.due_ns = due_ns if due_ns > self.now_ns else self.now_ns
        timer.callback = callback
        timer.owner = self
        self.heap.push(timer.due_ns, timer)
        return timer

    def next_ns(self) -> int | None:
        """Time of the earliest pending callback, None when nothing is scheduled."""
        cdef int64_t due_ns = self._next_ns()
        return None if due_ns < 0 else due_ns

    cpdef int advance(self, int64_t to_ns) except -1:
        """Run everything due up to and including to_ns, now_ns being each callback's own time."""
        cdef TimerHeap heap = self.heap
        cdef Timer timer
        cdef object callback
        while heap.n and heap.due[0].at <= to_ns:
            timer = <Timer> heap.pop()
            callback = timer.callback
            if callback is None:
                self.cancelled -= 1
                continue
            timer.callback = None
            if timer.due_ns > self.now_ns:
                self.now_ns = timer.due_ns
            callback()
        if to_ns > self.now_ns:
            self.now_ns = to_ns
        return 0

    cdef int64_t _next_ns(self) except -2:
        """As next_ns(); -1 when nothing is scheduled."""
        cdef TimerHeap heap = self.heap
        while heap.n and (<Timer> heap.what[0]).callback is None:
            heap.pop()
            self.cancelled -= 1
        return heap.due[0].at if heap.n else -1

    cdef int _compact(self) except -1:
        """Drop cancelled timers when they are most of the queue."""
        cdef TimerHeap old = self.heap
        cdef TimerHeap heap
        cdef Py_ssize_t k
        if self.cancelled <= C_COMPACT_AT or self.cancelled * 2 <= old.n:
            return 0
        heap = TimerHeap()
        for _, k in sorted([(old.due[k].order, k) for k in range(old.n)]):  # equal times keep their order
            if (<Timer> old.what[k]).callback is not None:
                heap.push(old.due[k].at, old.what[k])
        heap.pushed = old.pushed
        old.due, heap.due = heap.due, old.due  # in place: advance() may be under way
        old.what, old.n, old.capacity = heap.what, heap.n, heap.capacity
        self.cancelled = 0
        return 0


cdef class Plan:
    """A planned call, or a parcel on a line."""

    def cancel(self) -> None:
        """Do not call; harmless when it already ran."""
        self.cancelled = True


cdef class LoopQueue:
    """What a virtual-time loop has planned, and its time in seconds, which starts at 0."""

    def __cinit__(self):
        self.heap = TimerHeap()

    def __len__(self) -> int:
        """Entries, cancelled ones included."""
        return self.heap.n

    def plan(self, double when, call) -> Plan:
        """Call at this time."""
        cdef Plan plan = Plan.__new__(Plan)
        plan.call = call
        self._push(when, plan)
        return plan

    def push(self, double when, handle) -> None:
        """Run an asyncio.Handle at this time."""
        self._push(when, handle)

    cpdef bint jump(self, double when):
        """Let time pass up to `when`; False, and nothing is done, when something is due before or then."""
        if self.heap.n and _seconds(self.heap.due[0].at) < when + C_RESOLUTION_S:
            return False
        self.now = when
        return True

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now

    def stop(self) -> None:
        """Let run() end after this turn."""
        self.stopping = True

    def run(self, ready) -> bool:
        """Turn until stop(), once at least; False when there is nothing left to do before that.

        What a planned call raises passes through; the next run() goes on behind it.
        """
        while True:
            if not ready and not self._jump():
                return False
            self._turn(ready)
            if self.stopping:
                self.stopping = False
                return True

    cdef bint _jump(self) except -1:
        """Go to what is due next; False when there is nothing."""
        cdef double when
        self._drop_cancelled()
        if not self.heap.n:
            return False
        when = _seconds(self.heap.due[0].at)
        if when > self.now:
            self.now = when
        return True

    cdef int _turn(self, ready) except -1:
        """Run what is ready or due now; what becomes ready meanwhile waits for the next turn."""
        cdef TimerHeap heap = self.heap
        cdef double due = self.now + C_RESOLUTION_S
        cdef object what
        while heap.n and _seconds(heap.due[0].at) < due:
            ready.append(heap.pop())
        for _ in range(len(ready)):
            what = ready.popleft()
            if type(what) is Plan:
                self._call(<Plan> what)
            elif not what._cancelled:
                what._run()
        return 0

    cdef int _push(self, double when, object what) except -1:
        cdef int64_t bits
        if when < 0.0:
            when = 0.0
        memcpy(&bits, &when, sizeof(bits))
        return self.heap.push(bits, what)

    cdef int _drop_cancelled(self) except -1:
        cdef object what
        while self.heap.n:
            what = self.heap.what[0]
            if not ((<Plan> what).cancelled if type(what) is Plan else what._cancelled):
                break
            self.heap.pop()
        return 0

    cdef int _call(self, Plan plan) except -1:
        if plan.cancelled:
            return 0
        if plan.line is None:
            plan.call()
            return 0
        if plan.parcel is plan.line.parcel:
            plan.line.parcel = None
        plan.line.arrive(plan.parcel)
        return 0


cdef inline double _seconds(int64_t bits) noexcept:
    cdef double when
    memcpy(&when, &bits, sizeof(when))
    return when


cdef class Line:
    """One direction of a connection: texts arrive in order, `latency_s` after they were sent."""

    def __cinit__(self, LoopQueue queue, double latency_s, arrive):
        """`arrive(texts)` gets what was sent at one instant together."""
        self.queue = queue
        self.latency_s = latency_s
        self.arrive = arrive
        self.sent_at = -1.0

    def put(self, str text) -> None:
        """Send."""
        cdef Plan plan
        cdef double now = self.queue.now
        if self.parcel is not None and now <= self.sent_at:
            self.parcel.append(text)
            return
        self.sent_at = now
        self.parcel = [text]
        plan = Plan.__new__(Plan)
        plan.line = self
        plan.parcel = self.parcel
        self.queue._push(now + self.latency_s, plan)


cdef class Pump:
    """Lets a Scheduler's world live on a loop: each thing due there runs at its own time here."""

    def __cinit__(self, LoopQueue queue, Scheduler world, ready, *, int64_t epoch_ns):
        """`ready`: what the loop runs before time may pass; epoch_ns: venue time at loop time 0."""
        self.queue = queue
        self.world = world
        self.ready = ready
        self.epoch_ns = epoch_ns

    def start(self) -> None:
        """Begin to let venue time pass."""
        self.active = True
        self.call = self._run
        self._plan(self._due_s())

    def stop(self) -> None:
        """Venue time stands still from now on."""
        self.active = False
        self.call = None
        if self.planned is not None:
            self.planned.cancelled = True
            self.planned = None

    def poke(self) -> None:
        """Something may be due earlier than planned."""
        cdef int64_t due_ns = self.due_ns
        if self.active and self.planned is not None:
            if self.world._next_ns() < due_ns:
                self.planned.cancelled = True
                self._plan(self._due_s())

    def _run(self) -> None:
        """Let what is due happen, and go on while nobody else has anything to do."""
        cdef int64_t now_ns
        cdef double when
        self.planned = None
        while self.active:
            # A timer of a float loop may fire a little before the nanosecond it was meant for.
            now_ns = self._now_ns()
            if 0 <= self.due_ns - now_ns <= C_EARLY_NS:
                now_ns = self.due_ns
            self.world.advance(now_ns if now_ns > self.world.now_ns else self.world.now_ns)
            when = self._due_s()
            if self.ready or not self.queue.jump(when):
                self._plan(when)
                return

    cdef int64_t _now_ns(self) noexcept:
        return self.epoch_ns + llrint(self.queue.now * 1e6) * 1000

    cdef double _due_s(self) except? -1.0:
        """Loop time of what is due next in the world."""
        self.due_ns = self.world._next_ns()
        if self.due_ns < 0:
            raise RuntimeError("the world has stopped")
        cdef double wait_s = <double> (self.due_ns - self._now_ns()) / 1e9
        return self.queue.now + (wait_s if wait_s > 0.0 else 0.0)

    cdef int _plan(self, double when) except -1:
        self.planned = Plan.__new__(Plan)
        self.planned.call = self.call
        self.queue._push(when, self.planned)
        return 0
