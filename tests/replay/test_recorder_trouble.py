"""The inputs log on a disk that is full, gone, read-only or hangs: orders leave as without it, and it is said once."""

import errno
import os
import shutil
import threading
import time
from types import SimpleNamespace

import pytest
from runs import START_NS, configure

from polybot._fast.event import EventBuffer, EventKind, OperatorCode
from polybot.assembly import build_engine
from polybot.replay import recorder as module
from polybot.replay.inputs import open_inputs
from polybot.replay.recorder import InputsRecorder
from polybot.replay.verify import verify
from polybot.runner import Runner
from polybot.tape import tail as tail_module
from polybot.tape import writer as writer_module
from polybot.tape.blocks import TailPacker
from polybot.tape.tail import Tail

NS = 1_000_000_000
DAY_NS = 86_400 * NS
THREAD = "tape-packer"
MANY = 50_000  # one a second: more than FEW_TAILS take, less than a day
FEW_TAILS = 4
ONE_TAIL = 12_000
LIMIT_S = 60.0  # nothing waits so long unless it is stuck
HANG_S = 600.0  # longer than the loop takes on any machine


class Hand:
    """A clock that is set by hand."""

    def __init__(self):
        self.ns = START_NS // DAY_NS * DAY_NS

    def now_ns(self):
        return self.ns


class Loop:
    """The trading loop with its log; every batch is answered (by a halt or its lifting, which is told on)."""

    def __init__(self, folder, *, threaded=True, **changes):
        changes = {"replay__keep_free_mb": 0, "replay__sync_ms": 50, **changes}
        self.config = configure(telemetry__out_dir=str(folder), **changes)
        self.clock = Hand()
        self.log = InputsRecorder(self.config, self.clock, name="log", threaded=threaded)
        self.told = []
        self.events = EventBuffer()
        self.runner = Runner(
            build_engine(self.config),
            clock=SimpleNamespace(now_ns=self.clock.now_ns, mono_ns=lambda: 0, real_s=float),
            inbox=SimpleNamespace(commands=lambda commands, ns=0: self.told.append(commands.to_bytes())),
            gateway=lambda commands: None,
            on_feed_command=lambda kind, market: None,
            inputs=self.log,
        )

    def give(self, count):
        for _ in range(count):
            self.clock.ns += NS
            self.events.reset()
            self.events.add(EventKind.EV_TIMER, recv_ns=self.clock.ns)
            self.runner.feed(self.events)

    def warnings(self):
        return [text for level, text in self.log.news() if level == "WARNING"]


class Hang:
    """Calls of the packer's thread that do not come back until they are let go."""

    def __init__(self):
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def around(self, call):
        def hanging(*args, **named):
            if threading.current_thread().name == THREAD:
                self.reached.set()
                assert self.let_go.wait(HANG_S)
            return call(*args, **named)

        return hanging


def patched_os(**calls):
    """The module os with some calls replaced, for one module alone."""
    return SimpleNamespace(**{**vars(os), **calls})


@pytest.fixture
def hang():
    made = Hang()
    yield made
    made.let_go.set()


@pytest.mark.parametrize(
    ("where", "call", "first"),
    [
        (tail_module, "posix_fallocate", 10),  # the spare tails
        (tail_module, "fdatasync", 10),  # something to sync
        (writer_module, "pwrite", ONE_TAIL),  # something to pack
        (writer_module, "fdatasync", ONE_TAIL),
    ],
)
def test_a_disk_that_hangs_delays_no_batch_is_said_once_and_leaves_what_the_tails_hold(
    tmp_path, monkeypatch, hang, where, call, first
):
    monkeypatch.setattr(where, "os", patched_os(**{call: hang.around(getattr(os, call))}))
    loop = Loop(tmp_path, replay__tails_count=FEW_TAILS)
    loop.give(first)
    assert hang.reached.wait(LIMIT_S)
    loop.give(MANY)
    assert not hang.let_go.is_set()  # it hangs still: every batch went through all the same
    assert loop.log.dropped > 0
    (text,) = loop.warnings()
    assert "entries are dropped (the disk is slow)" in text
    loop.log.close()
    loop.log.wait(0.01)
    assert loop.log._packer.is_alive  # the stop did not wait for it either
    verdict = verify(open_inputs(loop.log.path))
    assert verdict.difference == ""
    assert verdict.steps > 5_000
    hang.let_go.set()
    loop.log.wait(LIMIT_S)
    assert not loop.log._packer._thread.is_alive()
    verdict = verify(open_inputs(loop.log.path))
    assert verdict.difference == ""
    count, _, words = verdict.ending.partition(" ")  # of the first gap; with the mark of the end, when that had no room
    assert 0 < int(count) <= loop.log.dropped + 1
    assert words.startswith("entries were dropped: ")


