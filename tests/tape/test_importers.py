"""Recordings made elsewhere become tapes: values exact, what they are and lack is told, nonsense is refused."""

import gzip
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zstandard

import polybot.tape
from polybot._fast.event import EventFlag, EventKind, Side
from polybot.errors import TapeError
from polybot.tape.importers import import_recording
from polybot.tape.records import EntryKind, TapeFeed

NS = 1_000_000_000
MS = 1_000_000
CONDITION = "0x" + "ab" * 32
BOOK = (
    '{"market":"' + CONDITION + '","asset_id":"111","timestamp":"1776081905240","hash":"h","bids":'
    '[{"price":"0.01","size":"13183.14"},{"price":"0.48","size":"30"}],"asks":[{"price":"0.99","size":"5"},'
    '{"price":"0.52","size":"25.5"}],"event_type":"book"}'
)
SLUG = "btc-updown-5m-1776081900"


def one(path: Path, tmp_path: Path, **more: object) -> polybot.tape.Tape:
    (folder,) = import_recording(path, tmp_path / "tapes", **more)  # type: ignore[arg-type]
    return polybot.tape.open(folder)


def zipped(path: Path, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(path.name.removesuffix(".zip") + ".csv", text)
    return path


# -- data.binance.vision ----------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n"])
@pytest.mark.parametrize(("unit", "factor"), [("ms", MS), ("us", 1_000)])
def test_trades_with_and_without_header_in_ms_and_us(tmp_path: Path, header: str, unit: str, factor: int) -> None:
    stamp = 1_735_689_599_123 if unit == "ms" else 1_735_689_600_000_456
    text = header + f"7,93576.10,0.5,1.0,{stamp},True,True\n8,93576.20,0.25,1.0,{stamp + 5},False,True\n"
    tape = one(zipped(tmp_path / "BTCUSDT-trades-2025-01-01.zip", text), tmp_path)
    rows = tape.events
    assert rows["kind"].tolist() == [EventKind.EV_SPOT_TRADE] * 2
    assert rows["venue_ns"].tolist() == rows["recv_ns"].tolist() == [stamp * factor, (stamp + 5) * factor]
    assert rows["x"].tolist() == [93576.10, 93576.20]
    assert rows["y"].tolist() == [0.5, 0.25]
    assert rows["side"].tolist() == [Side.SELL, Side.BUY]  # the buyer was maker: the seller was the aggressor
    assert (rows["i"].tolist(), rows["seq"].tolist()) == ([7, 8], [7, 8])
    assert "receive times" in tape.manifest["missing"]
    assert (tape.manifest["source"]["raw"], tape.manifest["symbols"]["spot"]) == (False, "BTCUSDT")
    # One entry holds both trades; whoever merges tapes is given each at its own time.
    assert tape.units["recv_ns"].tolist() == rows["recv_ns"].tolist()
    assert tape.units["end"].tolist() == [1, 2]


def test_aggregated_trades_keep_their_ids_and_gaps_are_told(tmp_path: Path) -> None:
    text = "1,100.5,2,10,12,1735689599123,false,true\n2,100.6,1,15,15,1735689599124,true,true\n"
    tape = one(zipped(tmp_path / "ETHUSDT-aggTrades-2024-12-31.zip", text), tmp_path)
    assert (tape.events["i"].tolist(), tape.events["seq"].tolist()) == ([10, 15], [12, 15])
    assert np.all(tape.events["flags"] & EventFlag.F_AGG)
    assert tape.manifest["warnings"] == ["trade ids are not contiguous in 1 places"]


BAD_LINES = [
    ("8,93576.20,0.25,1.0,1735689599124,maybe,True", "isBuyerMaker is 'maybe'"),
    ("8,93576.20,0.25,1.0,1735689599124,True,Tr", "isBestMatch is 'tr'"),
    ("8,-1,0.25,1.0,1735689599124,True,True", "price -1"),
    ("8,nan,0.25,1.0,1735689599124,True,True", "price nan"),
    ("6,1,0.25,1.0,1735689599124,True,True", "does not follow 7"),
    ("8,1,0.25,1735689599124,True,True", "6 columns, trades has 7"),
]
GOOD_LINE = "{},93576.10,0.5,1.0,17356895991{:02d},True,True\n"


@pytest.mark.parametrize(("line", "why"), BAD_LINES)
def test_a_line_that_cannot_be_a_trade_is_named_and_the_rest_is_used(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "BTCUSDT-trades-2024-12-31.csv"
    path.write_text(GOOD_LINE.format(7, 23) + line + "\n" + GOOD_LINE.format(9, 25))
    tape = one(path, tmp_path)
    assert tape.events["seq"].tolist() == [7, 9]
    told = tape.manifest["warnings"]
    assert any(text.startswith("BTCUSDT-trades-2024-12-31.csv: line 2: ") and why in text for text in told), told
    (gap,) = tape.gaps
    assert (gap.cause, gap.from_ns, gap.to_ns) == ("damage", 1_735_689_599_123 * MS, 1_735_689_599_125 * MS)


def test_a_file_with_no_trade_in_it_is_refused_by_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-trades-2024-12-31.csv"
    path.write_text("".join(f"{line}\n" for line, _ in BAD_LINES[:1]))
    with pytest.raises(TapeError, match=r"2024-12-31\.csv: line 1: isBuyerMaker"):
        import_recording(path, tmp_path / "tapes")
    assert not (tmp_path / "tapes").exists()


@pytest.mark.parametrize("packing", ["zip", "zip without its end", "wrong byte in a zip", "gz"])
def test_of_a_torn_archive_the_lines_before_the_damage_are_used(tmp_path: Path, packing: str) -> None:
    stamps = (1_735_689_599_000 + 7 * n * n for n in range(1, 4_000))
    lines = "".join(f"{n},93576.{n % 100:02d},0.5,1.0,{at},True,True\n" for n, at in enumerate(stamps, 1))
    path = tmp_path / f"BTCUSDT-trades-2024-12-31.{'csv.gz' if packing == 'gz' else 'zip'}"
    if packing == "gz":
        path.write_bytes(gzip.compress(lines.encode())[:-3_000])
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("BTCUSDT-trades-2024-12-31.csv", lines)
        data = bytearray(path.read_bytes())
        if packing == "zip without its end":
            data = data[:-3_000]
        elif packing == "wrong byte in a zip":
            data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    tape = one(path, tmp_path)
    ids = tape.events["seq"].tolist()
    is_whole = packing == "zip"
    assert (len(ids) == 3_999) == is_whole
    assert len(ids) > 500
    assert ids[:500] == list(range(1, 501))
    named = [text for text in tape.manifest["warnings"] if "cannot be read from here on" in text]
    assert len(named) == (not is_whole)
    assert all(f"{path.name}: line " in text for text in named)


def test_a_zip_with_two_files_and_one_that_is_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-trades-2024-12-31.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "")
        archive.writestr("b.csv", "")
    with pytest.raises(TapeError, match="holds 2 files"):
        import_recording(path, tmp_path / "tapes")
    path.write_bytes(b"PK nonsense")
    with pytest.raises(TapeError, match="cannot be read"):
        import_recording(path, tmp_path / "tapes")


def test_in_a_folder_a_file_that_cannot_be_used_is_named_and_the_others_are_imported(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "BTCUSDT-trades-2024-12-30.zip").write_bytes(b"PK nonsense")
    (folder / "BTCUSDT-trades-2024-12-31.csv").write_text(GOOD_LINE.format(7, 23))
    told: list[str] = []
    assert len(import_recording(folder, tmp_path / "tapes", tell=told.append)) == 1
    assert any(line.startswith("[1/2] BTCUSDT-trades-2024-12-30.zip: left out: cannot be read") for line in told), told


# -- raw frame dumps --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.xz", ".jsonl.zst"])
@pytest.mark.parametrize(
    ("line", "recv_ns"),
    [
        ('{"recv":1776081905.208399,"raw":' + BOOK + "}", 1_776_081_905_208_399_000),
        ('{"recv_ns": 1776081905208399123, "frame": ' + json.dumps(BOOK) + "}", 1_776_081_905_208_399_123),
        ('{"payload": ' + BOOK + ', "ts": 1776081905208}', 1_776_081_905_208_000_000),
        ("[1776081905208399, " + BOOK + "]", 1_776_081_905_208_399_000),
        ("1776081905208399123 " + BOOK, 1_776_081_905_208_399_123),
        (BOOK, 1_776_081_905_240_000_000),
    ],
    ids=["recv and raw", "text", "time behind", "pair", "plain", "bare"],
)
def test_frames_of_every_layout_and_packing_come_out_as_they_were(
    tmp_path: Path, suffix: str, line: str, recv_ns: int
) -> None:
    path = tmp_path / f"{SLUG}{suffix}"
    data = f"{line}\n".encode()
    pack = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.ZstdCompressor().compress}
    path.write_bytes(pack.get(path.suffix, bytes)(data))
    tape = one(path, tmp_path, format="frames")
    (frame,) = [entry for entry in tape.entries() if entry.kind == EntryKind.FRAME]
    assert (frame.payload, frame.recv_ns, frame.feed) == (BOOK.encode(), recv_ns, TapeFeed.MARKET)
    levels = tape.events[tape.events["kind"] == EventKind.EV_BOOK_LEVEL]
    assert sorted(levels["i"].tolist()) == [100, 4_800, 5_200, 9_900]
    assert tape.spec is not None
    assert (tape.spec.slug, tape.spec.token_up, tape.spec.fee_rate_ppm) == (SLUG, "111", None)
    assert any("which token is Up" in what for what in tape.manifest["missing"])
    assert tape.outcome is None


