"""Timers, loop plans, lines and pumps against lists that are sorted anew at every step."""

import random
from collections import deque

import pytest

from polybot._fast.timers import COMPACT_AT, Line, LoopQueue, Pump, Scheduler

EPOCH_NS = 1_795_337_100_000_000_000


class SlowScheduler:
    """A list of (due, order, callback), sorted before every look."""

    def __init__(self):
        self.now_ns, self.made, self.waiting = 0, 0, []

    def at(self, due_ns, callback):
        self.made += 1
        entry = (max(due_ns, self.now_ns), self.made, callback)
        self.waiting.append(entry)
        return entry

    def cancel(self, entry):
        if entry in self.waiting:
            self.waiting.remove(entry)

    def advance(self, to_ns):
        while self.waiting and min(self.waiting)[0] <= to_ns:
            entry = min(self.waiting)
            self.waiting.remove(entry)
            self.now_ns = max(self.now_ns, entry[0])
            entry[2]()
        self.now_ns = max(self.now_ns, to_ns)


def play(scheduler, cancel, seed):
    """A random life of timers that make and cancel timers; returns what ran, when."""
    rng, log, timers = random.Random(seed), [], []

    def run(name):
        log.append((scheduler.now_ns, name))
        for child in range(rng.choice((0, 0, 1, 2))):
            add(f"{name}.{child}")
        if timers and rng.random() < 0.4:
            cancel(timers[rng.randrange(len(timers))])

    def add(name):
        timers.append(scheduler.at(scheduler.now_ns + rng.randrange(-3, 12), lambda: run(name)))

    for step in range(300):
        add(str(step))
        if step % 3 == 0:
            scheduler.advance(scheduler.now_ns + rng.randrange(6))
    scheduler.advance(scheduler.now_ns + 40)
    return log


@pytest.mark.parametrize("seed", range(8))
def test_random_lives_of_timers_run_as_in_a_sorted_list(seed):
    slow = SlowScheduler()
    expected = play(slow, slow.cancel, seed)
    assert len(expected) > 200
    assert play(Scheduler(), lambda timer: timer.cancel(), seed) == expected


def test_dropping_cancelled_timers_keeps_the_order_of_equal_times():
    scheduler, log = Scheduler(), []
    for name in range(50):
        scheduler.at(1_000, lambda name=name: log.append(name))
        for _ in range(COMPACT_AT // 10):
            scheduler.at(2_000, lambda: log.append("cancelled")).cancel()
    assert len(scheduler) < 50 + 2 * COMPACT_AT
    scheduler.advance(3_000)
    assert log == list(range(50))
    assert (scheduler.next_ns(), scheduler.now_ns) == (None, 3_000)


def test_a_loop_queue_runs_plans_in_order_and_stops_when_nothing_is_left():
    queue, log = LoopQueue(), []
    for when, name in ((0.3, "c"), (0.1, "a"), (0.1, "b"), (0.1 + 4e-10, "with a and b")):
        queue.plan(when, lambda name=name: log.append((queue.now, name)))
    cancelled = queue.plan(0.2, lambda: log.append("cancelled"))
    cancelled.cancel()
    assert queue.run(deque()) is False
    assert log == [(0.1, "a"), (0.1, "b"), (0.1, "with a and b"), (0.3, "c")]
    assert len(queue) == 0


def test_what_a_plan_raises_passes_through_and_the_next_run_goes_on_behind_it():
    queue, log = LoopQueue(), []
    queue.plan(0.1, lambda: 1 // 0)
    queue.plan(0.1, lambda: log.append("at the same time"))
    queue.plan(0.2, lambda: log.append("later"))
    queue.plan(0.3, queue.stop)
    queue.plan(0.4, lambda: log.append("after the stop"))
    ready = deque()
    with pytest.raises(ZeroDivisionError):
        queue.run(ready)
    assert log == []
    assert queue.run(ready) is True
    assert log == ["at the same time", "later"]


def test_a_jump_is_refused_when_something_is_due_before_or_then():
    queue = LoopQueue()
    queue.plan(1.0, lambda: None)
    assert not queue.jump(1.0)
    assert queue.now == 0.0
    assert queue.jump(0.999)
    assert queue.now == 0.999


def test_a_line_delivers_in_order_after_its_latency_what_was_sent_together_together():
    queue, arrived = LoopQueue(), []
    line = Line(queue, 0.25, lambda texts: arrived.append((queue.now, texts)))

    def send(*texts):
        for text in texts:
            line.put(text)

    queue.plan(0.5, lambda: send("a", "b"))
    queue.plan(0.625, lambda: send("c"))
    queue.run(deque())
    assert arrived == [(0.75, ["a", "b"]), (0.875, ["c"])]


def test_a_line_without_latency_does_not_add_to_what_has_arrived():
    queue, arrived = LoopQueue(), []

    def arrive(texts):
        arrived.append(list(texts))
        if len(arrived) < 3:
            line.put("again")

    line = Line(queue, 0.0, arrive)
    line.put("first")
    queue.run(deque())
    assert arrived == [["first"], ["again"], ["again"]]


@pytest.mark.parametrize("seed", range(4))
def test_a_pump_runs_the_world_at_its_own_times_between_the_loops_plans(seed):
    rng, log = random.Random(seed), []
    queue, world = LoopQueue(), Scheduler(EPOCH_NS)
    pump = Pump(queue, world, deque(), epoch_ns=EPOCH_NS)
    times = sorted(rng.randrange(1_000, 10**9) for _ in range(200))
    for due in times:
        world.at(EPOCH_NS + due, lambda: log.append(("world", world.now_ns - EPOCH_NS, queue.now)))
    world.at(EPOCH_NS + 2 * 10**9, lambda: None)
    plans = sorted(rng.random() for _ in range(200))
    for when in plans:
        queue.plan(when, lambda: log.append(("loop", queue.now)))
    queue.plan(1.5, lambda: (pump.stop(), queue.stop()))
    pump.start()
    assert queue.run(deque()) is True
    assert [entry[1] for entry in log if entry[0] == "world"] == times
    assert [entry[1] for entry in log if entry[0] == "loop"] == plans
    assert all(abs(entry[2] * 1e9 - entry[1]) <= 2_000 for entry in log if entry[0] == "world")
    assert [entry[-1] for entry in log] == sorted(entry[-1] for entry in log)


def test_a_poked_pump_runs_what_came_to_be_due_earlier():
    queue, world, log = LoopQueue(), Scheduler(EPOCH_NS), []
    pump = Pump(queue, world, deque(), epoch_ns=EPOCH_NS)
    world.at(EPOCH_NS + 10**9, lambda: log.append("late"))
    pump.start()
    queue.plan(0.1, lambda: (world.at(EPOCH_NS + 2 * 10**8, lambda: log.append(queue.now)), pump.poke()))
    queue.plan(0.5, lambda: (pump.stop(), queue.stop()))
    queue.run(deque())
    assert log == [0.2]


def test_a_world_without_a_next_event_is_an_error():
    queue = LoopQueue()
    with pytest.raises(RuntimeError, match="world has stopped"):
        Pump(queue, Scheduler(EPOCH_NS), deque(), epoch_ns=EPOCH_NS).start()
