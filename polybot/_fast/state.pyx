"""What the engine knows: SpotState (the asset, for the daemon's life) and MarketState (one window).

Owns the estimators' wiring, the oracle's 1 Hz history, strike, book, position and per-strategy statistics,
and the shared pricing context that strategies read.  Must not decide anything: strategies, risk and the
engine do.  Time comes with events; nothing here reads a clock.
"""
from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from polybot._fast.basis cimport OracleBasis
from polybot._fast.book cimport TOP, Book
from polybot._fast.event cimport EV_BOOK_DELTA, EV_BOOK_SNAPSHOT, Event
from polybot._fast cimport fees
from polybot._fast.moves cimport MoveTracker
from polybot._fast.pricing cimport PRICE_OK, RULE_CANDLE, RULE_POINT, RULE_TWAP, PricingInput, price_binary, price_up
from polybot._fast.regime cimport RegimeClassifier
from polybot._fast.vol cimport Volatility
from polybot._fast.vwap cimport RollingVwap

cdef int64_t NS = 1_000_000_000
# Newest seconds of the averaging window that cannot have arrived yet (feed delay, market-facts 2026-06: up to 2.2 s).
cdef int ORACLE_DELAY_S = 3
# A stamp further ahead of its receipt is a wrong stamp; taking it would shut out every true one after it.
cdef int64_t MAX_ORACLE_LEAD_NS = 10 * NS
# SpotState.locked_first when no sum is kept: no second at all.
cdef int64_t NOTHING_ADDED = -(<int64_t> 1 << 62)
RULES = {"point": RULE_POINT, "candle": RULE_CANDLE, "twap": RULE_TWAP}


