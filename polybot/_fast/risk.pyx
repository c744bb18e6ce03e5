"""Two-tier risk: portfolio gates first, then the strategy's own limits; sizes an order or names the denial.

Owns limits, exposure (resting, in-flight and unknown orders in full, plus the cost of open positions), cash,
halts and the day's and week's result.  All money in micro-USD integers.  Must not know orders' histories or
books beyond what a check needs: the engine tells it every change through hold, book_cost and realise.
"""
from libc.math cimport isnan
from libc.stdint cimport int64_t

from polybot._fast.event cimport BUY, OS_UNKNOWN, UP
from polybot._fast.fees cimport notional_micro_usd, taker_fee_micro_usd
from polybot._fast.order cimport Order
from polybot._fast.state cimport DOWN_SLOT, MAX_STRATEGIES, UP_SLOT, MarketState, SpotState
from polybot._fast.strategy cimport Signal

cdef int64_t NS = 1_000_000_000
cdef int64_t DAY_NS = 86_400 * NS
cdef int64_t MICRO = 1_000_000
cdef int64_t LOT = 10_000
cdef int64_t MIN_MARKETABLE_USD = 1_000_000      # the venue refuses a marketable BUY below $1 (2026-11)
# Ceilings outside the configuration's reach; raised only by POLYBOT_HARD_MAX_USD at process start.
HARD_ORDER_USD = 500_000_000
HARD_OPEN_USD = 5_000_000_000


cdef int64_t at_risk(int64_t cost_usd) noexcept:
    """What a net cost counts as exposure: money taken out of a market makes no room in another."""
    return cost_usd if cost_usd > 0 else 0


cdef int open_order_reason(MarketState m, Signal s) noexcept:
    """An unknown order blocks its token for all; a strategy waits for its own order on that token."""
    cdef Order o
    cdef int reason = DISPATCHED
    cdef int ask = m.book.best_ask(s.outcome), bid = m.book.best_bid(s.outcome)
    for o in m.open_orders:
        if o.outcome != s.outcome:
            continue
        if o.status == OS_UNKNOWN:
            return UNKNOWN_ORDER
        if o.strategy == s.strategy:
            reason = PENDING_ORDER
    if s.post_only and (s.price_ticks >= ask >= 0 if s.side == BUY else s.price_ticks <= bid):
        return POST_ONLY_WOULD_CROSS
    return reason


cdef bint pair_too_dear(MarketState m, Signal s) noexcept:
    """Buying into a pair Up + Down that costs more than it can pay, fees included, is refused."""
    cdef Order o
    cdef int other = 1 - s.outcome
    cdef int64_t held = m.shares[other]
    cdef double cost = <double> m.cost_usd[other], price = s.price_ticks * 1e-4
    if s.side != BUY:
        return False
    for o in m.open_orders:
        if o.outcome == other and o.side == BUY:
            held += o.outstanding()
            cost += o.reserve()
    if held <= 0:
        return False
    if not s.post_only:
        price += m.fee_per_share(price)
    return not cost / held + price <= 1.0


