"""A market in a known state for engine, risk and strategy tests: one asset, one 5m window, fed by hand.

Times are seconds relative to the window's start; prices are what the tests say, nothing is random.
"""

from typing import Any

import numpy as np

from polybot._fast.basis import OracleBasis
from polybot._fast.engine import Engine
from polybot._fast.event import EventBuffer, EventFlag, EventKind, StrikeSource
from polybot._fast.regime import RegimeClassifier
from polybot._fast.risk import Risk
from polybot._fast.state import MarketState, SpotState
from polybot._fast.vol import SampledEwmaVol
from polybot._fast.vwap import RollingVwap
from polybot.market.spec import MarketSpec

NS = 1_000_000_000
START_NS = 1_790_000_100 * NS
SHARE = 1_000_000
USD = 1_000_000

Levels = list[tuple[int, int]]


def make_spec(**changes: Any) -> MarketSpec:
    """A BTC 5m market under the twap rule with today's fees."""
    values: dict[str, Any] = {
        "slug": "btc-updown-5m-1790000100",
        "asset": "btc",
        "interval": "5m",
        "condition_id": "0x" + "ab" * 32,
        "token_up": "71321045679252212594626385532706912750332728571942532289631379312455583992563",
        "token_down": "52114319501245915516055106046884209969926127482827954674443846427813813222426",
        "start_ns": START_NS,
        "end_ns": START_NS + 300 * NS,
        "tick_size_ticks": 100,
        "min_size_ushares": 5 * SHARE,
        "fees_enabled": True,
        "fee_rate_ppm": 70_000,
        "fee_exponent": 1,
        "taker_delay_ms": 150,
        "neg_risk": False,
        "rule": "twap",
        "twap_window_s": 60,
        "resolution_source": "https://data.chain.link/streams/btc-usd-twap-60s-streams",
    }
    values.update(changes)
    return MarketSpec(**values)


def make_risk(**changes: Any) -> Risk:
    """The standard risk of a 1,000 USD bankroll with cash known."""
    values: dict[str, Any] = {
        "bankroll_usd": 1_000 * USD,
        "max_exposure_frac": 0.15,
        "daily_loss_halt_frac": 0.03,
        "weekly_loss_halt_frac": 0.08,
        "spot_max_age_ns": NS,
        "stale_feed_ns": 5 * NS,
        "oracle_max_age_ns": 5 * NS,
        "collar_ticks": 1_000,
        "orders_per_s": 10.0,
    }
    values.update(changes)
    risk = Risk(**values)
    risk.set_cash(1_000 * USD)
    return risk