cdef class SpotState:
    """Spot price, its estimators and the oracle's history; fed by every trade, never paused."""

    def __init__(self, Volatility vol not None, RollingVwap vwap not None, RegimeClassifier regime not None,
                 OracleBasis basis not None):
        self.vol = vol
        self.vwap = vwap
        self.regime = regime
        self.basis = basis
        self.last = self.previous = self.bid = self.ask = NAN
        self.sigma = self.se_ln_sigma = NAN
        self.oracle_last = self.twap_last = NAN
        memset(self.ring_second, 0, sizeof(self.ring_second))
        self.locked_first = NOTHING_ADDED

    cdef void on_trade(self, double price, double quantity, int64_t recv_ns, int64_t venue_ns, bint live) noexcept:
        """Feed one trade; a trade of the past (warm start) moves the estimators but is not fresh data."""
        cdef int64_t at = recv_ns if live else venue_ns
        self.previous = self.last
        self.last = price
        self.trades += 1
        self.vol.on_price(price, at)
        self.vwap.on_trade(price, quantity, at)
        self.regime.on_price(price, at)
        self.basis.on_spot(price, venue_ns if venue_ns > 0 else recv_ns)
        self.trade_ns = at
        if live:
            self.data_ns = recv_ns
        if at - self.sigma_ns >= NS or isnan(self.sigma):
            self._cache_sigma(at)

    cdef void _cache_sigma(self, int64_t now_ns) noexcept:
        self.sigma = self.vol.sigma()
        self.se_ln_sigma = self.vol.se_ln_sigma()
        self.sigma_ns = now_ns

    cdef void on_quote(self, double bid, double ask, int64_t recv_ns) noexcept:
        self.bid = bid
        self.ask = ask
        self.quotes += 1
        self.data_ns = recv_ns

    cdef void on_oracle_spot(self, double value, int64_t venue_ns, int64_t recv_ns, bint live) noexcept:
        cdef int64_t second = venue_ns // NS
        cdef int slot
        if venue_ns <= 0 or venue_ns - recv_ns > MAX_ORACLE_LEAD_NS or not value > 0.0:
            return
        slot = <int> (second % ORACLE_RING_S)
        if second < self.ring_second[slot]:
            return
        self.ring_second[slot] = second
        self.ring_value[slot] = value
        self.locked_first = NOTHING_ADDED
        self.basis.on_oracle(value, venue_ns)
        if venue_ns >= self.oracle_stamp_ns:
            self.oracle_stamp_ns = venue_ns
            self.oracle_last = value
        if live:
            self.oracle_ns = recv_ns

    cdef void on_oracle_twap(self, double value, int64_t venue_ns, int64_t recv_ns) noexcept:
        """For display: what the model reads, and so what must be fresh, are the oracle's spot ticks."""
        if self.twap_stamp_ns <= venue_ns <= recv_ns + MAX_ORACLE_LEAD_NS:
            self.twap_stamp_ns = venue_ns
            self.twap_last = value

    cdef void on_timer(self, int64_t now_ns) noexcept:
        """Let windows slide while no trade comes."""
        self.vwap.evict(now_ns)
        self.regime.evict(now_ns)

    cdef double locked_sum(self, int64_t first_second, int64_t last_second, double fill, int* missing) noexcept:
        """Sum of the oracle's 1 Hz prints over [first_second, last_second]; unseen seconds take the print before.

        Seconds newer than the last print take `fill`; `missing` counts unseen seconds that should have come by now.
        """
        cdef int64_t second, begin, newest = self.oracle_stamp_ns // NS
        cdef double total, value
        cdef int slot
        missing[0] = 0
        self._add_seen(first_second, last_second)
        begin, total, value = self.locked_next, self.locked_total, self.locked_value
        for second in range(begin, last_second + 1):
            slot = <int> (second % ORACLE_RING_S)
            if self.ring_second[slot] == second:
                value = self.ring_value[slot]
                total += value
            elif second > newest:
                total += fill
                missing[0] += 1 if last_second - second >= ORACLE_DELAY_S else 0
            else:
                total += fill if isnan(value) else value
                missing[0] += 1
        return total

    cdef void _add_seen(self, int64_t first_second, int64_t last_second) noexcept:
        """The sum of the prints without a hole from first_second on: kept, as it grows by one a second."""
        cdef int slot
        if self.locked_first != first_second or self.locked_next > last_second + 1:
            self.locked_first = self.locked_next = first_second
            self.locked_total, self.locked_value = 0.0, NAN
        while self.locked_next <= last_second:
            slot = <int> (self.locked_next % ORACLE_RING_S)
            if self.ring_second[slot] != self.locked_next:
                return
            self.locked_value = self.ring_value[slot]
            self.locked_total += self.locked_value
            self.locked_next += 1

    def describe(self) -> dict:
        """Facts for diagnostics and tests (prices in USD, sigma per sqrt(s))."""
        return {
            "last": self.last, "bid": self.bid, "ask": self.ask, "sigma": self.sigma, "vwap": self.vwap.value(),
            "regime": self.regime.regime, "regime_fraction": self.regime.fraction, "beta": self.basis.beta,
            "oracle": self.oracle_last, "twap": self.twap_last, "trades": self.trades, "quotes": self.quotes,
            "gaps": self.gaps, "data_ns": self.data_ns, "oracle_ns": self.oracle_ns,
        }


