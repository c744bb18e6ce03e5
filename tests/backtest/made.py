"""Small tapes made of plain events: windows whose prices, stamps and gaps a test chooses.

A tape has what a recording has: the spot exchange's past, spot, oracle, books, strike, close and outcome, all as
events.  `Script` holds who knows what when: prices as functions of the exchange's time, delays until they are received.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenario import make_spec

from polybot._fast.event import EventBuffer, EventFlag, EventKind, Side, StrikeSource
from polybot.market.spec import MarketSpec
from polybot.tape.manifest import new_manifest
from polybot.tape.packer import Packer
from polybot.tape.records import EntryKind
from polybot.tape.writer import TapeSettings

NS = 1_000_000_000
START_S = 1_795_337_100  # 2026-11-22 08:45:00 UTC, a boundary of 5m and 15m windows
MICRO = 1_000_000
END, PAST = int(EventFlag.F_END), int(EventFlag.F_SNAPSHOT | EventFlag.F_AGG | EventFlag.F_END)
SYMBOLS = {"spot": "BTCUSDT", "oracle": "btc/usd", "polybolt": "btcusd"}


@dataclass
class Script:
    """One window; `spot` and `up` are prices at seconds after its start, USD and ticks."""

    spot: Callable[[float], float] = lambda at_s: 78_800.0
    up: Callable[[float], int] = lambda at_s: 5_000  # mid of Up
    strike: float | None = 78_800.0
    outcome: int | None = 0
    spot_delay_s: float = 0.0  # from the exchange's stamp to receipt
    spot_step_s: float = 0.5
    oracle_delay_s: float = 1.3
    warm_s: int = 900
    begin_s: int = 60  # before the start the tape begins
    size_ushares: int = 400 * MICRO
    has_spot: bool = True
    has_oracle: bool = True
    has_book: bool = True
    spec: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    planted: Callable[[EventBuffer, MarketSpec], None] | None = None  # further events, any time


def make_tape(folder: Path, script: Script | None = None, *, number: int = 0, name: str = "") -> Path:
    """Write the tape of window `number` after START_S below a folder."""
    script = script or Script()
    start_s = START_S + 300 * number
    slug = name or f"btc-updown-5m-{start_s}"
    told = {"slug": slug, "start_ns": start_s * NS, "end_ns": (start_s + 300) * NS, **script.spec}
    spec = make_spec(**told)
    manifest = new_manifest(
        kind="market", name=slug, created_ns=start_s * NS, source={"label": "made"}, symbols=SYMBOLS, spec=spec
    )
    strike = script.strike
    manifest["strike"] = None if strike is None else {"value": strike, "source": 2, "stamp_ns": spec.start_ns}
    manifest["outcome"] = script.outcome
    manifest.update(script.manifest)
    packer = Packer(folder, TapeSettings(tail_bytes=1 << 16, tails_count=64))
    tape = packer.open(slug, manifest)
    rows = _events(script, spec).to_numpy()
    order = rows["recv_ns"].argsort(kind="stable")
    for row in rows[order]:
        assert tape.own(int(row["recv_ns"]), EntryKind.EVENTS, row.tobytes())
    tape.save(**manifest)
    tape.close(int(rows["recv_ns"].max()), state="complete")
    assert tape.done.is_set()
    return tape.folder


def _events(script: Script, spec: MarketSpec) -> EventBuffer:
    out = EventBuffer(8_192)
    start_ns, end_ns = spec.start_ns, spec.end_ns
    length_s = (end_ns - start_ns) / NS
    first_ns = start_ns - script.begin_s * NS
    if script.has_spot:
        for k in range(script.warm_s, 0, -1):
            at_s = float(-script.begin_s - k)
            price = script.spot(at_s) + 4.0 * (k % 3 - 1)  # a past that moves: there is a volatility
            _trade(out, price, venue_ns=start_ns + round(at_s * NS), recv_ns=first_ns, flags=PAST)
        at_s = float(-script.begin_s)
        while at_s < length_s + 2.0:
            stamp_ns = start_ns + round(at_s * NS)
            recv_ns = stamp_ns + round((0.005 + script.spot_delay_s) * NS)
            _trade(out, script.spot(at_s) + 1.5 * (round(at_s * 2) % 3 - 1), venue_ns=stamp_ns, recv_ns=recv_ns)
            at_s += script.spot_step_s
    for second in range(-script.begin_s, round(length_s) + 3):
        stamp_ns = start_ns + second * NS
        if script.has_oracle:
            recv_ns = stamp_ns + round(script.oracle_delay_s * NS)
            out.add(EventKind.EV_ORACLE_SPOT, recv_ns=recv_ns, venue_ns=stamp_ns, flags=END, x=script.spot(second))
        if script.has_book and second >= -30:
            _book(out, script.up(second), script.size_ushares, stamp_ns + 20_000_000)
    if script.strike is not None:
        told = {"x": script.strike, "i": StrikeSource.STRIKE_RTDS_TWAP, "venue_ns": start_ns}
        out.add(EventKind.EV_STRIKE, recv_ns=start_ns + 2 * NS, market=0, **told)
    out.add(EventKind.EV_MARKET_CLOSE, recv_ns=end_ns, market=0)
    if script.outcome is not None:
        out.add(EventKind.EV_OUTCOME, recv_ns=end_ns + 40 * NS, market=0, outcome=script.outcome)
    if script.planted is not None:
        script.planted(out, spec)
    return out


def _trade(out: EventBuffer, price: float, *, venue_ns: int, recv_ns: int, flags: int = END) -> None:
    out.add(EventKind.EV_SPOT_TRADE, recv_ns=recv_ns, venue_ns=venue_ns, flags=flags, x=price, y=0.01)


def _book(out: EventBuffer, mid: int, size: int, at_ns: int) -> None:
    """Two levels a side around the middle of Up."""
    out.add(EventKind.EV_BOOK_SNAPSHOT, recv_ns=at_ns, venue_ns=at_ns, market=0, i=100)
    levels = [(Side.BUY, mid - 100), (Side.BUY, mid - 200), (Side.SELL, mid + 100), (Side.SELL, mid + 200)]
    for k, (side, ticks) in enumerate(levels):
        flags = END if k == len(levels) - 1 else 0
        out.add(
            EventKind.EV_BOOK_LEVEL, recv_ns=at_ns, venue_ns=at_ns, market=0, side=side, i=ticks, j=size, flags=flags
        )