def test_a_market_list_gives_tokens_strike_and_outcome(tmp_path: Path) -> None:
    raw = {
        "slug": SLUG,
        "conditionId": CONDITION,
        "outcomes": '["Up", "Down"]',
        "clobTokenIds": '["222", "111"]',
        "outcomePrices": '["0", "1"]',
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "feeSchedule": {"rate": 0.07, "exponent": 1},
        "resolutionSource": "https://data.chain.link/streams/btc-usd",
    }
    (tmp_path / "markets.jsonl").write_text(json.dumps({"raw": raw, "strike_value": "63123544863797618000000"}) + "\n")
    path = tmp_path / f"{SLUG}.jsonl"
    path.write_text('{"recv":1776081905.2,"raw":' + BOOK + "}\n")
    tape = one(path, tmp_path, markets_file=tmp_path / "markets.jsonl")
    assert tape.spec is not None
    assert (tape.spec.token_up, tape.spec.fee_rate_ppm, tape.spec.rule) == ("222", 70_000, "point")
    assert (tape.strike, tape.outcome) == (63_123.544863797618, 1)
    levels = tape.events[tape.events["kind"] == EventKind.EV_BOOK_LEVEL]
    assert set(levels["outcome"].tolist()) == {1}
    assert not {"strike", "outcome"} & set(tape.manifest["missing"])
    # No list tells the venue's hold of taker orders: without one every taking would be 250 ms too early.
    (folder,) = import_recording(path, tmp_path / "raw", format="frames", markets_file=tmp_path / "markets.jsonl")
    for held in (tape, polybot.tape.open(folder)):
        assert held.spec is not None
        assert held.spec.taker_delay_ms == 250
        assert "a taker order is held 250 ms" in held.manifest["assumptions"]


