"""The log while it is written: what a full disk, a crash, damage, a new day and large batches leave behind."""

import dataclasses
import errno
import os
import shutil
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from canary import Canary, find_in_files
from runs import START_NS, configure

from polybot._fast.event import EVENT_DTYPE, CommandBuffer, EventBuffer, EventKind
from polybot.assembly import build_engine
from polybot.clock import wall_clock
from polybot.config import StrategyConfig
from polybot.errors import TapeError
from polybot.replay import recorder as module
from polybot.replay.inputs import find_inputs, open_inputs
from polybot.replay.recorder import FOLDER, InputsRecorder, log_name
from polybot.replay.verify import Player, verify
from polybot.runner import SAMPLE_EVERY, Runner
from polybot.tape.blocks import TailPacker, build_block
from polybot.tape.records import read_tail
from polybot.tape.tail import Tail

NS = 1_000_000_000


class Hand:
    """A clock that is set by hand."""

    def __init__(self):
        self.ns = START_NS

    def now_ns(self):
        return self.ns


class Desk:
    """An engine whose inputs are logged as the runner does it."""

    def __init__(self, folder, **changes):
        self.clock = Hand()
        self.config = configure(telemetry__out_dir=str(folder), **changes)
        self.engine = build_engine(self.config)
        self.log = InputsRecorder(self.config, self.clock, name="log", threaded=False)
        self.events = EventBuffer()

    def give(self, count=1, *, step_ns=NS):
        for _ in range(count):
            self.clock.ns += step_ns
            self.events.reset()
            self.events.add(EventKind.EV_TIMER, recv_ns=self.clock.ns)
            self.log.step(self.events, self.engine.process(self.events))

    def end(self):
        self.log.close()
        self.log.wait()
        return open_inputs(self.log.path)


def test_a_log_closed_in_order_says_so_and_is_found_below_its_folder(tmp_path):
    desk = Desk(tmp_path)
    desk.give(50)
    log = desk.end()
    verdict = verify(log)
    assert (verdict.steps, verdict.is_identical, verdict.is_ended) == (50, True, True)
    assert find_inputs(tmp_path) == find_inputs(log.folder) == [tmp_path / FOLDER / "log"]
    assert log.config["interval"]["name"] == "5m"


def test_what_looks_like_a_secret_in_a_setting_is_not_in_the_log(tmp_path):
    key = "ab" * 32
    own = StrategyConfig(target="polybot.strategies.example.ExampleStrategy", params={"note": f"0x{key}"})
    config = configure(telemetry__out_dir=str(tmp_path))
    config = dataclasses.replace(config, strategy={**config.strategy, "example": own})
    log = InputsRecorder(config, Hand(), name="log", threaded=False)
    log.close()
    log.wait()
    assert open_inputs(log.path).config["strategy"]["example"]["note"] == "(hidden)"
    assert find_in_files(tmp_path, [Canary("key", f"0x{key}", bytes.fromhex(key))]) == []


def test_a_second_log_of_the_same_second_gets_a_name_of_its_own(tmp_path):
    first, second = Desk(tmp_path), Desk(tmp_path)
    assert [one.log.path.name for one in (first, second)] == ["log", "log.2"]
    assert log_name(START_NS, "abc").startswith("20261122-")


