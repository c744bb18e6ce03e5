"""The decision maker in plain Python: frames and facts in, the fate of every signal and every cancel out.

Owns the order of things as docs/ARCHITECTURE.md tells it: a message is applied whole, then the gates no strategy may
skip, then the strategies once, side coherence, risk, dispatch; fills and updates move orders, positions and exposure;
outcomes settle.  Not here: journal, diagnostics, book resyncs, flattening, sales, limits of Greeks.
Called by `sides.Slow`.
"""

import math
from collections.abc import Mapping
from typing import Any

from bench.reference.cross import cross_timeframe
from bench.reference.market import Market, Moves
from bench.reference.pricing import fee_micro_usd
from bench.reference.risk import Limits, Order, Risk, notional
from bench.reference.spot import Spot
from bench.reference.strategies import STRATEGIES, Signal
from bench.reference.wire import ClobReader, OracleReader, SpotReader

__all__ = ["Fate", "ReferenceEngine"]

MILLION = 1_000_000
CANCEL_AGAIN_NS = 2_000_000_000
PASSIVE = frozenset({"lp_extreme"})
CROSS = "cross_timeframe"
# ("signal", market, strategy, outcome, order type, post-only, ticks, micro-shares, edge, confidence, fate, order_seq)
# ("cancel", market, order_seq)
Fate = tuple[Any, ...]


