"""Timers of the embedded venue, and a text on its way through virtual time."""

from collections import deque

from polybot._fast.timers import Line, LoopQueue, Scheduler


def test_timer_made_and_run_among_two_hundred(budget):
    scheduler = Scheduler()
    for k in range(200):
        scheduler.at(10**15 + k, lambda: None)

    def at_and_advance() -> None:
        scheduler.at(scheduler.now_ns + 5, _nothing)
        scheduler.advance(scheduler.now_ns + 10)

    budget(at_and_advance, name="timers: made + run", median_ns=1_500)


def test_text_over_a_line(budget):
    queue = LoopQueue()
    line, ready = Line(queue, 0.002, lambda texts: queue.stop()), deque()

    def send_and_deliver() -> None:
        line.put("text")
        queue.run(ready)

    budget(send_and_deliver, name="timers: text over a line", median_ns=1_500)


def _nothing() -> None:
    pass