def test_lines_that_are_no_frames_and_a_torn_end_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    lines = "".join(f"17760819052083991{n:02d} {BOOK}\n" for n in range(50))
    path = tmp_path / "dump.jsonl.gz"
    path.write_bytes(gzip.compress(lines.encode())[:-20])
    tape = one(path, tmp_path, format="frames")
    assert any("dump.jsonl.gz: line " in text and "cannot be read" in text for text in tape.manifest["warnings"])
    plain = tmp_path / "plain.jsonl"
    plain.write_text(lines + "nonsense\n" + lines[:400])
    tape = one(plain, tmp_path, format="frames")
    assert sum(entry.kind == EntryKind.FRAME for entry in tape.entries()) == 50 + lines[:400].count("\n")
    assert any("plain.jsonl: line 51: is no JSON" in text for text in tape.manifest["warnings"])


def test_an_unknown_file_is_refused_and_in_a_folder_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "notes.txt").write_text("hello\n")
    with pytest.raises(TapeError, match="of no known format; known are binance, table, ladder, books, frames"):
        import_recording(folder / "notes.txt", tmp_path / "tapes")
    (folder / f"{SLUG}.jsonl").write_text('{"recv":1776081905.2,"raw":' + BOOK + "}\n")
    told: list[str] = []
    assert len(import_recording(folder, tmp_path / "tapes", tell=told.append)) == 1
    assert any("notes.txt: left out: of no known format" in line for line in told)