class ReferenceEngine:
    """All trading state of one asset; `settings` by strategy as in conf/strategy."""

    def __init__(
        self,
        *,
        spot: Spot,
        limits: Limits,
        settings: Mapping[str, dict[str, Any]],
        symbol: str,
        oracle_symbol: str,
        bankroll_usd: float,
        kelly_cap: float,
        end_guard_s: float,
        oracle_lag_s: float,
        max_missing_s: int,
    ) -> None:
        self.spot, self.risk, self.settings = spot, Risk(limits), settings
        self.names = sorted(name for name in settings if settings[name]["enabled"])
        self.spot_reader, self.clob_reader = SpotReader(symbol), ClobReader()
        self.oracle_reader = OracleReader(oracle_symbol)
        self.bankroll_usd, self.kelly_cap = bankroll_usd, kelly_cap
        self.end_guard_ns = int(end_guard_s * 1e9)
        self.oracle_lag_s, self.max_missing_s = oracle_lag_s, max_missing_s
        self.markets: dict[int, Market] = {}
        self.orders: dict[int, Order] = {}
        self.out: list[Fate] = []

    # -- side records -----------------------------------------------------------------------------

    def open_market(self, index: int, spec: Any, *, order_seq_base: int, observed: bool = False) -> None:
        """Take up a window; an observed one is never traded."""
        fade = self.settings["convexity_fade"]
        moves = Moves(fade["lookback_s"], fade["overreaction_half_life_s"], fade["overreaction_min_samples"])
        self.markets[index] = Market(
            index, spec, order_seq_base, self.bankroll_usd, self.kelly_cap, self.oracle_lag_s, moves, observed
        )
        self.clob_reader.add_market(index, spec.token_up, spec.token_down)

    def drop_market(self, index: int) -> None:
        """Forget a settled window and its orders."""
        for order in self.markets.pop(index).orders:
            self._hold(order, 0)
        self.orders = {seq: order for seq, order in self.orders.items() if order.market != index}
        self.clob_reader.remove_market(index)

    # -- frames -----------------------------------------------------------------------------------

    def on_spot_frame(self, payload: bytes, recv_ns: int) -> list[Fate]:
        """A frame of the spot exchange."""
        self.out = []
        message = self.spot_reader.read(payload)
        if message is None:
            return self.out
        if message[0] == "quote":
            self.spot.on_quote(message[1], message[2], recv_ns)
            return self.out
        self.spot.on_trade(message[1], message[2], message[3], recv_ns)
        for m in self.markets.values():
            if not m.is_closed:
                self._evaluate(m, recv_ns, is_trade=True)
        return self.out

    def on_oracle_frame(self, payload: bytes, recv_ns: int) -> list[Fate]:
        """A frame of the oracle."""
        self.out = []
        for price, venue_ns in self.oracle_reader.read(payload):
            self.spot.on_oracle(price, venue_ns, recv_ns)
        return self.out

    def on_clob_frame(self, payload: bytes, recv_ns: int) -> list[Fate]:
        """A frame of the market channel: books first, then whoever looks at any of them is asked."""
        self.out = []
        touched: dict[int, int] = {}  # market -> venue ns
        for message in self.clob_reader.read(payload):
            m = self.markets[message[1]]
            if message[0] == "quote":
                touched.setdefault(m.index, 0)
                continue
            touched[m.index] = message[2]
            if message[0] == "book":
                m.book.replace(*message[3:])
            else:
                m.book.change(message[3])
        if not touched:
            return self.out
        for index, stamp_ns in touched.items():
            self.markets[index].book_ns = recv_ns
            self.markets[index].book.end_message(stamp_ns, self.spot.last)
        for m in self.markets.values():
            if not m.is_closed and (m.index in touched or CROSS in self.names):
                self._evaluate(m, recv_ns, is_trade=False, is_own_book=m.index in touched)
        return self.out

    # -- facts ------------------------------------------------------------------------------------

    def on_timer(self, now_ns: int) -> list[Fate]:
        """The heartbeat: windows slide, moves are noted, orders whose time is up are cancelled, halts are checked."""
        self.out = []
        self.spot.on_timer(now_ns)
        self.risk.roll(now_ns)
        marked = 0
        for m in self.markets.values():
            marked += m.marked()
            if m.is_closed:
                self._cancel_resting(m, now_ns, all_of_them=True)
                continue
            is_stopped = self._gate(m, now_ns) != ""
            fair = m.price.p_up if m.price else math.nan
            m.moves.note(math.nan if is_stopped else m.book.mid(), fair, now_ns)
            if m.orders:
                blocked = self.risk.check_account(m, self.spot, now_ns, is_taker=False) != ""
                self._cancel_resting(m, now_ns, all_of_them=is_stopped or blocked)
        self.risk.marked_usd = marked
        self.risk.check_halts()
        return self.out

    def on_strike(self, market: int, strike: float) -> None:
        """The strike as captured."""
        self.markets[market].strike = strike

    def on_balance(self, micro_usd: int) -> None:
        """Collateral as the venue tells it."""
        self.risk.cash = micro_usd

    def on_close(self, market: int, now_ns: int) -> None:
        """The window is over: nothing is asked any more, everything that rests is cancelled in one go."""
        m = self.markets[market]
        m.is_closed = True
        for order in m.orders:
            order.cancel_ns = now_ns + CANCEL_AGAIN_NS

    def on_update(self, seq: int, status: str, matched: int) -> None:
        """The venue's word on an order."""
        order = self.orders[seq]
        order.matched = max(order.matched, matched)
        if not order.has_ended:
            order.status = status
        self._after_change(order)

    def on_fill(self, seq: int, *, ticks: int, ushares: int, maker: bool) -> None:
        """A trade of ours was matched: cost, position, cash, exposure."""
        order = self.orders[seq]
        m = self.markets[order.market]
        fee = 0
        if not maker and m.spec.fees_enabled:
            fee = fee_micro_usd(ushares, ticks, m.spec.fee_rate_ppm, m.spec.fee_exponent)
        paid = notional(ushares, ticks)
        if order.outcome == 1:  # a pair is exactly 1 USD: Down pays what Up leaves
            paid = ushares - notional(ushares, 10_000 - ticks)
        order.filled += ushares
        order.matched = max(order.matched, order.filled)
        m.shares[order.outcome] += ushares
        m.cost[order.outcome] += paid + fee
        m.strategy_shares[order.strategy][order.outcome] += ushares
        m.strategy_cost[order.strategy] += paid + fee
        self.risk.held[order.strategy] += paid + fee
        if self.risk.cash >= 0:
            self.risk.cash = max(0, self.risk.cash - paid - fee)
        self._after_change(order)

    def on_outcome(self, market: int, winner: int, now_ns: int) -> None:
        """The venue's outcome: payout less cost is the day's and the week's result."""
        m = self.markets[market]
        m.is_closed = True
        self.risk.marked_usd = sum(other.marked() for other in self.markets.values() if other is not m)
        self.risk.roll(now_ns)
        for strategy, cost in m.strategy_cost.items():
            result = m.strategy_shares[strategy][winner] - cost
            self.risk.day_usd += result
            self.risk.week_usd += result
            self.risk.held[strategy] -= cost
        m.shares, m.cost = [0, 0], [0, 0]
        self.risk.check_halts()

    # -- decisions --------------------------------------------------------------------------------

    def _gate(self, m: Market, now_ns: int) -> str:
        """What no strategy may skip; "" when the window can be traded now."""
        if m.is_observed:
            return "OBSERVED"
        if now_ns < m.spec.start_ns:
            return "MARKET_NOT_OPEN"
        if now_ns >= m.spec.end_ns - self.end_guard_ns:
            return "MARKET_CLOSING"
        if math.isnan(m.strike):
            return "STRIKE_UNKNOWN"
        if not m.book.is_known:
            return "NO_BOOK"
        if m.book.is_crossed:
            return "BOOK_CROSSED"
        if math.isnan(self.spot.sigma):
            return "NOT_WARM"
        if not m.reprice(self.spot, now_ns):
            return "NO_PRICE"
        return "STALE_ORACLE" if m.missing_s > self.max_missing_s else ""

    def _evaluate(self, m: Market, now_ns: int, *, is_trade: bool, is_own_book: bool = False) -> None:
        if self._gate(m, now_ns):
            return
        self._cancel_resting(m, now_ns, all_of_them=False)
        signals = []
        for name in self.names:
            if name == CROSS:
                signal = (
                    None
                    if is_trade
                    else cross_timeframe(m, self.spot, self.settings[name], self.markets.values())
                )
            else:
                ask, on_trade, on_book = STRATEGIES[name]
                wanted = on_trade if is_trade else on_book and is_own_book
                signal = ask(m, self.spot, self.settings[name]) if wanted else None
            if signal is not None:
                signal.strategy = name
                signals.append(signal)
        if signals:
            self._decide(m, signals, now_ns)

    def _decide(self, m: Market, signals: list[Signal], now_ns: int) -> None:
        """Side coherence, the best first, risk, dispatch; every signal is told with its fate."""
        active = [s for s in signals if s.strategy not in PASSIVE]
        if m.house < 0 and {s.outcome for s in active} == {0, 1}:
            scores = [sum(s.score for s in active if s.outcome == outcome) for outcome in (0, 1)]
            loser = 1 if scores[0] >= scores[1] else 0
            for s in active:
                if s.outcome == loser:
                    s.fate = "DECONFLICTED"
        for s in sorted(signals, key=lambda s: -s.score):
            is_passive = s.strategy in PASSIVE
            if s.fate == "DISPATCHED" and not is_passive and m.house not in (-1, s.outcome):
                s.fate = "HOUSE_SIDE"
            if s.fate == "DISPATCHED":
                s.fate = self.risk.check(m, self.spot, s, now_ns)
            seq = 0
            if s.fate == "DISPATCHED":
                seq = self._dispatch(m, s, now_ns)
                if m.house < 0 and not is_passive:
                    m.house, m.house_seq = s.outcome, seq
            self.out.append(
                (
                    "signal",
                    m.index,
                    s.strategy,
                    s.outcome,
                    s.order_type,
                    s.post_only,
                    s.ticks,
                    s.ushares,
                    s.edge,
                    s.confidence,
                    s.fate,
                    seq,
                )
            )

    def _dispatch(self, m: Market, s: Signal, now_ns: int) -> int:
        seq, m.order_seq = m.order_seq, m.order_seq + 1
        unit_fee = 0
        if not s.post_only and m.spec.fees_enabled:
            unit_fee = fee_micro_usd(MILLION, s.ticks, m.spec.fee_rate_ppm, m.spec.fee_exponent) + 10
        expires_ns = now_ns + s.life_ns if s.life_ns else 0
        order = Order(
            seq,
            m.index,
            s.strategy,
            s.outcome,
            s.ticks,
            s.ushares,
            s.order_type,
            s.post_only,
            expires_ns,
            s.cancel_edge,
            unit_fee,
        )
        self._hold(order, order.reserve)
        self.orders[seq] = order
        m.orders.append(order)
        m.order_count[s.strategy] += 1
        m.last_dispatch_ns[s.strategy] = now_ns
        return seq

    def _hold(self, order: Order, reserve: int) -> None:
        self.risk.reserved[order.strategy] += reserve - order.reserved
        order.reserved = reserve

    def _cancel_resting(self, m: Market, now_ns: int, *, all_of_them: bool) -> None:
        """Cancel resting orders whose time is up, whose edge is gone, or all."""
        for order in m.orders:
            if order.order_type in ("FAK", "FOK") or order.has_ended or now_ns < order.cancel_ns:
                continue
            is_gone = all_of_them or 0 < order.expires_ns <= now_ns
            if not is_gone and m.price is not None and not math.isnan(order.cancel_edge):
                is_gone = m.fair(order.outcome) - order.ticks * 1e-4 < order.cancel_edge
            if is_gone:
                order.cancel_ns = now_ns + CANCEL_AGAIN_NS
                self.out.append(("cancel", m.index, order.seq))

    def _after_change(self, order: Order) -> None:
        """Reservation, order count and open list follow an order's state."""
        m = self.markets[order.market]
        if order.filled >= order.ushares and not order.has_ended:
            order.status = "FILLED"
        self._hold(order, order.reserve)
        counts = not order.has_ended or order.filled > 0 or order.matched > 0
        m.order_count[order.strategy] += counts - order.is_counted
        order.is_counted = counts
        is_open = not order.has_ended or order.outstanding > 0
        if is_open and order not in m.orders:
            m.orders.append(order)
        elif not is_open and order in m.orders:
            m.orders.remove(order)
