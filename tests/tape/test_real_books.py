"""The recorded real books become tapes an engine can trade on; everything that was not recorded is said."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tape.real_books import BOOKS, SAMPLE, WHOLE, Known, file_of, import_sample

import polybot.tape
from polybot import api
from polybot._fast.book import Book
from polybot._fast.event import EVENT_DTYPE, EventBuffer, EventFlag, EventKind
from polybot._fast.pricing import PriceStatus, price
from polybot.cli import main
from polybot.config_record import AssumeConfig
from polybot.errors import TapeError
from polybot.market.window import parse_slug
from polybot.tape.importers import import_recording
from polybot.tape.importers.markets import guessed_spec, rule_of
from polybot.tape.importers.spot_path import ImpliedPath, implied_spot, read_trades
from polybot.tape.reader import Tape

NS, MS = 1_000_000_000, 1_000_000
DELAY_NS = AssumeConfig().delay_ms * MS
SIGMA = AssumeConfig().sigma_annual / math.sqrt(365.25 * 86_400)


@pytest.fixture(scope="module")
def tapes(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Tape]:
    return [polybot.tape.open(path) for path in import_sample(shared_dir, tmp_path_factory.mktemp("real"))]


def rows(tape: Tape, kind: int) -> np.ndarray:
    return tape.events[tape.events["kind"] == kind]


def test_every_frame_is_there_and_the_window_the_outcome_and_the_grid_are_those_of_the_file(tapes: list[Tape]) -> None:
    for tape, known in zip(tapes, SAMPLE, strict=True):
        spec = tape.spec
        assert spec is not None
        assert (spec.slug, spec.start_ns, spec.end_ns) == (known.slug, known.start_s * NS, (known.start_s + 300) * NS)
        assert len(rows(tape, EventKind.EV_BOOK_SNAPSHOT)) == known.frames
        assert (spec.token_down != "0") == (known.tokens == 2)
        assert (tape.outcome, "outcome" in tape.manifest["missing"]) == (known.outcome, known.outcome is None)
        told = [] if known.outcome is None else [known.outcome]
        assert rows(tape, EventKind.EV_OUTCOME)["outcome"].tolist() == told
        counters = tape.decoding["counters"]["market"]
        assert (counters["unknown_token"], counters["malformed"]) == (0, 0)
        changes = rows(tape, EventKind.EV_TICK_SIZE)
        in_window = changes[changes["recv_ns"] < spec.end_ns]
        assert in_window["i"].tolist() == ([10] if known.fine_from_s else [])
        if known.fine_from_s:
            assert in_window["recv_ns"][0] / NS - known.start_s == pytest.approx(known.fine_from_s, abs=0.3)
        assert (tape.manifest["state"], tape.damages, tape.gaps) == ("imported", (), ())


def test_no_level_is_off_the_grid_that_was_told_before_it(tapes: list[Tape]) -> None:
    for tape in tapes:
        assert tape.spec is not None
        marks = np.flatnonzero(np.isin(tape.events["kind"], [EventKind.EV_BOOK_LEVEL, EventKind.EV_TICK_SIZE]))
        grid = tape.spec.tick_size_ticks
        for at in np.flatnonzero(tape.events["kind"] == EventKind.EV_TICK_SIZE):
            before = tape.events[marks[marks < at]]
            assert not np.any(before["i"][before["kind"] == EventKind.EV_BOOK_LEVEL] % grid)
            grid = int(tape.events["i"][at])
            marks = marks[marks > at]
        levels = tape.events[marks]
        assert not np.any(levels["i"] % grid)


def test_receive_times_follow_the_venues_order_and_no_frame_is_early(tapes: list[Tape]) -> None:
    for tape in tapes:
        assert np.all(np.diff(tape.events["recv_ns"]) >= 0)
        books = rows(tape, EventKind.EV_BOOK_SNAPSHOT)
        assert np.all(np.diff(books["venue_ns"]) >= 0)
        delays = books["recv_ns"] - books["venue_ns"]
        assert delays.min() == pytest.approx(DELAY_NS, abs=1_000)  # the recorder wrote whole microseconds
        assert delays.max() < 5 * NS
        assert "moved by" in tape.manifest["source"]["clock"]


def test_the_implied_spot_priced_again_gives_the_mid_it_came_from(tapes: list[Tape]) -> None:
    tape = tapes[4]
    assert tape.spec is not None
    book, seen = Book(100), 0
    buffer = EventBuffer(256)
    mid = math.nan
    for row in tape.events[:60_000]:
        if row["kind"] in (EventKind.EV_BOOK_SNAPSHOT, EventKind.EV_BOOK_LEVEL):
            buffer.extend(np.array([row], EVENT_DTYPE))
            if row["flags"] & EventFlag.F_END:
                book.apply_events(buffer)
                buffer.reset()
                bid, ask = book.best_bid(0), book.best_ask(0)
                mid = (max(bid, 0) + (ask if ask >= 0 else 10_000)) / 20_000
        elif row["kind"] == EventKind.EV_SPOT_TRADE:
            tau_s = (tape.spec.end_ns - int(row["recv_ns"])) / NS
            priced = price(rule=0, s=float(row["x"]), k=70_000.0, sigma=SIGMA, tau_s=tau_s)
            assert priced.status == PriceStatus.PRICE_OK
            assert priced.p_up == pytest.approx(mid, abs=1e-9)
            seen += 1
    assert seen > 100


def test_the_oracle_is_late_and_equals_the_spot_of_its_second(tapes: list[Tape]) -> None:
    for tape in tapes:
        oracle, trades = rows(tape, EventKind.EV_ORACLE_SPOT), rows(tape, EventKind.EV_SPOT_TRADE)
        assert len(oracle) > 270
        assert np.all(oracle["venue_ns"] % NS == 0)
        assert np.all(oracle["recv_ns"] - oracle["venue_ns"] >= 1_300 * MS)
        at = np.searchsorted(trades["venue_ns"], oracle["venue_ns"], side="left") - 1
        assert np.all(at >= 0)
        assert trades["x"][at].tolist() == oracle["x"].tolist()


def test_the_strike_is_not_told_before_the_oracles_price_of_the_start_is_there(tapes: list[Tape]) -> None:
    for tape in tapes:
        assert tape.spec is not None
        (told,) = rows(tape, EventKind.EV_STRIKE)
        assert told["recv_ns"] >= tape.spec.start_ns + 1_300 * MS
        assert told["recv_ns"] < tape.spec.start_ns + 10 * NS


def test_everything_assumed_is_named_and_the_label_calls_the_path_circular(tapes: list[Tape]) -> None:
    for tape in tapes:
        manifest = tape.manifest
        assert manifest["source"]["label"] == "real books; spot implied from mids, circular"
        said = " | ".join(manifest["assumptions"])
        for words in ("is called Up", "tick size 0.01", "resolution rule point", "taker fee 0.07", "held 250 ms"):
            assert words in said, words
        for words in ("spot implied from the mids with sigma 0.455", "strike nominal: 70000", "oracle is spot"):
            assert words in said, words
        assert any("prove nothing about prices, only mechanics" in text for text in manifest["warnings"])
        undecided = [text for text in manifest["warnings"] if "undecided" in text]
        assert len(undecided) == (tape.outcome is None)


def test_assumptions_are_settings(shared_dir: Path, tmp_path: Path) -> None:
    changes = replace(AssumeConfig(), fee_frac=0.05, strike_usd=65_000.0, delay_ms=80, taker_delay_ms=0, spot="none")
    (folder,) = import_recording(file_of(shared_dir, SAMPLE[4]), tmp_path, assume=changes)
    tape = polybot.tape.open(folder)
    assert tape.spec is not None
    assert tape.spec.fee_rate_ppm == 50_000
    assert (len(rows(tape, EventKind.EV_SPOT_TRADE)), tape.strike, tape.outcome) == (0, None, 1)
    assert tape.manifest["source"]["label"] == "real books without spot"
    assert "strike" in tape.manifest["missing"]
    delays = rows(tape, EventKind.EV_BOOK_SNAPSHOT)
    assert (delays["recv_ns"] - delays["venue_ns"]).min() == pytest.approx(80 * MS, abs=1_000)


def spot_file(folder: Path, known: Known, *, us: bool, shift_s: int = 0) -> Path:
    """A Binance file of trades around one window: 2 a second, a price that walks up."""
    unit = 1_000_000 if us else 1_000
    first = known.start_s - 30 + shift_s
    lines = [f"{n + 1},{67_000 + n}.5,0.25,1,{(2 * first + n) * unit // 2},True,True\n" for n in range(700)]
    path = folder / "BTCUSDT-trades-2026-04-15.csv"
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize("us", [True, False])
@pytest.mark.parametrize("as_tape", [True, False])
def test_spot_may_come_from_another_recording(shared_dir: Path, tmp_path: Path, us: bool, as_tape: bool) -> None:
    known = SAMPLE[4]
    path = spot_file(tmp_path, known, us=us)
    if as_tape:
        (path,) = import_recording(path, tmp_path / "spot")
    assume = replace(AssumeConfig(), spot=str(path))
    (folder,) = import_recording(file_of(shared_dir, known), tmp_path / "tapes", assume=assume)
    tape = polybot.tape.open(folder)
    trades = rows(tape, EventKind.EV_SPOT_TRADE)
    past = trades[(trades["flags"] & EventFlag.F_SNAPSHOT) != 0]
    live = trades[(trades["flags"] & EventFlag.F_SNAPSHOT) == 0]
    assert len(past) >= 59
    assert np.all(live["recv_ns"] - live["venue_ns"] == DELAY_NS)
    assert np.all(past["recv_ns"] >= past["venue_ns"] + DELAY_NS)
    assert live["x"][-1] == 67_000.5 + 659  # the last one received before the end
    assert tape.strike == 67_059.5  # the last one received before the start
    assert tape.manifest["source"]["label"] == "real books; spot from another recording"
    assert any(text.startswith("spot from BTCUSDT-trades-2026-04-15") for text in tape.manifest["assumptions"])
    assert np.all(np.diff(tape.events["recv_ns"]) >= 0)


def test_a_spot_recording_of_another_time_is_refused_by_name(shared_dir: Path, tmp_path: Path) -> None:
    known = SAMPLE[4]
    assume = replace(AssumeConfig(), spot=str(spot_file(tmp_path, known, us=True, shift_s=86_400)))
    with pytest.raises(TapeError, match=r"BTCUSDT-trades-2026-04-15\.csv: no trades around btc-updown-5m-1776252900"):
        import_recording(file_of(shared_dir, known), tmp_path / "tapes", assume=assume)


def test_the_rule_of_a_date_is_the_published_one_and_an_average_is_not_inverted() -> None:
    assert rule_of("5m", 1_776_081_900 * NS) == ("point", 0)
    assert rule_of("5m", 1_786_060_800 * NS) == ("twap", 30)
    assert rule_of("15m", 1_786_665_600 * NS) == ("twap", 60)
    assert rule_of("1h", 1_786_665_600 * NS) == ("candle", 0)
    assert implied_spot(0.5, strike=100.0, sigma=1e-4, tau_s=100.0) == pytest.approx(100.0 * math.exp(0.5e-6))
    spec = guessed_spec(SAMPLE[0].slug, parse_slug(SAMPLE[0].slug).windows[0], "0x", ("1",))
    with pytest.raises(ValueError, match="averages prices"):
        ImpliedPath(replace(spec, rule="twap"), strike=1.0, sigma_annual=0.5, oracle_delay_ms=0)
    with pytest.raises(TapeError, match="neither a tape nor a Binance file"):
        read_trades("nowhere")


def test_a_backtest_of_real_books_trades_the_decided_ones_and_says_what_they_are(
    shared_dir: Path, tapes: list[Tape], tmp_path: Path
) -> None:
    """The sample; with POLYBOT_HARD all 49."""
    folder, (markets, decided, undecided) = tapes[0].path.parent, (len(SAMPLE), 5, 1)
    if os.environ.get("POLYBOT_HARD"):
        folder, (markets, decided, undecided) = tmp_path / "all", WHOLE
        import_recording(shared_dir / BOOKS, folder)
    result = api.backtest(folder, f"backtest.out_dir={tmp_path}", "backtest.name=real")
    info, table = result.info, result.table("markets")
    assert (info["totals"]["markets"], info["totals"]["counted"]) == (markets, decided)
    roles = [tape["role"] for tape in info["tapes"]]
    assert (roles.count("traded"), roles.count("observed")) == (decided, undecided)
    assert set(table["label"].tolist()) == {"real books; spot implied from mids, circular"}
    assert table["outcome"][~table["counted"]].tolist() == [-1] * undecided
    assert table["pnl"][~table["counted"]].tolist() == [0] * undecided
    assert "assumed: strike nominal: 70000 USD" in info["label"]
    assert info["messages"] > 4_500 * markets
    assert (info["alerts"], info["counters"]["strays"], info["counters"]["broken"]) == ([], 0, 0)
    assert [tape["damage"] for tape in info["tapes"]] == [[]] * markets
    known = dict(zip(table["slug"].tolist(), table["outcome"].tolist(), strict=True))
    assert all(known[one.slug] == (-1 if one.outcome is None else one.outcome) for one in SAMPLE)
    fills = result.table("fills")
    assert np.all(fills["decided_ns"] < fills["recv_ns"])
    assert set(fills["market"].tolist()) <= set(table["index"][table["counted"]].tolist())
    assert info["totals"]["signals"] > 0


def test_the_command_imports_a_folder_and_says_how_many_are_decided(
    shared_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sample; with POLYBOT_HARD all 49 (half a minute)."""
    source, (markets, decided, undecided) = shared_dir / BOOKS, WHOLE
    if not os.environ.get("POLYBOT_HARD"):
        source, (markets, decided, undecided) = tmp_path / "in", (2, 1, 1)
        source.mkdir()
        for known in SAMPLE[1:3]:
            (source / f"{known.slug}.jsonl.xz").symlink_to(file_of(shared_dir, known))
    (tmp_path / "out").mkdir()
    assert main(["import", f"source={source}", f"out_dir={tmp_path / 'out'}", "record.keep_free_mb=0"]) == 0
    told = capsys.readouterr().out
    assert f"{markets} markets, {decided} with an outcome, {undecided} without" in told
    line = next(line for line in told.splitlines() if "btc-updown-5m-1776083400.jsonl.xz" in line)
    assert "real books; spot implied from mids, circular" in line
    assert "outcome unknown" in line
    assert "8 assumptions in its manifest" in line
