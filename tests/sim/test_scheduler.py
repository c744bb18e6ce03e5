"""Timers of the embedded venue run in order, once, at their own time."""

from polybot.sim.scheduler import COMPACT_AT, Scheduler


def test_callbacks_run_in_time_order_and_first_scheduled_first_at_the_same_instant():
    scheduler, log = Scheduler(100), []
    for due, name in ((300, "c"), (200, "a"), (200, "b")):
        scheduler.at(due, lambda name=name: log.append((scheduler.now_ns, name)))
    assert scheduler.next_ns() == 200
    scheduler.advance(250)
    assert (log, scheduler.now_ns) == ([(200, "a"), (200, "b")], 250)
    scheduler.advance(300)
    assert log[-1] == (300, "c")
    assert scheduler.next_ns() is None


def test_callback_scheduled_for_now_runs_in_the_same_advance_after_what_was_due():
    scheduler, log = Scheduler(), []
    scheduler.at(10, lambda: (log.append(1), scheduler.at(10, lambda: log.append(3))))
    scheduler.at(10, lambda: log.append(2))
    scheduler.advance(10)
    assert log == [1, 2, 3]


def test_past_time_runs_at_the_next_advance_without_turning_time_back():
    scheduler, log = Scheduler(100), []
    scheduler.at(5, lambda: log.append(scheduler.now_ns))
    scheduler.advance(100)
    assert log == [100]


def test_cancelled_timer_never_runs_and_cancelling_twice_or_late_is_harmless():
    scheduler, log = Scheduler(), []
    timer = scheduler.at(10, lambda: log.append(1))
    other = scheduler.at(20, lambda: log.append(2))
    timer.cancel()
    timer.cancel()
    assert not timer.active
    assert scheduler.next_ns() == 20
    scheduler.advance(30)
    other.cancel()
    assert log == [2]


def test_many_cancelled_timers_do_not_pile_up():
    scheduler = Scheduler()
    kept = scheduler.at(10**9, lambda: None)
    for due in range(10 * COMPACT_AT):
        scheduler.at(due + 1, lambda: None).cancel()
    assert len(scheduler) < 2 * COMPACT_AT + 10
    assert scheduler.next_ns() == kept.due_ns
