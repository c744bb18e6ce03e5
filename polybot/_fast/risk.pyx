"""Two-tier risk: portfolio gates first, then the strategy's own limits; sizes an order or names the denial.

Theory of operation: `check` walks halts, venue, clock and data ages (the account as a whole), then our own
orders (same intent twice, unknown, crossing, pending, pair), then the strategy's row and the price collar, cuts
the size to the narrowest room, and last asks what only a sized order answers: Greeks and orders per second.

Owns limits, exposure (resting, in-flight and unknown orders in full, plus the cost of open positions), cash,
halts and the day's and week's result.  All money in micro-USD integers.  Must not know orders' histories or
books beyond what a check needs: the engine tells it every change through hold, book_cost and realise.
"""
from libc.math cimport fabs, fmax, isfinite
from libc.stdint cimport int64_t

from polybot._fast.event cimport BUY, FAK, FOK, OS_UNKNOWN, UP
from polybot._fast.fees cimport notional_micro_usd, taker_fee_micro_usd
from polybot._fast.order cimport Order
from polybot._fast.pricing cimport RULE_CANDLE
from polybot._fast.state cimport DOWN_SLOT, MAX_STRATEGIES, UP_SLOT, MarketState, SpotState
from polybot._fast.strategy cimport Signal

cdef int64_t NS = 1_000_000_000
cdef int64_t DAY_NS = 86_400 * NS
cdef int64_t MICRO = 1_000_000
cdef int64_t LOT = 10_000
cdef int FULL_TICKS = 10_000                     # a pair Up + Down pays this
# The fee's rounding and the two micro-USD an order's reservation is rounded up by (Order.reserve).
cdef int64_t ROUNDING_USD = 4
cdef int64_t MIN_MARKETABLE_USD = 1_000_000      # the venue refuses a marketable BUY below $1 (2026-11)
# Ceilings outside the configuration's reach; raised only by POLYBOT_HARD_MAX_USD at process start.
HARD_ORDER_USD = 500_000_000
HARD_OPEN_USD = 5_000_000_000


cdef int64_t at_risk(int64_t cost_usd) noexcept:
    """What a net cost counts as exposure: money taken out of a market makes no room in another."""
    return cost_usd if cost_usd > 0 else 0


cdef int open_order_reason(MarketState m, Signal s) noexcept:
    """An unknown order blocks its token for all; none may meet one of ours; a strategy waits for its own order."""
    cdef Order o
    cdef int reason = DISPATCHED
    cdef int ask, bid
    for o in m.open_orders:
        if o.outcome != s.outcome:
            continue
        if o.status == OS_UNKNOWN:
            return UNKNOWN_ORDER
        if o.strategy == s.strategy:
            reason = PENDING_ORDER
    if crosses_own(m, s):
        return SELF_CROSS
    if not s.post_only:
        return reason
    ask, bid = m.book.best_ask(s.outcome), m.book.best_bid(s.outcome)
    if (s.price_ticks >= ask >= 0) if s.side == BUY else s.price_ticks <= bid:
        return POST_ONLY_WOULD_CROSS
    return reason


cdef bint crosses_own(MarketState m, Signal s) noexcept:
    """True when the order would trade against one of ours that rests, or may, on either token.

    Up and Down are one mirrored book: a Buy of Down at p is a Sell of Up at 1 - p.
    """
    cdef Order o
    cdef bint bids = (s.outcome == UP) == (s.side == BUY)
    cdef int mine = s.price_ticks if s.outcome == UP else FULL_TICKS - s.price_ticks, theirs
    for o in m.open_orders:
        # A taker order in flight is held by the venue (150 ms) and would meet what we let rest meanwhile.
        if not s.post_only and (o.order_type == FAK or o.order_type == FOK):
            continue
        if ((o.outcome == UP) == (o.side == BUY)) == bids:
            continue
        if o.outstanding() == 0:
            continue
        theirs = o.price_ticks if o.outcome == UP else FULL_TICKS - o.price_ticks
        if mine >= theirs if bids else mine <= theirs:
            return True
    return False


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


cdef double net_position(MarketState m) noexcept:
    """Up minus Down held in one window, shares."""
    return <double> (m.shares[UP_SLOT] - m.shares[DOWN_SLOT]) * 1e-6


