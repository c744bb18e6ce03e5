"""Files that command lines of the documents name: made-up recordings in the formats of other people.

Owns their content: a market whose price climbs from 0.50 to 0.97, and a spot price that climbs beside it.  Three of
them lie on three days, so that days can be held out.  Must not read recorded data.  Called by the stories.
"""

import gzip
import json
import lzma
import zipfile
from pathlib import Path

__all__ = ["APRIL_DAYS", "book_recording", "market_list", "own_strategy", "spot_frames", "trades_zip"]

# Starts of 5m windows on 2026-04-13, 14 and 15, seconds since the epoch.
APRIL_DAYS = (1_776_081_900, 1_776_168_300, 1_776_252_900)
CONDITION = "0x" + "5a" * 32
TOKENS = ("1111", "2222")
WINDOW_S = 300
EARLY_S = 20
SPOT_USD = 67_000.0


def book_recording(folder: Path, start_s: int) -> Path:
    """Frames of one market's books alone: a whole book a second, Up from 0.50 to 0.97."""
    lines = []
    for second in range(-EARLY_S, WINDOW_S):
        cents = min(97, max(50, 50 + second * 50 // WINDOW_S))
        at_ms = (start_s + second) * 1_000
        raw = {
            "market": CONDITION,
            "asset_id": TOKENS[0],
            "timestamp": str(at_ms + 240),
            "hash": f"{second:08x}",
            "bids": [{"price": f"0.{cents - 1 - n:02}", "size": "200"} for n in (2, 1, 0)],
            "asks": [{"price": f"0.{cents + n:02}", "size": "200"} for n in (2, 1, 0)],
            "event_type": "book",
        }
        lines.append(json.dumps({"recv": at_ms / 1_000 + 0.3, "raw": raw}) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"btc-updown-5m-{start_s}.jsonl.xz"
    with lzma.open(path, "wt") as file:
        file.writelines(lines)
    return path


def market_list(path: Path, start_s: int) -> Path:
    """What a list of markets says of that market."""
    market = {
        "slug": f"btc-updown-5m-{start_s}",
        "conditionId": CONDITION,
        "outcomes": '["Up", "Down"]',
        "clobTokenIds": json.dumps(TOKENS),
        "outcomePrices": '["1", "0"]',
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
    }
    path.write_bytes(gzip.compress(json.dumps(market).encode() + b"\n"))
    return path


def trades_zip(path: Path, start_s: int) -> Path:
    """Spot trades as data.binance.vision packs them, one a second, from ten minutes before `start_s`; us since 2025."""
    is_aggregated = "aggTrades" in path.name
    lines = []
    for n in range(600 + WINDOW_S):
        price = SPOT_USD + n / 10
        at_us = (start_s - 600 + n) * 1_000_000
        ids = f"{n + 1},{price:.2f},0.5,{n + 1},{n + 1}" if is_aggregated else f"{n + 1},{price:.2f},0.5,1.0"
        lines.append(f"{ids},{at_us},{bool(n % 2)},True\n")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.stem + ".csv", "".join(lines))
    return path


def spot_frames(path: Path, start_s: int) -> Path:
    """Frames of the spot exchange as `venue.tape` serves them: a trade and a quote every 200 ms around one window."""
    lines = []
    for n in range(5 * (120 + WINDOW_S)):
        at_ms = (start_s - 120) * 1_000 + 200 * n
        price = f"{SPOT_USD + n / 10:.2f}"
        trade = {
            "e": "trade",
            "E": at_ms,
            "s": "BTCUSDT",
            "t": n + 1,
            "p": price,
            "q": "0.5",
            "T": at_ms,
            "m": False,
            "M": True,
        }
        quote = {
            "u": n + 1,
            "s": "BTCUSDT",
            "b": price,
            "B": "2.0",
            "a": f"{SPOT_USD + n / 10 + 0.01:.2f}",
            "A": "2.0",
        }
        for stream, data in (("btcusdt@trade", trade), ("btcusdt@bookTicker", quote)):
            lines.append(f"{at_ms * 1_000_000} {json.dumps({'stream': stream, 'data': data})}\n")
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


def own_strategy(checkout: Path, page: str) -> None:
    """Save the page's example of an own strategy as the page says."""
    (checkout / "my_conf" / "strategy").mkdir(parents=True)
    (checkout / "my_conf" / "strategy" / "mine.yaml").write_text(
        page.split("```yaml\n")[1].split("```", maxsplit=1)[0]
    )
    (checkout / "my_module.py").write_text(page.split("```python\n")[1].split("```", maxsplit=1)[0])