def test_a_thread_that_broke_stops_nothing_and_is_said_once(tmp_path, monkeypatch):
    def broken(*given, **named):
        raise ValueError("no such level")

    monkeypatch.setattr(TailPacker, "block", broken)
    monkeypatch.setattr(threading, "excepthook", lambda given: None)
    loop = Loop(tmp_path, replay__tails_count=FEW_TAILS)
    loop.give(MANY)
    assert loop.log.dropped > 0
    assert len(loop.warnings()) == 1
    loop.log.close()
    loop.log.wait(LIMIT_S)
    assert verify(open_inputs(loop.log.path)).difference == ""


@pytest.mark.parametrize("threaded", [True, False])
def test_a_log_removed_while_it_is_written_stops_nothing_and_is_said_once(tmp_path, threaded):
    loop = Loop(tmp_path, threaded=threaded)
    loop.give(1_000)
    while (tmp_path / module.FOLDER).exists():  # the thread may make a file in it meanwhile
        shutil.rmtree(tmp_path / module.FOLDER, ignore_errors=True)
    loop.give(MANY)
    texts = loop.warnings()
    loop.log.close()
    loop.log.wait(LIMIT_S)
    assert len(texts) == 1
    assert "No such file or directory" in texts[0] or "the disk is slow" in texts[0]


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_part_that_cannot_be_begun_is_said_once_and_leaks_neither_files_nor_folders(tmp_path, monkeypatch, number):
    loop = Loop(tmp_path, threaded=False)
    loop.give(1_000)
    make = Tail.__init__

    def refused(self, folder, *given):
        if folder.name != "part-0001":
            raise OSError(number, os.strerror(number))
        make(self, folder, *given)

    monkeypatch.setattr(Tail, "__init__", refused)
    loop.clock.ns += DAY_NS  # a new day wants a new part
    loop.give(10)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        loop.log._packer.wake()
    assert len(os.listdir("/proc/self/fd")) == before
    assert [path.name for path in loop.log.path.iterdir()] == ["part-0001"]
    (text,) = loop.warnings()
    assert os.strerror(number) in text
    monkeypatch.setattr(Tail, "__init__", make)
    monkeypatch.setattr(module, "AGAIN_NS", 0)
    loop.log._again_ns = 0
    loop.give(10)
    loop.log._packer.wake()
    loop.give(10)
    loop.log.close()
    loop.log.wait()
    assert [path.name for path in sorted(loop.log.path.iterdir())] == ["part-0001", "part-0002"]
    verdict = verify(open_inputs(loop.log.path))
    assert (verdict.steps, verdict.is_identical, verdict.is_ended) == (1_030, True, True)


def test_a_first_part_that_cannot_be_begun_leaves_no_file_open(tmp_path, monkeypatch):
    def full(self, *given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Tail, "__init__", full)
    before = len(os.listdir("/proc/self/fd"))
    loop = Loop(tmp_path)
    loop.give(10)
    assert len(os.listdir("/proc/self/fd")) == before
    (text,) = loop.warnings()
    assert "cannot be replayed: No space left on device" in text


def test_what_the_gateway_gets_left_before_the_log_was_touched(tmp_path):
    order = []
    loop = Loop(tmp_path, threaded=False)
    runner = Runner(
        build_engine(loop.config),
        clock=SimpleNamespace(now_ns=loop.clock.now_ns, mono_ns=lambda: 0, real_s=float),
        inbox=SimpleNamespace(commands=lambda commands, ns=0: order.append("telemetry")),
        gateway=lambda commands: order.append("gateway"),
        on_feed_command=lambda kind, market: None,
        inputs=SimpleNamespace(step=lambda events, commands, aux=0: order.append("log"), raised=None),
    )
    events = EventBuffer()
    events.add(EventKind.EV_OPERATOR, recv_ns=START_NS, i=OperatorCode.OP_FLATTEN)  # cancels everything
    runner.feed(events)
    assert order == ["gateway", "telemetry", "log"]


def test_spare_tails_are_there_before_the_first_burst_not_a_sync_later(tmp_path):
    loop = Loop(tmp_path, replay__sync_ms=60_000)
    deadline = time.monotonic() + LIMIT_S / 2
    try:
        while not loop.log._tape._spares and time.monotonic() < deadline:
            os.sched_yield()
        assert loop.log._tape._spares
    finally:
        loop.log.close()
        loop.log.wait(LIMIT_S)
