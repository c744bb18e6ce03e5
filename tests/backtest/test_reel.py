"""What a reel gives: every event once, in the order of the numbers on the tapes, and nothing before its time."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backtest.made import NS, START_S, Script, make_tape
from backtest.recorded import backtest_config, given, is_told, numbered

import polybot.tape
from polybot._fast.event import EVENT_DTYPE, EventFlag, EventKind, Special
from polybot.backtest import reel
from polybot.backtest.reel import Chunk, Drop, Item, Open, Reel, Settle, Tell
from polybot.backtest.source import Source
from polybot.backtest.world import TapeWorld
from polybot.config import Config

NO_MARKET = int(Special.NO_MARKET)


def items_of(config: Config) -> tuple[TapeWorld, list[Item]]:
    world = TapeWorld(config, say=lambda text: None)
    return world, [_kept(item) for item in Reel(world)]


def _kept(item: Item) -> Item:
    """A chunk of a mapped file is copied: the reel lets go of its tape."""
    return Chunk(np.array(item.events, EVENT_DTYPE), item.market) if isinstance(item, Chunk) else item


def rows_of(items: list[Item]) -> np.ndarray:
    return np.concatenate([item.events for item in items if isinstance(item, Chunk)])


def kinds_of(items: list[Item]) -> list[str]:
    return [type(item).__name__ for item in items if not isinstance(item, Chunk)]


def slow_merge(folders: list[Path]) -> Iterator[np.ndarray]:
    """All entries of all tapes by their number; what was told to one tape alone when it began, of the first only."""
    found: dict[int, np.ndarray] = {}
    for rank, folder in enumerate(folders):
        tape, entries = polybot.tape.open(folder), numbered(folder)
        heads = tape.frames
        first_frame = int(heads["seq"][np.flatnonzero(heads["kind"] == 1)[0]])
        for seq, rows in entries.items():
            is_head = seq < first_frame and rank > 0 and (rows["market"] == NO_MARKET).all()
            if seq not in found and not is_told(rows) and not is_head:
                found[seq] = rows
    for seq in sorted(found):
        yield found[seq]


def test_three_tapes_of_a_recording_come_out_in_the_order_of_their_numbers_each_event_once(
    taped: Path, tmp_path: Path
) -> None:
    _, items = items_of(backtest_config(taped, tmp_path))
    folders = polybot.tape.find_tapes(taped)
    expected = np.concatenate(list(slow_merge(folders)))
    # After its outcome a window is dropped, and before its tape begins nothing of it is there; here that is all of it.
    assert given(rows_of(items)).tobytes() == given(expected).tobytes()
    assert len(set(rows_of(items)["market"].tolist())) == 4


def test_two_intervals_side_by_side_are_one_recording(mixed: Path, tmp_path: Path) -> None:
    _, items = items_of(backtest_config(mixed, tmp_path, backtest__intervals=["5m", "15m"]))
    folders = sorted(polybot.tape.find_tapes(mixed), key=lambda path: path.name != "btc-updown-15m-1795337100")
    folders.sort(key=lambda path: int(polybot.tape.open(path).frames["seq"][0]))
    expected = np.concatenate(list(slow_merge(folders)))
    assert given(rows_of(items)).tobytes() == given(expected).tobytes()


def test_the_size_of_a_piece_changes_nothing(taped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = items_of(backtest_config(taped, tmp_path))
    monkeypatch.setattr(reel, "PIECE_UNITS", 300)
    _, pieces = items_of(backtest_config(taped, tmp_path))
    assert sum(isinstance(item, Chunk) for item in pieces) > 2 * sum(isinstance(item, Chunk) for item in whole)
    markets = {True: [], False: []}
    for is_whole, items in ((True, whole), (False, pieces)):
        for item in items:
            if isinstance(item, Chunk):
                rows = np.array(item.events)
                if item.market >= 0:
                    rows["market"][rows["market"] != NO_MARKET] = item.market
                markets[is_whole].append(rows)
    assert np.concatenate(markets[True]).tobytes() == np.concatenate(markets[False]).tobytes()


def test_windows_open_with_their_tape_and_live_as_they_did(taped: Path, tmp_path: Path) -> None:
    _, items = items_of(backtest_config(taped, tmp_path))
    one = ["Open", "Tell", "Tell", "Settle", "Drop"]
    by_window: dict[int, list[Any]] = {}
    for item in items:
        if not isinstance(item, Chunk):
            by_window.setdefault(item.window.index, []).append(item)  # type: ignore[union-attr]
    assert [[type(item).__name__ for item in told] for told in by_window.values()] == [one] * 3
    for told, folder in zip(by_window.values(), polybot.tape.find_tapes(taped), strict=True):
        opened, strike, close, settle, drop = told
        spec = opened.window.spec
        rows = {kind: _first(folder, kind) for kind in (EventKind.EV_STRIKE, EventKind.EV_OUTCOME)}
        assert spec.start_ns < strike.at_ns == int(rows[EventKind.EV_STRIKE]["recv_ns"])
        assert strike.strike.value == polybot.tape.open(folder).strike
        assert (close.at_ns, close.strike) == (spec.end_ns, None)
        assert spec.end_ns < settle.at_ns == int(rows[EventKind.EV_OUTCOME]["recv_ns"])
        assert settle.outcome == polybot.tape.open(folder).outcome
        assert drop.at_ns > settle.at_ns


def _first(folder: Path, kind: int) -> Any:
    events = polybot.tape.open(folder).events
    return events[events["kind"] == kind][0]


def test_the_past_is_given_once_and_again_after_a_break_what_is_new_of_it(tmp_path: Path) -> None:
    for number in (0, 1, 12):
        make_tape(tmp_path / "tapes", number=number)
    _, items = items_of(backtest_config(tmp_path / "tapes", tmp_path))
    rows = rows_of(items)
    past = rows[rows["flags"] & EventFlag.F_SNAPSHOT != 0]
    begins = [(START_S + 300 * number - 60) * NS for number in (0, 12)]
    assert [int((past["recv_ns"] == at_ns).sum()) for at_ns in begins] == [900, 900]
    assert len(past) == 1800
    assert (past["venue_ns"][900:] > int(rows["recv_ns"][rows["recv_ns"] < begins[1]].max()) - 900 * NS).all()


def test_spot_is_late_by_the_delay_and_nothing_else(taped: Path, tmp_path: Path) -> None:
    _, plain = items_of(backtest_config(taped, tmp_path))
    _, late = items_of(backtest_config(taped, tmp_path, backtest__spot_delay_s=30.0))
    kinds = (EventKind.EV_SPOT_TRADE, EventKind.EV_SPOT_QUOTE)
    before, after = rows_of(plain), rows_of(late)
    is_spot = {True: np.isin(before["kind"], kinds), False: np.isin(after["kind"], kinds)}
    moved = before[is_spot[True]].copy()
    moved["recv_ns"] += 30 * NS
    moved["venue_ns"] += np.where(moved["venue_ns"] > 0, 30 * NS, 0)
    assert given(after[is_spot[False]]).tobytes() == given(moved).tobytes()
    shared = np.isin(before["kind"], (EventKind.EV_ORACLE_SPOT, EventKind.EV_ORACLE_TWAP))
    others = np.isin(after["kind"], (EventKind.EV_ORACLE_SPOT, EventKind.EV_ORACLE_TWAP))
    assert before[shared].tobytes() == after[others].tobytes()
    assert (np.diff(after["recv_ns"]) >= 0).all()


def test_a_damaged_block_is_named_and_what_another_tape_has_of_it_is_given(taped: Path, tmp_path: Path) -> None:
    tapes = tmp_path / "tapes"
    shutil.copytree(taped, tapes)
    second = polybot.tape.find_tapes(tapes)[1]
    frames = second / "frames.zst"
    data = bytearray(frames.read_bytes())
    data[len(data) // 2] ^= 0xFF
    frames.write_bytes(data)
    said: list[str] = []
    world = TapeWorld(backtest_config(tapes, tmp_path), say=said.append)
    rows = rows_of([_kept(item) for item in Reel(world)])
    title = next(title for title in world.titles if title.path == second)
    (damage,) = title.places
    assert damage["file"] == "frames.zst"
    assert 0 <= damage["offset"] < len(data)
    assert any(second.name in text and "frames.zst: damaged at offset" in text for text in said)
    folders = polybot.tape.find_tapes(tapes)
    expected = np.concatenate(list(slow_merge(folders)))
    # All of it but changes of a book that is not known any more (test_holes.py), and the word that it is not.
    apart = (EventKind.EV_BOOK_LEVEL, EventKind.EV_BOOK_DELTA, EventKind.EV_FEED_STATE)
    kept, sound = (given(some[~np.isin(some["kind"], apart)]) for some in (rows, expected))
    assert kept.tobytes() == sound.tobytes()
    changes, all_changes = (given(some[np.isin(some["kind"], apart[:2])]) for some in (rows, expected))
    assert 0 < len(all_changes) - len(changes) < len(all_changes) / 4
    assert {row.tobytes() for row in changes} <= {row.tobytes() for row in all_changes}
    assert (rows["kind"] == EventKind.EV_FEED_STATE).sum() == (expected["kind"] == EventKind.EV_FEED_STATE).sum() + 1
    lost = len(np.concatenate(list(slow_merge(polybot.tape.find_tapes(taped))))) - len(expected)
    assert lost > 0


def test_of_two_recordings_at_one_time_one_tells_the_prices(taped: Path, tmp_path: Path) -> None:
    tapes = tmp_path / "tapes"
    first = polybot.tape.find_tapes(taped)[0]
    shutil.copytree(first, tapes / first.name)
    # Another recorder of the same time, with prices of its own; it begins later.
    longer = {"interval": "15m", "end_ns": (START_S + 900) * NS}
    other = make_tape(tapes, Script(spec=longer, begin_s=20), name="other")
    config = backtest_config(tapes, tmp_path, backtest__intervals=["5m", "15m"])
    world, items = items_of(config)
    rows = rows_of(items)
    mine = polybot.tape.open(first)
    assert mine.manifest["content"]["first_ns"] < polybot.tape.open(other).manifest["content"]["first_ns"]
    assert mine.spec is not None
    end_ns = mine.spec.end_ns  # from here on the window of the other one runs alone
    trades = rows[(rows["kind"] == EventKind.EV_SPOT_TRADE) & (rows["flags"] & EventFlag.F_SNAPSHOT == 0)]
    is_mine = trades["seq"] > 0  # the made tape's trades have no ids
    assert is_mine[trades["recv_ns"] < end_ns].all()
    assert not is_mine[trades["recv_ns"] >= end_ns].any()
    assert is_mine.any()
    assert not is_mine.all()
    warned = [title.name for title in world.titles if any("left out where" in text for text in title.warnings)]
    assert set(warned) == {"other", first.name}  # each for a part of the time


def test_tapes_of_one_recording_know_each_other(taped: Path, tmp_path: Path) -> None:
    first, second, third = (
        Source(polybot.tape.open(folder), rank=k) for k, folder in enumerate(polybot.tape.find_tapes(taped))
    )
    assert second.is_same_recording(first)
    assert first.is_same_recording(second)
    assert not third.is_same_recording(first)  # nothing in common: they did not overlap
    stranger = Source(polybot.tape.open(make_tape(tmp_path, Script())), rank=9)
    assert not stranger.is_same_recording(first)


def test_a_followed_window_is_dropped_at_its_end_and_never_settled(mixed: Path, tmp_path: Path) -> None:
    config = backtest_config(
        mixed, tmp_path, strategy__cross_timeframe__enabled=True, engine__observe_intervals=["15m"]
    )
    world, items = items_of(config)
    fifteen = next(title for title in world.titles if title.spec is not None and title.spec.interval == "15m")
    told = [item for item in items if not isinstance(item, Chunk) and item.window.index == fifteen.index]  # type: ignore[union-attr]
    assert [type(item) for item in told] == [Open, Tell, Tell, Drop]
    assert isinstance(told[0], Open)
    assert told[0].window.observed
    assert isinstance(told[3], Drop)
    assert told[3].at_ns == told[0].window.spec.end_ns
    assert sum(isinstance(item, Settle) for item in items) == 1