# -- recorded data ----------------------------------------------------------------------------------


def test_recorded_spot_frames_decode_to_what_is_known_of_them(shared_dir: Path, tmp_path: Path) -> None:
    tape = one(shared_dir / "data/nkaz001+hftbacktest/spot_btcusdt_20240808.gz", tmp_path)
    counts = tape.decoding["counters"]["spot"]
    assert (counts["trades"], counts["quotes"], counts["ignored"], counts["malformed"]) == (9_757, 28_040, 3_451, 0)
    assert len(tape.events) == 9_757 + 28_040
    with gzip.open(shared_dir / "data/nkaz001+hftbacktest/spot_btcusdt_20240808.gz", "rb") as source:
        line = source.readline()
    (first,) = [entry for entry in (tape.content.entry(1),) if entry.kind == EntryKind.FRAME]
    assert f"{first.recv_ns} ".encode() + first.payload == line.rstrip(b"\n")


def test_recorded_books_decode_without_a_fault(shared_dir: Path, tmp_path: Path) -> None:
    folder = shared_dir / "data/CronosVirus00+polymarket-BTC5min-database/clob_book_frames/2026-04-13"
    tape = one(folder / "btc-updown-5m-1776081900.jsonl.xz", tmp_path, format="frames")
    counts = tape.decoding["counters"]["market"]
    assert counts["books"] == counts["frames"] == 2_616
    assert counts["malformed"] == counts["unknown_token"] == counts["unsupported"] == 0
    book = tape.columns("book")
    assert len(book["recv_ns"]) == 2_616
    both = ~np.isnan(book["bid_price_1"]) & ~np.isnan(book["ask_price_1"])
    assert np.all(book["bid_price_1"][both] < book["ask_price_1"][both])


def test_recorded_oracle_prices_are_exact_and_carry_their_markets(shared_dir: Path, tmp_path: Path) -> None:
    folder = shared_dir / "data/Ligengxin96+polymarket-data-samples"
    markets = folder / "BTC-5m-markets-2026-06-08.jsonl.gz"
    tape = one(folder / "BTCUSD-prices-2026-06-08.csv.gz", tmp_path, markets_file=markets)
    prices = tape.columns("oracle")
    assert len(prices["price"]) == 84_558
    assert (prices["recv_ns"][0], prices["venue_ns"][0]) == (1_780_876_801_156 * MS, 1_780_876_800_000 * MS)
    assert prices["price"][0] == 63_304.200301195075
    told = tape.manifest["markets"]
    assert len(told) == 292
    at = dict(zip(prices["venue_ns"].tolist(), prices["price"].tolist(), strict=True))
    known = [one for one in told if one["strike"] is not None]
    closes = [(one, at[one["end_ns"]]) for one in known if one["end_ns"] in at]
    opens = [(one, at[one["start_ns"]]) for one in known if one["start_ns"] in at]
    assert (len(known), len(closes), len(opens)) == (288, 280, 284)
    assert all(price == pytest.approx(one["strike"], rel=1e-12) for one, price in opens)
    assert all((price >= one["strike"]) == (one["outcome"] == 0) for one, price in closes)


def test_a_recorded_ladder_is_a_tape_per_window(shared_dir: Path, tmp_path: Path) -> None:
    path = shared_dir / "data/houssem98+polymarket-btc-5m-research/ladder.jsonl"
    few = tmp_path / "ladder.jsonl"
    few.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))
    made = import_recording(few, tmp_path / "tapes")
    tape = polybot.tape.open(made[0])
    first = json.loads(path.read_text().splitlines()[0])
    quotes = tape.events[tape.events["kind"] == EventKind.EV_PUBLIC_QUOTE]
    assert len(quotes) == len(first["samples"])
    assert (quotes["x"][0], quotes["y"][0]) == (1_200, 1_300)
    assert tape.outcome == {"up": 0, "down": 1}[first["winner"].lower()]
    assert len(made) == 5