cdef class Risk:
    """Limits of one account.

    bankroll_usd and the ceilings in micro-USD, *_frac as fractions of bankroll, ages in ns.
    Raises ValueError when a limit is not a number or negative.
    """

    def __init__(self, *, int64_t bankroll_usd, double max_exposure_frac, double daily_loss_halt_frac,
                 double weekly_loss_halt_frac, int64_t spot_max_age_ns, int64_t stale_feed_ns,
                 int64_t oracle_max_age_ns, int collar_ticks, double orders_per_s,
                 double max_delta=0.0, double max_short_gamma=0.0,
                 int64_t hard_order_usd=HARD_ORDER_USD, int64_t hard_open_usd=HARD_OPEN_USD):
        for value in (max_exposure_frac, daily_loss_halt_frac, weekly_loss_halt_frac, orders_per_s):
            if isnan(value) or value < 0.0:
                raise ValueError(f"risk limits must be numbers >= 0, got {value}")
        self.bankroll_usd = bankroll_usd
        self.max_exposure_usd = <int64_t> (bankroll_usd * max_exposure_frac)
        self.daily_halt_usd = <int64_t> (bankroll_usd * daily_loss_halt_frac)
        self.weekly_halt_usd = <int64_t> (bankroll_usd * weekly_loss_halt_frac)
        self.spot_max_age_ns = spot_max_age_ns
        self.stale_feed_ns = stale_feed_ns
        self.oracle_max_age_ns = oracle_max_age_ns
        self.collar_ticks = collar_ticks
        self.orders_per_s = orders_per_s
        self.max_delta = max_delta
        self.max_short_gamma = max_short_gamma
        self.hard_order_usd = hard_order_usd
        self.hard_open_usd = hard_open_usd
        self.cash_usd = -1
        self.day = self.week = -1
        self.tokens = orders_per_s

    def set_limits(self, int strategy, *, double per_trade_frac, double total_frac, int64_t cooldown_ns,
                   int max_orders) -> None:
        """Set one strategy's row of the risk table (fractions of bankroll)."""
        if not 0 <= strategy < MAX_STRATEGIES:
            raise ValueError(f"no strategy {strategy}")
        self.per_trade_usd[strategy] = <int64_t> (self.bankroll_usd * per_trade_frac)
        self.total_usd[strategy] = <int64_t> (self.bankroll_usd * total_frac)
        self.cooldown_ns[strategy] = cooldown_ns
        self.max_orders[strategy] = max_orders

    # -- what the engine tells --------------------------------------------------------------------------------

    cdef void hold(self, int strategy, int64_t change_usd) noexcept:
        """An order's reservation grew or shrank."""
        self.reserved_usd += change_usd
        self.strat_reserved[strategy] += change_usd

    cdef void book_cost(self, int strategy, int64_t at_risk_usd, int64_t paid_usd) noexcept:
        """A fill (or its reversal) changed what a position has at risk; cash went the way of what was paid."""
        self.position_usd += at_risk_usd
        self.strat_position[strategy] += at_risk_usd
        if self.cash_usd >= 0:
            self.cash_usd = self.cash_usd - paid_usd if self.cash_usd > paid_usd else 0

    cdef void realise(self, int strategy, int64_t pnl_usd, int64_t at_risk_usd) noexcept:
        """A position was settled: what it had at risk is no longer exposure, its PnL is the day's."""
        self.position_usd -= at_risk_usd
        self.strat_position[strategy] -= at_risk_usd
        self.day_realised_usd += pnl_usd
        self.week_realised_usd += pnl_usd
        self.check_halts()

    cdef void roll(self, int64_t now_ns) noexcept:
        """Start a new day at 00:00 UTC, a new week on Monday 00:00 UTC."""
        cdef int64_t day = now_ns // DAY_NS, week = (day + 3) // 7      # 1970-01-01 was a Thursday
        if day != self.day:
            self.day = day
            self.day_realised_usd = 0
            self.halted_daily = False
        if week != self.week:
            self.week = week
            self.week_realised_usd = 0
            self.halted_weekly = False

    cdef void check_halts(self) noexcept:
        """Trip the loss halts on realised plus marked PnL."""
        if self.day_realised_usd + self.marked_usd <= -self.daily_halt_usd:
            self.halted_daily = True
        if self.week_realised_usd + self.marked_usd <= -self.weekly_halt_usd:
            self.halted_weekly = True

    # -- the check --------------------------------------------------------------------------------------------

    cdef int check(self, MarketState market, SpotState spot, Signal signal, int strategy, bint taker,
                   int64_t now_ns) noexcept:
        """Return DISPATCHED with signal.shares cut to what is allowed, or the denial."""
        cdef int reason = self._check_portfolio(market, spot, taker, now_ns)
        if reason == DISPATCHED:
            reason = self._check_orders(market, signal, strategy, now_ns)
        if reason == DISPATCHED:
            reason = self._fit_size(market, signal, strategy, taker)
        if reason == DISPATCHED and not self.take_token(now_ns):
            reason = RATE_LIMIT
        return reason

    cdef int _check_portfolio(self, MarketState market, SpotState spot, bint taker, int64_t now_ns) noexcept:
        cdef int64_t spot_age = now_ns - spot.data_ns
        if self.halted_manual:
            return HALTED_MANUAL
        if self.halted_daily:
            return HALTED_DAILY
        if self.halted_weekly:
            return HALTED_WEEKLY
        if self.venue_down:
            return VENUE_DOWN
        if spot_age > (self.spot_max_age_ns if taker else self.stale_feed_ns):
            return STALE_SPOT
        if taker and self._spot_left_behind(spot, now_ns):
            return STALE_SPOT
        if now_ns - market.book_ns > self.stale_feed_ns:
            return STALE_BOOK
        if market.rule != 1 and now_ns - spot.oracle_ns > self.oracle_max_age_ns:
            return STALE_ORACLE
        return DISPATCHED

    cdef bint _spot_left_behind(self, SpotState spot, int64_t now_ns) noexcept:
        """True when the last trade, which prices everything, is old and the quotes have moved away from it.

        Away: further outside bid and ask than the price moves in a second (one sigma).
        """
        cdef double slack = spot.sigma * spot.last
        if now_ns - spot.trade_ns <= self.spot_max_age_ns:
            return False
        return not spot.bid - slack <= spot.last <= spot.ask + slack

    cdef int _check_orders(self, MarketState market, Signal signal, int strategy, int64_t now_ns) noexcept:
        if now_ns - market.last_dispatch_ns[strategy] < self.cooldown_ns[strategy]:
            return COOLDOWN
        if market.order_count[strategy] >= self.max_orders[strategy]:
            return MAX_ORDERS
        if self._outside_collar(market, signal):
            return PRICE_COLLAR
        return self._check_greeks(market, signal)

    cdef bint _outside_collar(self, MarketState market, Signal signal) noexcept:
        """True when the limit is worse than mid (or the only side there is) by more than the collar."""
        cdef int bid = market.book.best_bid(signal.outcome), ask = market.book.best_ask(signal.outcome)
        cdef int twice
        if bid <= 0 and ask <= 0:
            return False
        twice = bid + ask if bid > 0 and ask > 0 else 2 * (ask if ask > 0 else bid)
        twice = 2 * signal.price_ticks - twice
        return (twice if signal.side == BUY else -twice) > 2 * self.collar_ticks

    cdef int _check_greeks(self, MarketState market, Signal signal) noexcept:
        """Net shares the signal's way once it and all open orders that way fill: delta, and short gamma, in shares."""
        cdef Order o
        cdef bint up = (signal.outcome == UP) == (signal.side == BUY)
        cdef double net = <double> (market.shares[UP_SLOT] - market.shares[DOWN_SLOT])
        if self.max_delta <= 0.0 and self.max_short_gamma <= 0.0:
            return DISPATCHED
        net = (net if up else -net) + signal.shares
        for o in market.open_orders:
            if ((o.outcome == UP) == (o.side == BUY)) == up:
                net += o.outstanding()
        net *= 1e-6
        if self.max_delta > 0.0 and net > self.max_delta:
            return DELTA_LIMIT
        if self.max_short_gamma > 0.0 and net > self.max_short_gamma:
            if not (market.px.gamma if up else -market.px.gamma) >= 0.0:
                return GAMMA_LIMIT
        return DISPATCHED

    cdef int _fit_size(self, MarketState market, Signal signal, int strategy, bint taker) noexcept:
        """Cut the size to per-trade cap, strategy room, portfolio room and cash; floor to the lot; refuse dust."""
        cdef int64_t rate = market.fee_rate_ppm if taker and market.fees_enabled else 0
        cdef int64_t unit, room = self.per_trade_usd[strategy], other, shares
        cdef int bound = SIZE_BELOW_MIN
        if rate < 0:
            return EDGE_AFTER_COSTS
        if signal.side != BUY:
            return self._fit_sale(market, signal, strategy)
        unit = notional_micro_usd(MICRO, signal.price_ticks)
        unit += taker_fee_micro_usd(MICRO, signal.price_ticks, rate, market.fee_exponent) + 10
        other = self.total_usd[strategy] - self.strat_reserved[strategy] - self.strat_position[strategy]
        if other < room:
            room, bound = other, STRATEGY_EXPOSURE
        other = self.max_exposure_usd - self.reserved_usd - self.position_usd
        if other < room:
            room, bound = other, PORTFOLIO_EXPOSURE
        other = self.hard_open_usd - self.reserved_usd - self.position_usd
        if other < room:
            room, bound = other, HARD_CEILING
        if self.hard_order_usd < room:
            room, bound = self.hard_order_usd, HARD_CEILING
        other = self.cash_usd - self.reserved_usd if self.cash_usd >= 0 else 0
        if other < room:
            room, bound = other, INSUFFICIENT_BALANCE
        if room <= 0:
            return bound
        shares = signal.shares
        if <double> shares * unit > <double> room * MICRO:
            shares = <int64_t> (<double> room * MICRO / unit)
        else:
            bound = SIZE_BELOW_MIN
        shares -= shares % LOT
        if shares < market.min_size_ushares or (taker and notional_micro_usd(shares, signal.price_ticks) < MIN_MARKETABLE_USD):
            return bound
        signal.shares = shares
        return DISPATCHED

    cdef int _fit_sale(self, MarketState market, Signal signal, int strategy) noexcept:
        """Cut a sale to what the strategy holds and has not offered yet; it frees money, so it needs no room."""
        cdef Order o
        cdef int64_t held = market.strat_shares[strategy][signal.outcome]
        for o in market.open_orders:
            if o.strategy == strategy and o.outcome == signal.outcome and o.side != BUY:
                held -= o.outstanding()
        held = held if held < signal.shares else signal.shares
        held -= held % LOT
        if held < market.min_size_ushares:
            return SIZE_BELOW_MIN
        signal.shares = held
        return DISPATCHED

    cdef bint take_token(self, int64_t now_ns) noexcept:
        """Token bucket of orders per second, one second deep."""
        cdef double cap = self.orders_per_s if self.orders_per_s > 1.0 else 1.0
        self.tokens += (now_ns - self.tokens_ns) * 1e-9 * self.orders_per_s
        self.tokens_ns = now_ns
        if self.tokens > cap:
            self.tokens = cap
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    # -- operator and tests -----------------------------------------------------------------------------------

    def halt(self) -> None:
        """Stop new orders until resume()."""
        self.halted_manual = True

    def resume(self) -> None:
        """Lift the manual halt; loss halts stay until their period ends."""
        self.halted_manual = False

    def set_venue_down(self, bint down) -> None:
        """The gateway cannot place orders now."""
        self.venue_down = down

    def set_cash(self, int64_t cash_usd) -> None:
        """Collateral as the venue reports it, micro-USD."""
        self.cash_usd = cash_usd

    def exposure(self, int strategy=-1) -> int:
        """Micro-USD at risk now: of one strategy, or in all."""
        if strategy < 0:
            return self.reserved_usd + self.position_usd
        return self.strat_reserved[strategy] + self.strat_position[strategy]

    def row(self, int strategy) -> dict:
        """One strategy's limits, micro-USD and ns."""
        return {"per_trade_usd": self.per_trade_usd[strategy], "total_usd": self.total_usd[strategy],
                "cooldown_ns": self.cooldown_ns[strategy], "max_orders": self.max_orders[strategy]}
