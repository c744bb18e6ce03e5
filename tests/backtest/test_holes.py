"""What a tape lost: the book is not known from there to its next snapshot, and nobody is filled from it meanwhile."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backtest.made import NS, START_S, Script, make_tape
from backtest.recorded import backtest_config

import polybot.tape
from polybot._fast.event import EventBuffer, EventFlag, EventKind, FeedId, FeedState, Side
from polybot.backtest.reel import Chunk, Reel
from polybot.backtest.result import Result
from polybot.backtest.run import run_backtest
from polybot.backtest.source import Source
from polybot.backtest.world import TapeWorld
from polybot.config import Config
from polybot.market.spec import MarketSpec
from polybot.tape.blocks import find_blocks
from polybot.tape.importers.recordings import import_recording
from polybot.tape.manifest import MANIFEST_NAME, read_manifest, write_manifest
from polybot.tape.records import EntryKind
from polybot.tape.writer import FRAMES_NAME, TapeWriter

END = int(EventFlag.F_END)
GONE_S = 100  # of the window: then the asks go up for good
BACK_S = 280  # and then the whole book is told again
SIZE = 400_000_000


def _level(out: EventBuffer, kind: int, at_ns: int, side: int, ticks: int, size: int, flags: int = END) -> None:
    out.add(kind, recv_ns=at_ns, venue_ns=at_ns, market=0, side=side, i=ticks, j=size, flags=flags)


def _one_snapshot(out: EventBuffer, spec: MarketSpec) -> None:
    """A book that is told whole twice; between, changes: cheap asks until GONE_S, dear ones after it."""
    for second, ask in ((-30, 5_100), (BACK_S, 9_800)):
        at_ns = spec.start_ns + second * NS + 20_000_000
        out.add(EventKind.EV_BOOK_SNAPSHOT, recv_ns=at_ns, venue_ns=at_ns, market=0, i=100)
        _level(out, EventKind.EV_BOOK_LEVEL, at_ns, Side.BUY, 4_900, SIZE, 0)
        _level(out, EventKind.EV_BOOK_LEVEL, at_ns, Side.SELL, ask, SIZE)
    for tenth in range(-290, 10 * BACK_S):
        at_ns = spec.start_ns + tenth * NS // 10
        if tenth == 10 * GONE_S:
            _level(out, EventKind.EV_BOOK_DELTA, at_ns, Side.SELL, 9_800, SIZE, 0)
            _level(out, EventKind.EV_BOOK_DELTA, at_ns, Side.SELL, 5_100, 0)
        _level(out, EventKind.EV_BOOK_DELTA, at_ns, Side.BUY, 4_800, SIZE + tenth)  # far away: the book stays fresh


def _rising(at_s: float) -> float:
    return 78_800.0 + (max(0.0, at_s - GONE_S - 30.0) / 2.0)


SCRIPT = {"spot": _rising, "has_book": False, "planted": _one_snapshot}


def _cut_out(folder: Path, second: int) -> tuple[int, int]:
    """Damage the block that was received at this second of the window; returns what it held, receive times."""
    tape = polybot.tape.open(folder)
    heads = tape.frames
    at = int(np.searchsorted(heads["recv_ns"], (START_S + second) * NS))
    inside = heads["recv_ns"][heads["block"] == heads["block"][at]]
    path = folder / FRAMES_NAME
    data = bytearray(path.read_bytes())
    block = list(find_blocks(bytes(data), file=FRAMES_NAME, damages=[]))[int(heads["block"][at])]
    data[block.offset + 9] ^= 4
    path.write_bytes(bytes(data))
    return int(inside[0]), int(inside[-1])


def _given(config: Config) -> tuple[TapeWorld, np.ndarray]:
    world = TapeWorld(config, say=lambda text: None)
    return world, np.concatenate([np.array(item.events) for item in Reel(world) if isinstance(item, Chunk)])


def test_behind_lost_entries_no_change_of_a_book_is_given_before_its_next_snapshot(tmp_path: Path) -> None:
    first_ns, last_ns = _cut_out(make_tape(tmp_path / "tapes", Script(**SCRIPT)), GONE_S)
    world, rows = _given(backtest_config(tmp_path / "tapes", tmp_path))
    assert not ((rows["recv_ns"] >= first_ns) & (rows["recv_ns"] <= last_ns)).any()
    states = rows[rows["kind"] == EventKind.EV_FEED_STATE]
    assert [(int(row["i"]), int(row["j"])) for row in states] == [(FeedId.FEED_MARKET, FeedState.FS_DISCONNECTED)]
    assert first_ns - NS < states["recv_ns"][0] < first_ns
    changes = rows["recv_ns"][rows["kind"] == EventKind.EV_BOOK_DELTA]
    snapshot_ns = (START_S + BACK_S) * NS
    assert not ((changes > first_ns) & (changes < snapshot_ns)).any()
    assert (rows["recv_ns"][rows["kind"] == EventKind.EV_BOOK_LEVEL] > snapshot_ns).sum() == 2
    (title,) = world.titles
    assert title.gap_ns == pytest.approx(last_ns - first_ns, abs=NS)
    assert any("damage" in text for text in title.gaps)


def test_nobody_is_filled_from_a_book_whose_end_was_lost(tmp_path: Path) -> None:
    make_tape(tmp_path / "whole", Script(**SCRIPT))
    _cut_out(make_tape(tmp_path / "torn", Script(**SCRIPT)), GONE_S)
    whole, torn = (run_backtest(backtest_config(tmp_path / name, tmp_path, backtest__name=f"run-{name}"))
                   for name in ("whole", "torn"))  # fmt: skip
    cheap = _cheap_fills(whole), _cheap_fills(torn)
    assert cheap == (0, 0)


def _cheap_fills(result: Result) -> int:
    fills = result.table("fills")
    return int((fills["recv_ns"] > (START_S + GONE_S) * NS).sum())


def test_what_a_recorder_dropped_blinds_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = TapeWriter.own

    def own(self: TapeWriter, recv_ns: int, kind: int, payload: bytes, **more: Any) -> bool:
        at_s = recv_ns / NS - START_S
        if kind == EntryKind.EVENTS and 90 < at_s < 110:
            return True  # the disk was slow
        if kind == EntryKind.EVENTS and self.last_ns and self.last_ns / NS - START_S <= 90 and at_s >= 110:
            told = {"feed": "all", "cause": "dropped", "from_ns": self.last_ns, "to_ns": recv_ns, "frames": 9}
            real(self, recv_ns, EntryKind.GAP, json.dumps({**told, "detail": "slow"}).encode())
        return real(self, recv_ns, kind, payload, **more)

    monkeypatch.setattr(TapeWriter, "own", own)
    make_tape(tmp_path / "tapes", Script(**SCRIPT))
    _, rows = _given(backtest_config(tmp_path / "tapes", tmp_path))
    states = rows[rows["kind"] == EventKind.EV_FEED_STATE]
    assert len(states) == 1
    assert 89 < states["recv_ns"][0] / NS - START_S <= 90
    changes = rows["recv_ns"][rows["kind"] == EventKind.EV_BOOK_DELTA] / NS - START_S
    assert not ((changes > 90) & (changes < BACK_S)).any()


def test_a_whole_tape_is_given_as_it_is(tmp_path: Path) -> None:
    make_tape(tmp_path / "tapes", Script(**SCRIPT))
    _, rows = _given(backtest_config(tmp_path / "tapes", tmp_path))
    assert not (rows["kind"] == EventKind.EV_FEED_STATE).any()
    assert (rows["kind"] == EventKind.EV_BOOK_DELTA).sum() == 290 + 10 * BACK_S + 2


def test_a_hole_of_a_tape_that_was_sealed_is_one_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing packs what is sound of a torn tail: nothing is damaged any more, and entries are missing."""
    real = TapeWriter.own

    def own(self: TapeWriter, recv_ns: int, kind: int, payload: bytes, **more: Any) -> bool:
        if 90 < recv_ns / NS - START_S < 110:
            self._numbers.take()
            return True
        return real(self, recv_ns, kind, payload, **more)

    monkeypatch.setattr(TapeWriter, "own", own)
    told = {"feed": "all", "cause": "damage", "from_ns": 0, "to_ns": 1, "frames": None, "detail": "torn"}
    folder = make_tape(tmp_path / "tapes", Script(**SCRIPT))
    manifest = read_manifest(folder / MANIFEST_NAME)
    write_manifest(folder / MANIFEST_NAME, {**manifest, "gaps": [told]})
    _, rows = _given(backtest_config(tmp_path / "tapes", tmp_path))
    changes = rows["recv_ns"][rows["kind"] == EventKind.EV_BOOK_DELTA] / NS - START_S
    assert not ((changes > 90) & (changes < BACK_S)).any()
    assert (rows["kind"] == EventKind.EV_FEED_STATE).sum() == 1


def test_lines_of_a_raw_dump_that_cannot_be_used_are_a_hole(tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    frame = json.dumps({"event_type": "book", "market": "0x1", "asset_id": "1", "bids": [], "asks": []})
    lines = [f'{{"recv":{START_S + number}.5,"raw":{frame}}}' for number in range(4)]
    path.write_text("\n".join([*lines[:2], '{"recv": broken', *lines[2:]]) + "\n")
    (folder,) = import_recording(path, tmp_path / "tapes", format="frames")
    source = Source(polybot.tape.open(folder), rank=0)
    assert source.holes == [((2 * START_S + 3) * NS // 2, (2 * START_S + 5) * NS // 2)]
