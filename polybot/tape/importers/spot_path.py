"""Spot and oracle prices for a recording of books that has none: implied from its mids, or cut out of a spot tape.

Theory of the implied path.  Under rules `point` and `candle` p = Phi((ln(s/K) - v^2/2) / v), v = sigma sqrt(tau)
(polybot._fast.pricing), so s = K exp(v Phi^-1(p) + v^2/2).  That is circular: priced with this sigma the model says
what the market said.  Edges against such a path show mechanics and prove nothing about prices.
Owns events only (EV_SPOT_TRADE, EV_ORACLE_SPOT); must not read files of books.  Called by books.
"""

import math
from collections import deque
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from polybot._fast.event import EVENT_DTYPE, EventBuffer, EventFlag, EventKind, Side
from polybot._fast.normal import norm_ppf
from polybot.errors import TapeError
from polybot.market.spec import MarketSpec
from polybot.tape.importers.binance_zip import import_binance, is_binance_file
from polybot.tape.manifest import MANIFEST_NAME
from polybot.tape.reader import open_tape
from polybot.tape.records import EntryKind

__all__ = ["ImpliedPath", "NoPath", "SpotPath", "SpotTrades", "TapedPath", "implied_spot", "read_trades"]

NS = 1_000_000_000
YEAR_S = 365.25 * 86_400.0  # as everywhere in the model
MIN_TRADE_NS = NS  # a price is said again so often while the mid rests
MAX_FILLED_S = 60  # seconds without news that still get an oracle price; a longer silence is one
RULES = ("point", "candle")  # those whose formula has an inverse in closed form at every tau
NOTHING_RECEIVED = "receive times"  # listed as missing by a source that has only the exchange's stamps

Events = npt.NDArray[np.void]


class SpotTrades:
    """Trades of a spot tape or file: EVENT_DTYPE in order of receipt, and where they are from."""

    def __init__(self, events: Events, *, name: str, has_receive_times: bool) -> None:
        self.events = events
        self.name = name
        self.has_receive_times = has_receive_times


class SpotPath(Protocol):
    """Where spot and oracle prices of one market come from, asked frame by frame."""

    strike: float | None  # what the path itself takes for the strike, None: nothing

    def before(self, recv_ns: int, out: EventBuffer) -> None:
        """Append what was received before or at recv_ns, ahead of a frame received then."""
        ...

    def after(self, mid: float, venue_ns: int, recv_ns: int, out: EventBuffer) -> None:
        """Append what follows from Up's mid (a probability, NaN: none) of a frame."""
        ...


class NoPath:
    """No spot prices at all."""

    strike: float | None = None

    def before(self, recv_ns: int, out: EventBuffer) -> None:
        """Nothing."""

    def after(self, mid: float, venue_ns: int, recv_ns: int, out: EventBuffer) -> None:
        """Nothing."""


def implied_spot(mid: float, *, strike: float, sigma: float, tau_s: float) -> float:
    """Spot at which rule `point` prices Up at `mid`; sigma per sqrt(s), tau_s > 0; see the theory above."""
    v = sigma * math.sqrt(tau_s)
    return strike * math.exp(v * norm_ppf(mid) + 0.5 * v * v)


class ImpliedPath:
    """A trade whenever the mid moves (and once a second), the same price as the oracle's a moment later."""

    def __init__(self, spec: MarketSpec, *, strike: float, sigma_annual: float, oracle_delay_ms: int) -> None:
        """Raises ValueError for a rule whose formula cannot be inverted at every tau."""
        if spec.rule not in RULES:
            raise ValueError(f"rule {spec.rule or 'unknown'} averages prices: a mid does not tell the spot")
        self.strike: float | None = strike
        self._end_ns = spec.end_ns
        self._strike = strike
        self._sigma = sigma_annual / math.sqrt(YEAR_S)
        self._oracle = _Oracle(oracle_delay_ms)
        self._mid = math.nan
        self._trade_ns = 0
        self._count = 0
        self._price = 0.0

    def before(self, recv_ns: int, out: EventBuffer) -> None:
        """Oracle prices whose delay is over."""
        self._oracle.tell(recv_ns, out)

    def after(self, mid: float, venue_ns: int, recv_ns: int, out: EventBuffer) -> None:
        """The trade that this mid implies."""
        tau_s = (self._end_ns - recv_ns) / NS
        if tau_s <= 0.0 or math.isnan(mid):
            return
        self._oracle.note(venue_ns, self._price, recv_ns)
        if mid == self._mid and recv_ns - self._trade_ns < MIN_TRADE_NS:
            return
        self._mid, self._trade_ns = mid, recv_ns
        price = implied_spot(mid, strike=self._strike, sigma=self._sigma, tau_s=tau_s)
        side = Side.SELL if price < self._price else Side.BUY
        self._count += 1
        self._price = price
        _add_trade(out, price, 1.0, side=side, number=self._count, venue_ns=venue_ns, recv_ns=recv_ns)