cdef double may_add(MarketState m, bint up) noexcept:
    """Shares that open orders may still add to the net position in one direction."""
    cdef Order o
    cdef int64_t most = 0
    for o in m.open_orders:
        if ((o.outcome == UP) == (o.side == BUY)) == up:
            most += o.outstanding()
    return most * 1e-6


cdef double short_gamma(double net, double gamma) noexcept:
    """Shares of a net position that loses by movement; a gamma that is not known counts as such."""
    return 0.0 if net * gamma >= 0.0 else fabs(net)


cdef class Risk:
    """Limits of one account.

    bankroll_usd and the ceilings in micro-USD, *_frac as fractions of bankroll, ages in ns.
    Raises ValueError when a limit is not a number or negative.
    """

    def __init__(self, *, int64_t bankroll_usd, double max_exposure_frac, double daily_loss_halt_frac,
                 double weekly_loss_halt_frac, int64_t spot_max_age_ns, int64_t stale_feed_ns,
                 int64_t oracle_max_age_ns, int collar_ticks, double orders_per_s, int64_t max_clock_skew_ns=NS,
                 double max_delta=0.0, double max_short_gamma=0.0,
                 int64_t hard_order_usd=HARD_ORDER_USD, int64_t hard_open_usd=HARD_OPEN_USD):
        for value in (max_exposure_frac, daily_loss_halt_frac, weekly_loss_halt_frac, orders_per_s, max_delta,
                      max_short_gamma):
            if not isfinite(value) or value < 0.0:
                raise ValueError(f"risk limits must be numbers >= 0, got {value}")
        if not 0.0 < orders_per_s <= MAX_RATE:
            raise ValueError(f"orders_per_s must be above 0 and at most {MAX_RATE}, got {orders_per_s}")
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
        self.max_clock_skew_ns = max_clock_skew_ns
        self.day = self.week = -1
        self.rate_count = <int> orders_per_s if orders_per_s >= 1.0 else 1
        self.rate_span_ns = <int64_t> (self.rate_count / orders_per_s * NS + 0.5)

    def set_limits(self, int strategy, *, double per_trade_frac, double total_frac, int64_t cooldown_ns,
                   int max_orders) -> None:
        """Set one strategy's row of the risk table (fractions of bankroll)."""
        if not 0 <= strategy < MAX_STRATEGIES:
            raise ValueError(f"no strategy {strategy}")
        if not (isfinite(per_trade_frac) and isfinite(total_frac) and per_trade_frac >= 0.0 and total_frac >= 0.0):
            raise ValueError(f"fractions must be numbers >= 0, got {per_trade_frac} and {total_frac}")
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
        """A fill (or its reversal) changed what a position has at risk; what was paid is no longer cash.

        Cash only falls here: what a sale or a failed trade brings back counts when the venue tells its balance.
        """
        self.position_usd += at_risk_usd
        self.strat_position[strategy] += at_risk_usd
        if self.cash_usd >= 0 and paid_usd > 0:
            self.cash_usd = self.cash_usd - paid_usd if self.cash_usd > paid_usd else 0

    cdef bint is_sound(self, int strategy) noexcept:
        """False when a sum is below zero, which none can be."""
        return (self.reserved_usd >= 0 and self.position_usd >= 0 and self.strat_reserved[strategy] >= 0
                and self.strat_position[strategy] >= 0)

    cdef void realise(self, int strategy, int64_t pnl_usd, int64_t at_risk_usd) noexcept:
        """A position was settled: what it had at risk is no longer exposure, its PnL is the day's."""
        self.position_usd -= at_risk_usd
        self.strat_position[strategy] -= at_risk_usd
        self.day_realised_usd += pnl_usd
        self.week_realised_usd += pnl_usd

    cdef void roll(self, int64_t now_ns) noexcept:
        """Start a new day at 00:00 UTC, a new week on Monday 00:00 UTC; a clock set back starts nothing."""
        cdef int64_t day = now_ns // DAY_NS, week = (day + 3) // 7      # 1970-01-01 was a Thursday
        if day > self.day:
            self.day = day
            self.day_realised_usd = 0
            self.halted_daily = False
        if week > self.week:
            self.week = week
            self.week_realised_usd = 0
            self.halted_weekly = False

    cdef void check_halts(self) noexcept:
        """Trip the loss halts on realised plus marked PnL."""
        if self.day_realised_usd + self.marked_usd <= -self.daily_halt_usd:
            self.halted_daily = True
        if self.week_realised_usd + self.marked_usd <= -self.weekly_halt_usd:
            self.halted_weekly = True

    cdef void note_stamp(self, int64_t venue_ns, int64_t recv_ns) noexcept:
        """A live spot trade came: how far its own stamp is from our clock at receipt."""
        if venue_ns > 0:
            self.spot_lag_ns = recv_ns - venue_ns

    cdef void note_greeks(self, list markets, SpotState spot, int64_t now_ns) noexcept:
        """Add up the Greeks of the net share position over all live windows, at prices of now."""
        cdef MarketState m
        cdef double net
        self.net_shares = self.short_gamma_shares = self.delta = self.gamma = 0.0
        self.has_position = False
        for m in markets:
            if m.closed or (m.shares[UP_SLOT] == 0 and m.shares[DOWN_SLOT] == 0):
                continue
            if m.now_ns != now_ns and now_ns < m.end_ns:
                m.reprice(spot, now_ns)          # no strategy was asked there just now (end guard, crossed book)
            net = net_position(m)
            self.has_position = True
            self.net_shares += net
            self.short_gamma_shares += short_gamma(net, m.px.gamma)
            self.delta += net * m.px.delta
            self.gamma += net * m.px.gamma

    # -- the check --------------------------------------------------------------------------------------------

    cdef int check(self, MarketState market, SpotState spot, Signal signal, int strategy, bint taker,
                   int64_t now_ns) noexcept:
        """Return DISPATCHED with signal.shares cut to what is allowed, or the denial."""
        cdef int reason = self._check_portfolio(market, spot, taker, now_ns)
        if reason == DISPATCHED and self._is_duplicate(market, signal, now_ns):
            reason = DUPLICATE
        if reason == DISPATCHED:
            reason = open_order_reason(market, signal)
        if reason == DISPATCHED and pair_too_dear(market, signal):
            reason = PAIR_COST
        if reason == DISPATCHED:
            reason = self._check_orders(market, signal, strategy, now_ns)
        if reason == DISPATCHED:
            reason = self._fit_size(market, signal, strategy, taker)
        if reason == DISPATCHED:
            reason = self._check_greeks(market, signal)
        if reason == DISPATCHED and self._too_fast(now_ns):
            reason = RATE_LIMIT
        if reason == DISPATCHED:
            self._remember(market, signal, now_ns)
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
        if not -self.max_clock_skew_ns <= self.spot_lag_ns <= self.max_clock_skew_ns:
            return CLOCK_SKEW
        if spot_age > (self.spot_max_age_ns if taker else self.stale_feed_ns):
            return STALE_SPOT
        if taker and self._spot_left_behind(spot, now_ns):
            return STALE_SPOT
        if now_ns - market.book_ns > self.stale_feed_ns:
            return STALE_BOOK
        if market.rule != RULE_CANDLE and now_ns - spot.oracle_ns > self.oracle_max_age_ns:
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
        return PRICE_COLLAR if self._outside_collar(market, signal) else DISPATCHED

    cdef bint _outside_collar(self, MarketState market, Signal signal) noexcept:
        """True when the limit is worse by more than the collar than mid (or the only side there is), or than the model.

        The model's price is the market's own, whatever the strategy says; without one there is nothing to be within.
        """
        cdef int bid = market.book.best_bid(signal.outcome), ask = market.book.best_ask(signal.outcome)
        cdef int sign = 1 if signal.side == BUY else -1
        cdef int twice
        if not sign * (signal.price_ticks - market.q(signal.outcome) * FULL_TICKS) <= self.collar_ticks:
            return True
        if bid <= 0 and ask <= 0:
            return False
        twice = bid + ask if bid > 0 and ask > 0 else 2 * (ask if ask > 0 else bid)
        return sign * (2 * signal.price_ticks - twice) > 2 * self.collar_ticks

    cdef int _check_greeks(self, MarketState market, Signal signal) noexcept:
        """Over all live windows, once this order and all open ones its way fill: net shares, and those short gamma."""
        cdef MarketState m
        cdef bint up = (signal.outcome == UP) == (signal.side == BUY)
        cdef double sign = 1.0 if up else -1.0, shares = signal.shares * 1e-6, net = shares, short = 0.0, before
        if self.max_delta <= 0.0 and self.max_short_gamma <= 0.0:
            return DISPATCHED
        before = self._short_gamma_with(market, up, 0.0)
        for m in market.peers:
            if m.closed:
                continue
            net += sign * net_position(m) + may_add(m, up)
            if m is not market:
                short += fmax(self._short_gamma_with(m, True, 0.0), self._short_gamma_with(m, False, 0.0))
        if self.max_delta > 0.0 and net > self.max_delta:
            return DELTA_LIMIT
        net = self._short_gamma_with(market, up, shares)
        if self.max_short_gamma > 0.0 and net > before and short + net > self.max_short_gamma:
            return GAMMA_LIMIT
        return DISPATCHED

    cdef double _short_gamma_with(self, MarketState m, bint up, double more) noexcept:
        """Shares short gamma in one window when its open orders that way, and `more`, fill; at least those held."""
        cdef double net = net_position(m), added = may_add(m, up) + more
        return fmax(short_gamma(net, m.px.gamma), short_gamma(net + (added if up else -added), m.px.gamma))

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
        room -= ROUNDING_USD
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
        """Cut a sale to what the strategy holds and has not offered yet; it frees money, so it needs no room.

        The hard ceiling of an order binds it all the same.
        """
        cdef Order o
        cdef int bound = SIZE_BELOW_MIN
        cdef int64_t held = market.strat_shares[strategy][signal.outcome]
        for o in market.open_orders:
            if o.strategy == strategy and o.outcome == signal.outcome and o.side != BUY:
                held -= o.outstanding()
        held = held if held < signal.shares else signal.shares
        if <double> held * signal.price_ticks > <double> self.hard_order_usd * FULL_TICKS:
            held = <int64_t> (<double> self.hard_order_usd * FULL_TICKS / signal.price_ticks)
            bound = HARD_CEILING
        held -= held % LOT
        if held < market.min_size_ushares:
            return bound
        signal.shares = held
        return DISPATCHED

    cdef bint _too_fast(self, int64_t now_ns) noexcept:
        """True when this order would be one too many within rate_span_ns, wherever that span begins."""
        cdef int64_t oldest = self.dispatches - self.rate_count
        return oldest >= 0 and now_ns - self.dispatched_ns[oldest % MAX_RATE] < self.rate_span_ns

    cdef bint _is_duplicate(self, MarketState market, Signal signal, int64_t now_ns) noexcept:
        """True when the same strategy was let through with the same order at this very instant."""
        cdef int k
        if now_ns != self.intent_ns:
            return False
        for k in range(self.intents):
            if (self.intent[k].strategy == signal.strategy and self.intent[k].market == market.index
                    and self.intent[k].outcome == signal.outcome and self.intent[k].side == signal.side
                    and self.intent[k].price_ticks == signal.price_ticks):
                return True
        return False

    cdef void _remember(self, MarketState market, Signal signal, int64_t now_ns) noexcept:
        """Note an order let through, for the rate and against its twin; the rate keeps an instant below MAX_RATE."""
        self.dispatched_ns[self.dispatches % MAX_RATE] = now_ns
        self.dispatches += 1
        if now_ns != self.intent_ns:
            self.intent_ns, self.intents = now_ns, 0
        if self.intents >= MAX_RATE:
            return
        self.intent[self.intents].strategy, self.intent[self.intents].market = signal.strategy, market.index
        self.intent[self.intents].outcome, self.intent[self.intents].side = signal.outcome, signal.side
        self.intent[self.intents].price_ticks = signal.price_ticks
        self.intents += 1

    # -- operator and tests -----------------------------------------------------------------------------------

    def halt(self) -> None:
        """Stop new orders until resume()."""
        self.halted_manual = True

    def resume(self) -> None:
        """Lift the manual halt; loss halts stay until their period ends."""
        self.halted_manual = False

    def restore(self, *, int64_t day, int64_t week, int64_t day_realised_usd, int64_t week_realised_usd,
                bint halted_manual, bint halted_daily, bint halted_weekly) -> None:
        """Take up results and halts where an earlier run left them (days and weeks since 1970, UTC; micro-USD).

        What is over is rolled over by the next heartbeat.
        """
        self.day, self.week = day, week
        self.day_realised_usd, self.week_realised_usd = day_realised_usd, week_realised_usd
        self.halted_manual, self.halted_daily, self.halted_weekly = halted_manual, halted_daily, halted_weekly

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