def test_a_batch_larger_than_an_entry_comes_back_whole_with_its_answer(tmp_path):
    desk = Desk(tmp_path)
    desk.give(3)
    large = EventBuffer()
    for number in range(20_000):  # 1.3 MB: more than a whole tail
        large.add(EventKind.EV_TIMER, recv_ns=desk.clock.ns + number)
    desk.log.step(large, desk.engine.process(large))
    desk.give(3)
    log = desk.end()
    assert [len(turn.events) // EVENT_DTYPE.itemsize for turn in log.turns()] == [1, 1, 1, 20_000, 1, 1, 1]
    assert verify(log).is_identical


def test_an_engine_that_raised_must_raise_again(tmp_path):
    desk = Desk(tmp_path)
    desk.give(2)
    desk.events.reset()
    desk.events.add(EventKind.EV_TIMER, recv_ns=desk.clock.ns)
    desk.log.raised(desk.events)
    verdict = verify(desk.end())
    assert "step 3 at 2026-11-22" in verdict.difference
    assert "the engine raised then and does not now" in verdict.difference


def test_an_engine_that_raises_as_it_did_is_identical(tmp_path, monkeypatch):
    desk = Desk(tmp_path)
    desk.give(2)
    desk.events.reset()
    desk.events.add(EventKind.EV_TIMER, recv_ns=desk.clock.ns)
    desk.log.raised(desk.events)
    log = desk.end()
    player = Player(log)

    def broken(events):
        raise RuntimeError("as it was")

    monkeypatch.setattr(player, "engine", SimpleNamespace(process=broken))
    turns = list(log.turns())
    assert player.play(turns[2]) == b""
    with pytest.raises(TapeError, match="step 1 at .*: the engine raised RuntimeError: as it was"):
        player.play(turns[0])


def test_what_broke_an_outlet_is_logged_with_the_halt_that_followed(tmp_path):
    """The runner's own halt is in the log: the engine is as it was then, and no more."""
    desk = Desk(tmp_path)

    def broken(commands, eval_ns=0):
        raise RuntimeError("an outlet")

    runner = Runner(
        desk.engine,
        clock=SimpleNamespace(now_ns=desk.clock.now_ns, mono_ns=lambda: 0, real_s=float),
        inbox=SimpleNamespace(commands=broken),
        gateway=lambda commands: None,
        on_feed_command=lambda kind, market: None,
        inputs=desk.log,
    )
    for number in range(SAMPLE_EVERY - 1):
        desk.events.reset()
        desk.events.add(EventKind.EV_TIMER, recv_ns=START_NS + number)
        runner.feed(desk.events)
    with pytest.raises(RuntimeError, match="an outlet"):
        runner.feed(desk.events)
    assert desk.engine.risk.halted_manual
    log = desk.end()
    verdict = verify(log)
    assert (verdict.steps, verdict.is_identical) == (SAMPLE_EVERY + 1, True)
    player = Player(log)
    while player.step() is not None:
        assert player.engine.risk.halted_manual == (player.turn.number == SAMPLE_EVERY + 1)


def test_a_new_day_and_a_full_part_go_on_in_a_new_part_and_replay_as_one(tmp_path):
    desk = Desk(tmp_path, replay__part_mb=1)
    desk.give(100)
    desk.clock.ns += 86_400 * NS
    desk.give(40_000)  # more than a part holds
    log = desk.end()
    assert len(log.parts) >= 3
    verdict = verify(log)
    assert (verdict.steps, verdict.is_identical, verdict.is_ended) == (40_100, True, True)


def test_a_log_killed_between_two_parts_is_not_taken_for_one_that_ended_in_order(tmp_path, monkeypatch):
    """A daemon killed at midnight had closed the day's part and not yet written the first entry of the next."""

    class Killed(BaseException):
        pass

    def die(self, tape):
        raise Killed

    desk = Desk(tmp_path)
    desk.give(100)
    desk.clock.ns += 86_400 * NS
    desk.give(1)  # of the new day: the thread makes the next part when it sees it
    monkeypatch.setattr(InputsRecorder, "_go_on", die)
    desk.log._on_tended()
    with pytest.raises(Killed):
        desk.give(1)
    desk.log.abandon()
    verdict = verify(open_inputs(desk.log.path))
    assert (verdict.steps, verdict.is_identical, verdict.is_ended) == (101, True, False)
    assert "without closing the log" in verdict.text()


def test_a_part_made_while_a_batch_is_being_noted_is_gone_over_to_with_the_next_batch(tmp_path):
    """The packer's thread may make the part between any two lines of the loop's: the short way must not go past it."""

    class Raced(InputsRecorder):
        """The thread acts right after the loop has seen that no part waits."""

        is_due, waits = False, None

        @property
        def _next(self):
            seen = self.waits
            if self.is_due:
                self.is_due = False
                self._open_next()
            return seen

        @_next.setter
        def _next(self, made):
            self.waits = made

    desk = Desk(tmp_path)
    desk.log.close()
    desk.log = Raced(desk.config, desk.clock, name="raced", threaded=False)
    desk.log.tap.follow(None)
    desk.log.is_due = True
    desk.give(1)
    assert desk.log.waits is not None
    desk.events.reset()
    desk.events.add(EventKind.EV_TIMER, recv_ns=desk.clock.ns)
    assert not desk.log.tap.try_note(desk.events, CommandBuffer(1))
    desk.give(1)
    log = desk.end()
    assert [path.name for path in log.parts] == ["part-0001", "part-0002"]
    assert verify(log).is_identical


def test_without_its_first_part_nothing_can_be_replayed_and_that_is_said(tmp_path):
    desk = Desk(tmp_path, replay__part_mb=1)
    desk.give(30_000)
    log = desk.end()
    for path in log.parts[0].iterdir():
        path.unlink()
    log.parts[0].rmdir()
    verdict = verify(open_inputs(log.folder))
    assert not verdict.is_identical
    assert "its beginning is not there any more (part-0002" in verdict.text()
    assert len(np.concatenate(list(open_inputs(log.folder).events()))) > 1_000  # a backtest can still have it


def test_a_disk_without_space_stops_nothing_and_the_replay_says_where_exactness_ends(tmp_path, monkeypatch):
    desk = Desk(tmp_path)
    desk.give(100)
    make = Tail.__init__

    def full(self, folder, number, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Tail, "__init__", full)
    desk.give(52_000)  # more than active and spare tails take
    assert desk.log.dropped > 0
    assert [text for level, text in desk.log.news() if level == "WARNING" and "No space left" in text]
    assert desk.log.news() == []  # said once
    monkeypatch.setattr(Tail, "__init__", make)
    desk.give(12_000)
    verdict = verify(desk.end())
    assert not verdict.is_identical
    assert verdict.difference == ""
    assert f"{desk.log.dropped} entries were dropped" in verdict.ending
    assert 30_000 < verdict.steps < 52_000


def test_a_folder_that_cannot_be_made_leaves_a_recorder_that_takes_everything_and_says_why(tmp_path):
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    desk = Desk(tmp_path)
    desk.give(10)
    desk.log.call("halt", START_NS, {})
    assert desk.log.path is None
    ((level, text),) = desk.log.news()
    assert level == "WARNING"
    assert "cannot be replayed" in text
    desk.log.close()
    desk.log.wait()


@pytest.mark.parametrize("cut", [1, 25, 90, 700])
def test_a_log_cut_anywhere_at_its_end_replays_identical_up_to_the_cut(tmp_path, cut):
    desk = Desk(tmp_path)
    desk.give(200)
    tape = desk.log._tape
    desk.log.abandon()
    (tail,) = [path for path in (desk.log.path / "part-0001").glob("tail-*.open") if path.stem.endswith("1")]
    raw = bytearray(tail.read_bytes())
    end = len(bytes(raw).rstrip(b"\0"))
    raw[end - cut : end] = bytes(cut)
    tail.write_bytes(raw)
    assert tape.entries > 200
    verdict = verify(open_inputs(desk.log.path))
    assert (verdict.difference, verdict.ending, verdict.is_ended) == ("", "", False)
    assert 190 <= verdict.steps < 201
    assert "without closing the log" in verdict.text()
    if cut > 1:
        return
    assert f"part-0001/{tail.name}: damaged at offset" in verdict.notes[0]


def test_damage_in_the_middle_names_file_and_offset_and_ends_exactness_there(tmp_path):
    desk = Desk(tmp_path)
    desk.give(30_000)
    log = desk.end()
    frames = log.parts[0] / "frames.zst"
    raw = bytearray(frames.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    frames.write_bytes(raw)
    verdict = verify(open_inputs(log.folder))
    assert not verdict.is_identical
    assert verdict.difference == ""
    assert 0 < verdict.steps < 30_000
    assert "entries are missing: part-0001/frames.zst: damaged at offset" in verdict.ending


def test_a_damaged_manifest_is_read_from_the_entries(tmp_path):
    desk = Desk(tmp_path)
    desk.give(20)
    log = desk.end()
    (log.parts[0] / "manifest.json").write_text("{")
    again = open_inputs(log.folder)
    assert again.config == log.config
    assert verify(again).is_identical


def old_log(root: Path, name: str, *, age_s: float, mb: int = 0) -> Path:
    """A log somebody wrote to so long ago."""
    part = root / FOLDER / name / "part-0001"
    part.mkdir(parents=True)
    (part / "frames.zst").write_bytes(b"x" * (mb << 20))
    at_ns = wall_clock().now_ns() - round(age_s * NS)
    for path in (part / "frames.zst", part, part.parent):
        os.utime(path, ns=(at_ns, at_ns))
    return part.parent


def test_old_logs_are_removed_with_a_notice_and_the_living_are_left(tmp_path):
    old = old_log(tmp_path, "20260101-000000-a", age_s=8 * 86_400)
    recent = old_log(tmp_path, "20260102-000000-b", age_s=6 * 86_400)
    desk = Desk(tmp_path, replay__keep_days=7.0)
    desk.log._swept_part = 0
    desk.log._on_tended()
    assert (old.exists(), recent.exists(), desk.log.path.exists()) == (False, True, True)
    assert desk.log.news() == [
        ("INFO", "inputs log 20260101-000000-a removed: older than replay.keep_days=7")
    ]


def test_the_oldest_logs_go_first_when_all_together_are_too_large_and_none_that_may_live(tmp_path):
    first = old_log(tmp_path, "20260101-000000-a", age_s=90_000, mb=40)
    second = old_log(tmp_path, "20260102-000000-b", age_s=80_000, mb=40)
    living = old_log(tmp_path, "20250101-000000-c", age_s=60, mb=40)
    desk = Desk(tmp_path, replay__keep_mb=100)
    desk.log._swept_part = 0
    desk.log._on_tended()
    assert (first.exists(), second.exists(), living.exists()) == (False, True, True)
    assert "above replay.keep_mb=100" in desk.log.news()[0][1]


def test_with_a_thread_everything_is_on_disk_when_the_wait_ends(tmp_path):
    config = configure(telemetry__out_dir=str(tmp_path), replay__keep_free_mb=0)
    clock, engine, events = Hand(), build_engine(config), EventBuffer()
    log = InputsRecorder(config, clock, name="log")
    for _ in range(5_000):
        clock.ns += NS
        events.reset()
        events.add(EventKind.EV_TIMER, recv_ns=clock.ns)
        log.step(events, engine.process(events))
    log.close()
    log.wait(60.0)
    assert list((log.path / "part-0001").glob("tail-*")) == []
    verdict = verify(open_inputs(log.path))
    assert (verdict.steps, verdict.is_identical, verdict.is_ended) == (5_000, True, True)


def test_a_tail_taken_apart_in_one_go_makes_the_same_block_as_entry_by_entry(tmp_path):
    rng = Random(5)
    tail = Tail(tmp_path, 3, 1 << 16)
    packer = TailPacker(3)
    assert packer.block(3, tail.data()) == b""
    at_ns = START_NS
    while tail.add(
        rng.randrange(1, 1 << 40),
        at_ns,
        feed=rng.randrange(7),
        kind=rng.randrange(1, 12),
        aux=rng.randrange(32),
        payload=rng.randbytes(rng.choice((0, 1, 64, 700))),
    ):
        at_ns += rng.randrange(-5, NS)
    damages = []
    entries = read_tail(tail.data(), file="tail", damages=damages, number=3)
    assert (len(entries), damages) == (tail.entries, [])
    block = build_block(3, entries, level=3)
    assert packer.block(3, tail.data()) == block
    with tail.written() as data:
        assert packer.block(3, data) == block  # the room of the one before is no matter
    tail.close()


def play_runner(folder: Path, *, is_short: bool) -> tuple[dict[Path, bytes], int]:
    """The files that one run of the runner leaves, and how many batches went the long way; the folder is gone then."""
    desk = Desk(folder, replay__part_mb=1)
    counted = desk.log = desk.log if is_short else Stepped(desk.log)
    runner = Runner(
        desk.engine,
        clock=SimpleNamespace(now_ns=desk.clock.now_ns, mono_ns=lambda: 0, real_s=float),
        inbox=SimpleNamespace(commands=lambda commands, ns=0: None),
        gateway=print,
        on_feed_command=print,
        inputs=desk.log,
    )
    for number in range(30_000):
        desk.clock.ns += NS if number != 20_000 else 86_400 * NS
        desk.events.reset()
        for _ in range(6_000 if number == 9_000 else 1):
            desk.events.add(EventKind.EV_TIMER, recv_ns=desk.clock.ns)
        runner.feed(desk.events)
    root = desk.end().folder
    files = {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    shutil.rmtree(folder)
    return files, 0 if is_short else counted.steps


def test_the_short_way_in_c_leaves_the_same_files_byte_for_byte_as_the_long_way(tmp_path):
    """Small batches, a large one, answers, a new day, full tails and full parts: both go over at the same entry."""
    short, _ = play_runner(tmp_path / "x", is_short=True)
    long, steps = play_runner(tmp_path / "x", is_short=False)
    assert steps == 30_000  # one after the other
    assert len({path.parts[0] for path in short}) >= 3  # parts
    assert short == long


class Stepped:
    """A recorder that is told everything the long way."""

    def __init__(self, log):
        self._log, self.steps = log, 0

    def step(self, events, commands, aux=0):
        self.steps += 1
        self._log.step(events, commands, aux)

    def __getattr__(self, name):
        if name == "tap":
            raise AttributeError(name)
        return getattr(self._log, name)


def test_an_empty_batch_is_no_step_and_a_closed_log_takes_nothing(tmp_path):
    desk = Desk(tmp_path)
    desk.log.step(EventBuffer(), CommandBuffer())
    desk.give(1)
    log = desk.end()
    desk.give(1)
    assert len(list(log.turns())) == 1
    assert module.FOLDER == "inputs"