class Scenario:
    """An engine with one market and the means to feed it."""

    def __init__(
        self,
        strategies: list[Any],
        *,
        risk: Risk | None = None,
        spec: MarketSpec | None = None,
        **engine: Any,
    ):
        self.spot = SpotState(
            SampledEwmaVol(floor_annual=0.30), RollingVwap(), RegimeClassifier(), OracleBasis()
        )
        self.risk = risk if risk is not None else make_risk()
        self.engine = Engine(spot=self.spot, risk=self.risk, strategies=strategies, **engine)
        for index in range(len(strategies)):
            self.risk.set_limits(
                index, per_trade_frac=0.02, total_frac=0.08, cooldown_ns=200_000_000, max_orders=50
            )
        self.spec = spec if spec is not None else make_spec()
        self.market: MarketState = self.engine.open_market(0, self.spec, order_seq_base=1_000)
        self.events = EventBuffer()
        self.price = 100_000.0

    def at(self, seconds: float) -> int:
        """ns of a time relative to the window's start."""
        return self.spec.start_ns + round(seconds * NS)

    def go(self) -> np.ndarray[Any, Any]:
        """Process what was added; the commands as an array."""
        commands = self.engine.process(self.events).to_numpy()
        self.events.reset()
        return commands

    def trade(self, t: float, price: float, *, stamp: float | None = None, **fields: Any) -> None:
        """One live spot trade; `stamp` is the exchange's own time of it, t unless told."""
        self.price = price
        self.events.add(
            EventKind.EV_SPOT_TRADE,
            recv_ns=self.at(t),
            venue_ns=self.at(t if stamp is None else stamp),
            flags=EventFlag.F_END,
            x=price,
            y=0.01,
            **fields,
        )

    def oracle(self, t: float, value: float) -> None:
        """One oracle spot print and one twap print at a whole second."""
        for kind, window in ((EventKind.EV_ORACLE_SPOT, 0), (EventKind.EV_ORACLE_TWAP, 60)):
            self.events.add(
                kind, recv_ns=self.at(t), venue_ns=self.at(t), flags=EventFlag.F_END, x=value, i=window
            )

    def book(
        self, t: float, bids: Levels, asks: Levels, market: int = 0, *, stamp: float | None = None
    ) -> None:
        """A whole Up book: (price_ticks, shares) per level; `stamp` is the venue's own time of it."""
        told_ns = 0 if stamp is None else self.at(stamp)
        rows = [(0, ticks, shares) for ticks, shares in bids] + [(1, ticks, shares) for ticks, shares in asks]
        self.events.add(
            EventKind.EV_BOOK_SNAPSHOT,
            recv_ns=self.at(t),
            venue_ns=told_ns,
            market=market,
            flags=0 if rows else EventFlag.F_END,
        )
        for place, (side, ticks, shares) in enumerate(rows):
            self.events.add(
                EventKind.EV_BOOK_LEVEL,
                recv_ns=self.at(t),
                venue_ns=told_ns,
                market=market,
                side=side,
                i=ticks,
                j=shares * SHARE,
                flags=EventFlag.F_END if place == len(rows) - 1 else 0,
            )

    def strike(self, value: float, t: float = 0.0) -> None:
        """The strike as captured."""
        self.events.add(
            EventKind.EV_STRIKE,
            recv_ns=self.at(t),
            venue_ns=self.spec.start_ns,
            market=0,
            x=value,
            i=StrikeSource.STRIKE_RTDS_TWAP,
        )

    def timer(self, t: float) -> None:
        """One heartbeat."""
        self.events.add(EventKind.EV_TIMER, recv_ns=self.at(t))

    def still(self, first: float, last: float, *, price: float | None = None, step: float = 0.1) -> None:
        """Heartbeats over [first, last], with a trade and an oracle print at every whole second; processed at once."""
        count = round((last - first) / step)
        for k in range(count + 1):
            t = round(first + k * step, 6)
            if t == int(t):
                level = (self.price if price is None else price) + (int(t) % 2) - (int(self.price) % 2)
                self.trade(t, level)
                self.oracle(t, level)
            self.timer(t)
        self.go()

    def fill(
        self,
        t: float,
        seq: int,
        ticks: int,
        shares: int,
        *,
        key: int = 1,
        status: int = 1,
        maker: bool = False,
    ) -> None:
        """One fill of `shares` micro-shares."""
        self.events.add(
            EventKind.EV_FILL,
            recv_ns=self.at(t),
            market=0,
            seq=seq,
            i=ticks,
            j=shares,
            x=float(status),
            y=float(key),
            flags=EventFlag.F_MAKER if maker else 0,
        )

    def update(self, t: float, seq: int, status: int, matched: int = -1, *, flags: int = 0) -> None:
        """One order update."""
        self.events.add(
            EventKind.EV_ORDER_UPDATE, recv_ns=self.at(t), market=0, seq=seq, i=status, j=matched, flags=flags
        )

    def outcome(self, t: float, winner: int) -> None:
        """The venue's outcome."""
        self.events.add(EventKind.EV_OUTCOME, recv_ns=self.at(t), market=0, outcome=winner)

    def warm(
        self, until: float = 20.0, *, strike: float | None = 100_000.0, bid: int = 4_900, ask: int = 5_000
    ) -> None:
        """A minute of still market up to `until`: spot 100,000 +-1, oracle equal, a book of 1,000 shares each side."""
        first = int(until) - 60
        for second in range(first, int(until) + 1):
            price = 100_000.0 + (second % 2)
            self.trade(second, price)
            self.oracle(second, price)
            if second == first and strike is not None:
                self.strike(strike)
        self.book(until, [(bid, 1_000)], [(ask, 1_000)])
        self.go()


def rows(commands: np.ndarray[Any, Any], kind: int) -> np.ndarray[Any, Any]:
    """Commands of one kind."""
    return commands[commands["kind"] == kind]


def blocked_by(scenario: Scenario, index: int = 0, *, unasked: tuple[str, ...] = ()) -> str:
    """Name of the gate that blocks a strategy; every gate before it passed and none after it was reached.

    `unasked`: gates that this setting of the strategy does not ask.  "" when no gate blocks.
    """
    names = scenario.engine.strategies[index].gate_names
    results = {
        name: row[3]
        for name, row in zip(names, scenario.market.gate_rows(index), strict=False)
        if name not in unasked
    }
    asked = [name for name, result in results.items() if result != -1]
    assert asked == list(results)[: len(asked)]
    assert all(results[name] == 1 for name in asked[:-1])
    return asked[-1] if results[asked[-1]] == 0 else ""