class TapedPath:
    """Trades of a spot tape around one window; the oracle is taken to be the last trade of each second."""

    def __init__(
        self, spec: MarketSpec, trades: SpotTrades, *, warm_s: float, delay_ms: int, oracle_delay_ms: int
    ) -> None:
        """Raises TapeError when the tape has no trade just before the window or none in it."""
        recv_ns = trades.events["recv_ns"].astype(np.int64)
        recv_ns = recv_ns + (0 if trades.has_receive_times else delay_ms * 1_000_000)
        first, begin, end = np.searchsorted(recv_ns, [spec.start_ns - int(warm_s * NS), spec.start_ns, spec.end_ns])
        if begin in (first, end):
            raise TapeError(f"{trades.name}: no trades around {spec.slug}: it does not overlap in time")
        self._rows = trades.events[first:end].copy()
        self._rows["recv_ns"] = recv_ns[first:end]
        self._at = 0
        self._oracle = _Oracle(oracle_delay_ms)
        self.strike: float | None = float(trades.events["x"][begin - 1])
        self._price = 0.0

    def before(self, recv_ns: int, out: EventBuffer) -> None:
        """Trades received so far; at the first call those of the past, as a warm start gives them."""
        is_past = self._at == 0
        upto = int(np.searchsorted(self._rows["recv_ns"], recv_ns, side="right"))
        rows = self._rows[self._at : upto].copy()
        self._at = upto
        if is_past:
            rows["flags"] |= np.uint16(EventFlag.F_SNAPSHOT)
            rows["recv_ns"] = recv_ns
        for index, row in enumerate(rows):
            at_ns = int(row["recv_ns"])
            self._oracle.note(int(row["venue_ns"]), self._price, at_ns)
            self._oracle.tell(at_ns, out)
            self._price = float(row["x"])
            out.extend(rows[index : index + 1])
        self._oracle.tell(recv_ns, out)

    def after(self, mid: float, venue_ns: int, recv_ns: int, out: EventBuffer) -> None:
        """Mids say nothing here."""


class _Oracle:
    """One price a second, told a while after its second."""

    def __init__(self, delay_ms: int) -> None:
        self._delay_ns = delay_ms * 1_000_000
        self._second = 0
        self._waiting: deque[tuple[int, int, float]] = deque()  # due, stamp, price

    def note(self, venue_ns: int, price: float, recv_ns: int) -> None:
        """Spot has reached venue_ns, as is known at recv_ns, and until then it was `price` (0: not known)."""
        newest = venue_ns // NS
        if price > 0.0 and self._second:
            for second in range(max(self._second + 1, newest - MAX_FILLED_S), newest + 1):
                self._waiting.append((max(second * NS + self._delay_ns, recv_ns), second * NS, price))
        if price > 0.0:
            self._second = max(self._second, newest)

    def tell(self, recv_ns: int, out: EventBuffer) -> None:
        """Append the prices that are due at recv_ns."""
        while self._waiting and self._waiting[0][0] <= recv_ns:
            due_ns, stamp_ns, price = self._waiting.popleft()
            out.add(
                EventKind.EV_ORACLE_SPOT, recv_ns=due_ns, venue_ns=stamp_ns, flags=EventFlag.F_END, x=price, j=stamp_ns
            )


def read_trades(source: str) -> SpotTrades:
    """Read all trades of a tape's folder or of a Binance file; raises TapeError when it is neither."""
    path = Path(source)
    if (path / MANIFEST_NAME).exists():
        tape = open_tape(path)
        rows = np.array(tape.events[tape.events["kind"] == EventKind.EV_SPOT_TRADE])
        missing = tape.manifest["missing"]
    elif path.is_file() and is_binance_file(path):
        made = import_binance(path, symbols={})
        items = [item.payload for item in made.items if item.kind == EntryKind.EVENTS]
        rows = np.frombuffer(b"".join(items), EVENT_DTYPE)
        missing = made.missing
    else:
        raise TapeError(f"record.assume.spot={source}: neither a tape nor a Binance file of trades")
    if not len(rows):
        raise TapeError(f"record.assume.spot={source}: no spot trades in it")
    if np.any(np.diff(rows["recv_ns"]) < 0):
        rows = rows[np.argsort(rows["recv_ns"], kind="stable")]
    return SpotTrades(rows, name=path.name, has_receive_times=NOTHING_RECEIVED not in missing)


def _add_trade(
    out: EventBuffer, price: float, quantity: float, *, side: int, number: int, venue_ns: int, recv_ns: int
) -> None:
    out.add(
        EventKind.EV_SPOT_TRADE,
        recv_ns=recv_ns,
        venue_ns=venue_ns,
        side=side,
        flags=EventFlag.F_END,
        seq=number,
        x=price,
        y=quantity,
        i=number,
        j=venue_ns,
    )
