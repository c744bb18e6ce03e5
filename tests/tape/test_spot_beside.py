"""Books, spot and oracle from three recordings: each imported alone, put together by a backtest."""

import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tape.real_books import SAMPLE, file_of

import polybot.tape
from polybot import api
from polybot.config_record import AssumeConfig
from polybot.tape.importers import import_recording

KNOWN = SAMPLE[4]
RATE = 4  # trades a second
STRIKE = 67_000.0


def spot_zip(folder: Path, *, unit: int, header: str, aggregated: bool) -> Path:
    """What data.binance.vision would have of the minutes around the window: a slow walk up and down."""
    kind = "aggTrades" if aggregated else "trades"
    lines = [header]
    for n in range(RATE * 1_000):
        price = STRIKE + 60.0 * np.sin(n / 100.0)
        at = (KNOWN.start_s - 600) * unit + n * unit // RATE
        ids = f"{n + 1},{price:.2f},0.5,{n + 1},{n + 1}" if aggregated else f"{n + 1},{price:.2f},0.5,1.0"
        lines.append(f"{ids},{at},{'True' if n % 2 else 'False'},True\n")
    path = folder / f"BTCUSDT-{kind}-2026-04-15.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.stem + ".csv", "".join(lines))
    return path


def oracle_csv(folder: Path) -> Path:
    """The oracle's prices of the same minutes, 30 USD below spot."""
    lines = ["feed_ts_ms,value,full_accuracy_value,server_ts_ms,recv_ms\n"]
    for second in range(1_000):
        price = STRIKE - 30.0 + 60.0 * np.sin(second * RATE / 100.0)
        at = (KNOWN.start_s - 600 + second) * 1_000
        lines.append(f"{at},{price:.2f},{round(price * 100)}{'0' * 16},{at + 1_000},{at + 1_300}\n")
    path = folder / "oracle.csv"
    path.write_text("".join(lines))
    return path


def market_list(folder: Path, books: Path) -> Path:
    """What the venue's list would say of the market: the recorded token is Down."""
    with lzma.open(books) as file:
        first = json.loads(file.readline())["raw"]
    raw = {
        "slug": KNOWN.slug,
        "conditionId": first["market"],
        "outcomes": '["Up", "Down"]',
        "clobTokenIds": json.dumps(["1", first["asset_id"]]),
        "outcomePrices": '["1", "0"]',
        "orderPriceMinTickSize": 0.001,  # a list is made after the end: this is the last grid, not the first
        "orderMinSize": 5,
        "resolutionSource": "https://data.chain.link/streams/btc-usd",
    }
    path = folder / "markets.jsonl"
    path.write_text(json.dumps({"raw": raw, "strike_value": f"{round(STRIKE - 30)}{'0' * 18}"}) + "\n")
    return path


HEADERS = {
    "trades": "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n",
    "aggTrades": "a,p,q,f,l,T,m,M\n",
}


@pytest.mark.parametrize(
    ("unit", "kind", "has_header"),
    [(1_000, "trades", True), (1_000_000, "aggTrades", False)],
    ids=["ms, trades, header", "us, aggTrades, none"],
)
def test_a_zip_of_spot_trades_is_the_spot_of_a_backtest_beside_books_and_an_oracle_table(
    shared_dir: Path, tmp_path: Path, unit: int, kind: str, has_header: bool
) -> None:
    tapes = tmp_path / "tapes"
    header = HEADERS[kind] if has_header else ""
    (spot,) = import_recording(spot_zip(tmp_path, unit=unit, header=header, aggregated=kind == "aggTrades"), tapes)
    import_recording(oracle_csv(tmp_path), tapes)
    file = file_of(shared_dir, KNOWN)
    bare = AssumeConfig(spot="none")
    (books,) = import_recording(file, tapes, markets_file=market_list(tmp_path, file), assume=bare)
    result = api.backtest(tapes, f"backtest.out_dir={tmp_path}", "backtest.name=first")
    assert [tape["role"] for tape in result.info["tapes"]].count("prices") == 2
    assert (result.info["totals"]["markets"], result.info["totals"]["counted"]) == (1, 1)
    samples = result.table("samples")
    trades = polybot.tape.open(spot).events
    priced = samples[np.isfinite(samples["spot"])]
    assert len(priced) > 250
    seen = trades["x"][np.searchsorted(trades["recv_ns"], priced["recv_ns"], side="right") - 1]
    # The last trade received then, moved by the oracle's distance of 30: one a second older would be 2.4 off.
    assert np.abs(priced["spot"] - (seen - 30.0))[20:].max() < 1.5
    assert np.isfinite(samples["fair"]).sum() > 250
    tape = polybot.tape.open(books)
    assert (tape.strike, tape.outcome) == (STRIKE - 30.0, 0)
    assert tape.spec is not None
    assert tape.spec.tick_size_ticks == 100
    assert not any("is called Up" in text or "strike" in text for text in tape.manifest["assumptions"])