cdef class MarketState:
    """One window: metadata, strike, book, position, statistics and the pricing context of the last message."""

    def __init__(self, int index, spec, *, int64_t order_seq_base, double bankroll_usd, double shrink=0.0,
                 double lag_s=0.0, double tau_shift_s=0.0, bint observed=False, list siblings=None):
        if spec.rule not in RULES:
            raise ValueError(f"unknown resolution rule {spec.rule!r}")
        self.index = index
        self.spec = spec
        self.book = Book()
        self.book.set_tick_size(spec.tick_size_ticks)
        self.start_ns = spec.start_ns
        self.end_ns = spec.end_ns
        self.rule = RULES[spec.rule]
        self.twap_window_s = spec.twap_window_s
        self.min_size_ushares = spec.min_size_ushares
        self.fees_enabled = spec.fees_enabled
        self.fee_rate_ppm = -1 if spec.fee_rate_ppm is None else spec.fee_rate_ppm
        self.fee_exponent = spec.fee_exponent
        self.strike = self.spot = self.tau_s = NAN
        self.house = self.outcome = -1
        self.order_seq_next = order_seq_base
        self.bankroll_usd = bankroll_usd
        self.shrink = shrink
        self.lag_s = lag_s
        self.tau_shift_s = tau_shift_s
        self.observed = observed
        self.peers = [self] if siblings is None else siblings
        self.moves = MoveTracker()
        for slot in range(QUOTE_LEVELS):
            self.quotes[UP_SLOT][slot].ticks = self.quotes[DOWN_SLOT][slot].ticks = -1
        self.open_orders = []
        self.told_bid = self.told_ask = -2
        self.shape_seen = -1
        self.edge_ticks[UP_SLOT] = self.edge_ticks[DOWN_SLOT] = -1
        price_binary(&self.inp, &self.px)        # nothing is known yet: no price, and NaN for every number
        self._forget_gates()

    cdef void _forget_gates(self) noexcept:
        cdef int s, g
        for s in range(MAX_STRATEGIES):
            for g in range(MAX_GATES):
                self.gates[s][g].value = self.gates[s][g].threshold = NAN
                self.gates[s][g].compare = GATE_FLAG
                self.gates[s][g].result = GATE_NOT_REACHED
            self.nearest[s].gate = -1

    cdef double q(self, int outcome) noexcept:
        """Model probability of the outcome under the current pricing context, shrunk to the market's mid."""
        return self.shrunk(self.px.p_up, outcome)

    cdef double shrunk(self, double p_up, int outcome) noexcept:
        """(1 - shrink) p + shrink mid (model.md section 3); a one-sided book has no mid to shrink to."""
        cdef double mid
        if self.shrink > 0.0:
            mid = self.mid()
            if not isnan(mid):
                p_up += self.shrink * (mid - p_up)
        return p_up if outcome == UP_SLOT else 1.0 - p_up

    cdef int require_outcome(self, int outcome) except -1:
        """Raise ValueError unless this is Up or Down (for callers in Python)."""
        if outcome != UP_SLOT and outcome != DOWN_SLOT:
            raise ValueError(f"outcome {outcome} is neither Up (0) nor Down (1)")
        return 0

    cdef double fee_per_share(self, double price) noexcept:
        """Taker fee in USD per share at this price; NaN while fees are enabled and the schedule is unknown."""
        if not self.fees_enabled:
            return 0.0
        if self.fee_rate_ppm < 0:
            return NAN
        return fees.fee_per_share(price, self.fee_rate_ppm * 1e-6, self.fee_exponent)

    cdef void note_quotes(self, double exchange_spot) noexcept:
        """Remember when each of the best asks was set: a level keeps its age while it is there, whatever its size.

        Size alone says nothing: who was first in the queue is met first.  A level that became the best because those
        before it were taken is as old as it was.  Below QUOTE_LEVELS nothing is followed: such a level counts as set
        when it comes up.
        """
        cdef Quote found[QUOTE_LEVELS]
        cdef Quote* known
        cdef int asks[QUOTE_LEVELS]
        cdef int outcome, level, k, ticks
        if self.book.shape == self.shape_seen:   # the same prices: every one is as old as it was
            return
        self.shape_seen = self.book.shape
        for outcome in range(2):
            known = self.quotes[outcome]
            self.book.best_asks(outcome, asks, QUOTE_LEVELS)
            k = 0
            while k < QUOTE_LEVELS and known[k].ticks == asks[k]:
                k += 1
            if k == QUOTE_LEVELS:
                continue
            k = 0
            for level in range(QUOTE_LEVELS):
                ticks = asks[level]
                while k < QUOTE_LEVELS and 0 <= known[k].ticks < ticks:
                    k += 1
                if k < QUOTE_LEVELS and known[k].ticks == ticks:
                    found[level] = known[k]
                else:
                    found[level].ticks, found[level].stamp_ns, found[level].spot = ticks, self.book_stamp_ns, exchange_spot
            memcpy(known, found, sizeof(found))

    cdef double quote_spot(self, SpotState spot, int outcome) noexcept:
        """Exchange spot when the best ask was set: the last its owner can have seen (by both venues' stamps).

        A quote may reach us after a spot trade that its owner did not know of, and before one that he did; stamps tell.
        Where they do not reach (no stamp, older than the history), it is the last spot when the quote came.
        """
        cdef double seen = spot.basis.spot_at(self.quotes[outcome][0].stamp_ns)
        return self.quotes[outcome][0].spot if isnan(seen) else seen

    cdef double mid(self) noexcept:
        """Mid of Up, USD per share; NaN unless the book has two sides."""
        cdef int bid = <int> self.book.best[0], ask = <int> self.book.best[1]
        return (bid + ask) * 0.5e-4 if bid >= 0 and ask >= 0 else NAN

    cdef bint reprice(self, SpotState spot, int64_t now_ns) noexcept:
        """Fill the shared pricing context for now; False when there is no price (px.status says why)."""
        cdef double beta = 0.0, var_basis = 0.0
        if self.rule != RULE_CANDLE:
            beta = spot.basis.beta
            var_basis = spot.basis.var_ln
        self.now_ns = now_ns
        self.spot = spot.last + beta
        self.tau_s = (self.end_ns - now_ns) * 1e-9
        self.inp.rule = self.rule
        self.inp.w_s = self.twap_window_s
        self.inp.lag_s = self.lag_s if self.rule == RULE_TWAP else 0.0
        self.inp.s = self.spot
        self.inp.k = self.strike
        self.inp.sigma = spot.sigma
        self.inp.tau_s = self.tau_s + self.tau_shift_s
        self.inp.locked_sum = 0.0
        self.inp.var_locked = 0.0
        self.inp.var_basis = var_basis
        self.inp.var_strike = self.strike_var
        self.inp.se_ln_sigma = spot.se_ln_sigma
        self.inp.sd_x = 0.0
        self.missing_s = 0
        self.edge_ticks[UP_SLOT] = self.edge_ticks[DOWN_SLOT] = -1
        if self.rule == RULE_TWAP:
            self._lock_window(spot)
        return price_binary(&self.inp, &self.px) == PRICE_OK

    cdef void _lock_window(self, SpotState spot) noexcept:
        """Inside the averaging window: what is already averaged, and the variance of seconds never seen."""
        cdef double u = self.inp.tau_s - self.lag_s, elapsed, missing
        cdef int64_t first, whole
        cdef int unseen = 0
        u = u if u > 0.0 else 0.0
        elapsed = self.twap_window_s - u
        if elapsed <= 0.0:
            return
        first = self.end_ns // NS - <int64_t> (self.lag_s + 0.5) - <int64_t> self.twap_window_s + 1
        whole = <int64_t> elapsed
        self.inp.locked_sum = spot.locked_sum(first, first + whole - 1, self.spot, &unseen)
        self.inp.locked_sum += (elapsed - whole) * self.spot
        self.missing_s = unseen
        missing = <double> unseen
        # One gap of n seconds filled flat: the mean's log error has variance (n/w)^2 sigma^2 n/3 (Brownian, one end free).
        self.inp.var_locked = (missing / self.twap_window_s) ** 2 * spot.sigma * spot.sigma * missing / 3.0

    cdef double fair_at_spot(self, double exchange_spot, double beta, int outcome) noexcept:
        """Probability of the outcome had the spot been `exchange_spot`, all else as in the current context."""
        cdef PricingInput inp = self.inp
        cdef double p_up
        inp.s = exchange_spot + beta
        p_up = price_up(&inp)
        return NAN if isnan(p_up) else self.shrunk(p_up, outcome)

    cdef Py_ssize_t take_book(self, const Event* ev, Py_ssize_t n) noexcept:
        """Apply the run of book events that begins here (Book.apply_run); how many they are."""
        cdef Py_ssize_t run = self.book.apply_run(ev, n)
        self.note_book(ev, run)
        return run

    cdef void note_book(self, const Event* ev, Py_ssize_t n) noexcept:
        """What a run of book events tells beside the levels themselves."""
        cdef Py_ssize_t k
        self.book_stamp_ns = ev[n - 1].venue_ns
        if ev.kind == EV_BOOK_SNAPSHOT:
            self.told_bid = self.told_ask = -2
            self.mismatches = 0
            self.renewed = True
        elif ev.kind == EV_BOOK_DELTA:
            for k in range(n):
                if ev[k].x >= 0 or ev[k].y >= 0:
                    self.told_outcome = ev[k].outcome
                    self.told_bid, self.told_ask = _told(ev[k].x, 0), _told(ev[k].y, 10_000)

    cdef double taker_edge(self, int outcome) noexcept:
        """Edge per share at the best ask, fee included, under the present price; NaN without ask or fee schedule."""
        cdef int ask = _best_ask(self.book, outcome)
        cdef double price
        if ask <= 0 or ask >= 10_000:
            return NAN
        if ask != self.edge_ticks[outcome]:
            price = ask * 1e-4
            self.edge_usd[outcome] = self.q(outcome) - price - self.fee_per_share(price)
            self.edge_ticks[outcome] = ask if not self.shrink > 0.0 else -1      # shrunk to a mid it is the book's, too
        return self.edge_usd[outcome]

    cdef bint contradicts(self, int mismatch_limit) noexcept:
        """Compare our best prices with those the venue told; True when so many messages in a row disagreed."""
        cdef bint same
        if (self.told_bid == -2 and self.told_ask == -2) or not self.book.has_snapshot:
            return False
        same = self.told_bid == -2 or self.book.best_bid(self.told_outcome) == self.told_bid
        same = same and (self.told_ask == -2 or self.book.best_ask(self.told_outcome) == self.told_ask)
        self.told_bid = self.told_ask = -2
        self.mismatches = 0 if same else self.mismatches + 1
        if same or self.mismatches < mismatch_limit:
            return False
        self.mismatches = 0
        self.resyncs += 1
        return True

    cdef int64_t marked(self) noexcept:
        """Mark minus cost of the open position in micro-USD: at mid, else at our fair, else at cost."""
        cdef int bid = self.book.best_bid(UP_SLOT), ask = self.book.best_ask(UP_SLOT)
        cdef double up
        if self.settled or (self.shares[UP_SLOT] == 0 and self.shares[DOWN_SLOT] == 0):
            return 0
        if bid > 0 and ask > 0:
            up = (bid + ask) * 0.5e-4
        elif self.px.status == 0 and not isnan(self.px.p_up):
            up = self.px.p_up
        else:
            return 0
        return (<int64_t> (self.shares[UP_SLOT] * up + self.shares[DOWN_SLOT] * (1.0 - up))
                - self.cost_usd[UP_SLOT] - self.cost_usd[DOWN_SLOT])

    cdef void pass_time(self, int64_t now_ns) noexcept:
        """Add the time since the last call, as far as it lies in the window, to the reason of the last look."""
        cdef int64_t since = max(self.passed_ns, self.start_ns), until = min(now_ns, self.end_ns)
        if self.passed_ns and until > since:
            self.reason_ns[self.block_reason] += until - since
        self.passed_ns = max(self.passed_ns, now_ns)

    # What Python strategies and tests may look at.
    @property
    def priced(self) -> bool:
        """True when the pricing context holds a price."""
        return self.px.status == PRICE_OK

    @property
    def price_status(self) -> int:
        """PriceStatus of the pricing context."""
        return self.px.status

    @property
    def fair_up(self) -> float:
        """Model probability of Up."""
        return self.px.p_up

    @property
    def z(self) -> float:
        """Standardised distance ln(m/K)/v."""
        return self.px.z

    @property
    def se_fair(self) -> float:
        """Standard error of the fair probability."""
        return self.px.se_q

    @property
    def greeks(self) -> tuple[float, float, float]:
        """Delta, gamma, vega of one Up share, USD per USD of spot."""
        return self.px.delta, self.px.gamma, self.px.vega

    @property
    def open_order_count(self) -> int:
        """Orders that may still fill."""
        return len(self.open_orders)

    @property
    def siblings(self) -> list:
        """Every live window of the asset, this one and observed ones included."""
        return list(self.peers)

    def fair(self, int outcome) -> float:
        """Probability of the outcome that edges are reckoned with."""
        self.require_outcome(outcome)
        return self.q(outcome)

    def best_ask(self, int outcome) -> int:
        """Best ask of the outcome in ticks, -1 when there is none."""
        self.require_outcome(outcome)
        return self.book.best_ask(outcome)

    def best_bid(self, int outcome) -> int:
        """Best bid of the outcome in ticks, -1 when there is none."""
        self.require_outcome(outcome)
        return self.book.best_bid(outcome)

    def strategy_position(self, int strategy) -> tuple[int, int]:
        """Micro-shares of Up and of Down one strategy holds, what is offered included."""
        if not 0 <= strategy < MAX_STRATEGIES:
            raise IndexError(strategy)
        return self.strat_shares[strategy][UP_SLOT], self.strat_shares[strategy][DOWN_SLOT]

    def position(self) -> tuple[int, int]:
        """Micro-shares held of Up and Down."""
        return self.shares[UP_SLOT], self.shares[DOWN_SLOT]

    def gate_rows(self, int strategy) -> list:
        """Last evaluated gates of a strategy: (value, threshold, compare, result) each."""
        if not 0 <= strategy < MAX_STRATEGIES:
            raise IndexError(f"no strategy {strategy}")
        return [(self.gates[strategy][g].value, self.gates[strategy][g].threshold, self.gates[strategy][g].compare,
                 self.gates[strategy][g].result) for g in range(MAX_GATES)]

    def nearest_miss(self, int strategy) -> tuple | None:
        """The evaluation that came closest to a signal without being one; None while there was none.

        (gate that ended it, value, threshold, GateCompare, gates passed before it, seconds left then).  Most gates
        passed comes first, then the smallest shortfall |value - threshold| / |threshold| (in plain units where the
        threshold is 0), then the earlier one.  Signals, denied ones too, are no misses.
        """
        if not 0 <= strategy < MAX_STRATEGIES:
            raise IndexError(f"no strategy {strategy}")
        cdef Miss* miss = &self.nearest[strategy]
        if miss.gate < 0:
            return None
        return miss.gate, miss.value, miss.threshold, miss.compare, miss.passed, (self.end_ns - miss.at_ns) * 1e-9

    def stats(self) -> dict:
        """Counters of this market, most of them lists by strategy index; per strategy and at every instant
        signals == dispatched + dropped + sum(denials).

        `restored` orders came from an earlier process, `unasked` evaluations passed a disabled strategy by; `blocked`
        counts evaluations and `reason_ns` time in the window by Denial (0: strategies were asked).
        """
        cdef int s, d
        return {
            "signals": [self.signals[s] for s in range(MAX_STRATEGIES)],
            "dispatched": [self.dispatched[s] for s in range(MAX_STRATEGIES)],
            "dropped": [self.dropped[s] for s in range(MAX_STRATEGIES)],
            "denials": [{d: self.denials[s][d] for d in range(64) if self.denials[s][d]} for s in range(MAX_STRATEGIES)],
            "restored": [self.restored[s] for s in range(MAX_STRATEGIES)],
            "unasked": [self.unasked[s] for s in range(MAX_STRATEGIES)],
            "blocked": {d: self.blocked[d] for d in range(64) if self.blocked[d]},
            "reason_ns": {d: self.reason_ns[d] for d in range(64) if self.reason_ns[d]},
            "off_tick": self.book.off_tick, "fees_usd": self.fees_usd,
            "cost_usd": self.cost_usd[0] + self.cost_usd[1],
        }


cdef inline int _best_ask(Book book, int outcome) noexcept:
    """Book.best_ask without the call."""
    if outcome == UP_SLOT:
        return <int> book.best[1]
    return <int> (TOP - book.best[0]) if book.best[0] >= 0 else -1


cdef int _told(double ticks, int empty) noexcept:
    """A best price told beside a delta: -2 when not told, -1 for an empty side (`empty` on the wire)."""
    if ticks < 0.0:
        return -2
    return -1 if ticks == empty else <int> ticks
