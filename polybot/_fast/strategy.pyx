"""Strategy: a stateless function of market state that may fill in one Signal.

Theory of operation: the engine prepares a market's pricing context once per venue message and calls
``evaluate`` of every strategy whose trigger matches.  A strategy walks its gates in order; each gate records
value, threshold and result in the market, so the diagnostics show what the decision itself saw.  The first
gate that fails ends the evaluation; when all pass, the strategy fills the Signal and returns 1.

Subclass in Cython (override ``cpdef int evaluate``) or in plain Python (override ``evaluate``); both run
unchanged in live, paper, backtest and replay.  Must not keep state between calls that a replay could not rebuild.
"""
from libc.math cimport INFINITY, NAN, fabs, fmax, fmin, sqrt
from libc.stdint cimport int64_t

from polybot._fast.event cimport BUY, FAK, FOK, GTC
from polybot._fast.pricing cimport half_kelly
from polybot._fast.state cimport (
    GATE_AT_LEAST, GATE_AT_MOST, GATE_BLOCKED, GATE_FLAG, GATE_NOT_REACHED, GATE_PASSED, MAX_GATES, MAX_STRATEGIES,
    Gate, MarketState, Miss, SpotState,
)

cdef double MICRO = 1e-6
cdef int64_t LOT = 10_000        # 0.01 share, the venue's share lot, in micro-shares


cdef double kelly_room(double q, double cost, double shares, double spent, double stake_usd, double cap_usd) noexcept:
    """Most shares at `cost` (price + fee) to add to `shares` that cost `spent`, for the whole to stay within Kelly.

    stake_usd: the part of Kelly that is bet x bankroll.  With N = shares + x and C = spent + cost x the bound is
    C <= stake (q - c) / (1 - c) at c = C / N, which is C (N - C) <= stake (q N - C): quadratic in x.
    """
    cdef double square = cost * (1.0 - cost)
    cdef double linear = spent * (1.0 - cost) + cost * (shares - spent) - stake_usd * (q - cost)
    cdef double constant = spent * (shares - spent) - stake_usd * (q * shares - spent)
    cdef double root, most = (cap_usd - spent) / cost
    if not (0.0 < cost < 1.0) or constant > 0.0:
        return 0.0
    root = sqrt(linear * linear - 4.0 * square * constant)
    root = -2.0 * constant / (linear + root) if linear > 0.0 else (root - linear) / (2.0 * square)
    return fmax(0.0, fmin(root, most))


cdef inline bint _answer(Strategy self, int number, double value, double threshold, int compare, bint ok) noexcept:
    """Record what a gate saw and said; the one that fails last ends the evaluation."""
    cdef Gate* gate = &self._gates[number]
    gate.value, gate.threshold, gate.compare, gate.result = value, threshold, compare, GATE_PASSED if ok else GATE_BLOCKED
    self._reached |= 1 << number
    if not ok:
        self._stopped_by = number
    return ok


cdef inline void _clear_gates(MarketState market, int strategy, int reached) noexcept:
    """An evaluation reached these gates (1 << number each): what is left of the one before is forgotten."""
    cdef int stale = market.reached[strategy] & ~reached, g = 0
    market.reached[strategy] = reached
    while stale:
        if stale & 1:
            market.gates[strategy][g].result = GATE_NOT_REACHED
        stale >>= 1
        g += 1


cdef inline double _shortfall(const Gate* gate, double* scale) noexcept:
    """How far the value of a blocked gate lies from its threshold, above 0; relative to `scale`, |threshold|.

    Of a threshold 0 there is no part: the scale is 1, as for yes/no.  Infinite where either is no number.
    """
    cdef double short = gate.threshold - gate.value if gate.compare != GATE_AT_MOST else gate.value - gate.threshold
    scale[0] = fabs(gate.threshold) if gate.threshold != 0.0 else 1.0
    if short < INFINITY:
        return short
    scale[0] = 1.0
    return INFINITY


cdef inline void _note_miss(MarketState market, int strategy, int g) noexcept:
    """Gate g ended an evaluation: keep it if none of the window came closer to a signal (MarketState.nearest_miss)."""
    cdef Gate* gates = market.gates[strategy]
    cdef Miss* best = &market.nearest[strategy]
    cdef double short, scale
    cdef int before
    if g < best.gate or g < 0 or gates[g].result != GATE_BLOCKED:
        return
    short = _shortfall(&gates[g], &scale)
    if g == best.gate and not short * best.scale < best.shortfall * scale:
        return
    best.gate, best.compare, best.at_ns = g, gates[g].compare, market.now_ns
    best.value, best.threshold, best.shortfall, best.scale = gates[g].value, gates[g].threshold, short, scale
    best.passed = 0
    for before in range(g):
        best.passed += gates[before].result == GATE_PASSED


cdef inline void _clear(Signal s) noexcept:
    """What a strategy does not say must not be somebody's old opinion."""
    s.outcome = -1
    s.side, s.order_type, s.post_only = BUY, FAK, False
    s.price_ticks = 0
    s.shares = 0
    s.life_ns = 0
    s.price = s.fair = s.edge = s.confidence = s.size_frac = s.cancel_edge = NAN


cdef class Signal:
    """A strategy's opinion on one outcome; reused, so copy what must outlive the call."""

    def __cinit__(self):
        self.strategy = -1

    cdef void copy_from(self, Signal other) noexcept:
        self.outcome = other.outcome
        self.side = other.side
        self.order_type = other.order_type
        self.post_only = other.post_only
        self.price_ticks = other.price_ticks
        self.price = other.price
        self.shares = other.shares
        self.fair = other.fair
        self.edge = other.edge
        self.confidence = other.confidence
        self.size_frac = other.size_frac
        self.life_ns = other.life_ns
        self.cancel_edge = other.cancel_edge
        self.strategy = other.strategy
        self.reason = other.reason

    cdef void clear(self) noexcept:
        """Forget everything."""
        _clear(self)

    cdef double score(self) noexcept:
        return self.edge * self.confidence

    cdef int check(self) except -1:
        """Raise ValueError for an opinion no order could be made of; its strategy is then disabled."""
        if not 0 <= self.outcome <= 1 or not 0 <= self.side <= 1 or not 0 <= self.order_type <= FAK:
            raise ValueError(f"outcome {self.outcome}, side {self.side} or order_type {self.order_type} is no such thing")
        if self.post_only and (self.order_type == FAK or self.order_type == FOK):
            raise ValueError("post_only and FAK or FOK contradict each other: order_type must be GTC or GTD")
        if not 0 < self.price_ticks < 10_000 or self.shares <= 0:
            raise ValueError(f"price_ticks {self.price_ticks} or shares {self.shares} out of range")
        if self.life_ns < 0:
            raise ValueError(f"life_ns {self.life_ns} is negative")
        if not (-1.0 <= self.edge <= 1.0 and 0.0 <= self.confidence <= 1.0 and 0.0 <= self.price <= 1.0):
            raise ValueError(f"edge {self.edge}, confidence {self.confidence} or price {self.price} out of range")
        return 0


cdef class Strategy:
    """Base of all strategies.

    name: unique, as in conf/strategy; gate_names: at most 10, in the order they are walked;
    triggers: sum of Trigger codes; passive: exempt from the house side.
    """

    def __init__(self, str name, *, gate_names, int triggers, bint passive=False, bint enabled=True,
                 double edge_se_multiple=1.0):
        gate_names = tuple(gate_names)
        if len(gate_names) > MAX_GATES:
            raise ValueError(f"{name}: at most {MAX_GATES} gates, got {len(gate_names)}")
        self.name = name
        self.gate_names = gate_names
        self.triggers = triggers
        self.passive = passive
        self.enabled = enabled
        self.edge_se_multiple = edge_se_multiple
        self.kelly_frac = 0.5
        self.kelly_cap_frac = 0.15
        self.index = -1

    def bind(self, int index) -> None:
        """Give the strategy its place in the engine's list."""
        if not 0 <= index < MAX_STRATEGIES:
            raise ValueError(f"at most {MAX_STRATEGIES} strategies")
        self.index = index

    def set_sizing(self, *, double kelly_frac, double kelly_cap_frac) -> None:
        """Bet this part of Kelly (0.5: half), at most kelly_cap_frac of bankroll."""
        if not (0.0 <= kelly_frac <= 1.0 and kelly_cap_frac >= 0.0):
            raise ValueError(f"kelly_frac {kelly_frac} or kelly_cap_frac {kelly_cap_frac} out of range")
        self.kelly_frac = kelly_frac
        self.kelly_cap_frac = kelly_cap_frac

    def disable(self) -> None:
        """Stop asking this strategy (it raised, or the operator said so)."""
        self.enabled = False

    cpdef int evaluate(self, MarketState market, SpotState spot, Signal signal) except? -1:
        """Fill `signal` and return 1, or return 0. Override this."""
        return 0

    cdef int prepare(self, MarketState market) except -1:
        """Called by the engine when a market opens: ask for what must be measured from then on."""
        return 0

    cdef int run(self, MarketState market, SpotState spot, Signal signal) except -1:
        """Called by the engine: forget the last gates, then evaluate."""
        cdef int fired
        self._gates = market.gates[self.index]
        self._stopped_by, self._reached = -1, 0
        _clear(signal)
        signal.strategy = self.index
        try:
            fired = self.evaluate(market, spot, signal)
        finally:
            self._gates = NULL
            _clear_gates(market, self.index, self._reached)
        if fired != 0 and fired != 1:
            raise ValueError(f"evaluate returned {fired}, not 0 or 1")
        if not fired:
            _note_miss(market, self.index, self._stopped_by)
        return fired

    cdef int require_gate(self, int number) except -1:
        """Raise unless `number` is one of gate_names and an evaluation is under way."""
        if self._gates == NULL:
            raise RuntimeError("gates are tested inside evaluate only")
        if not 0 <= number < len(self.gate_names):
            raise IndexError(f"gate {number} of {len(self.gate_names)}")
        return 0

    cdef bint gate(self, int number, double value, double threshold) noexcept:
        """Record and test value >= threshold; NaN blocks."""
        cdef bint ok = value >= threshold
        if self._gates == NULL:                 # asked outside run(): nothing to record in, and no answer
            return False
        return _answer(self, number, value, threshold, GATE_AT_LEAST, ok)

    cdef bint gate_most(self, int number, double value, double threshold) noexcept:
        """Record and test value <= threshold; NaN blocks."""
        cdef bint ok = value <= threshold
        if self._gates == NULL:                 # asked outside run(): nothing to record in, and no answer
            return False
        return _answer(self, number, value, threshold, GATE_AT_MOST, ok)

    cdef bint gate_flag(self, int number, bint ok) noexcept:
        """Record a yes/no gate."""
        if self._gates == NULL:
            return False
        return _answer(self, number, 1.0 if ok else 0.0, 1.0, GATE_FLAG, ok)

    def check_least(self, int number, double value, double threshold) -> bool:
        """Gate `number` for Python strategies: value >= threshold."""
        self.require_gate(number)
        return self.gate(number, value, threshold)

    def check_most(self, int number, double value, double threshold) -> bool:
        """Gate `number` for Python strategies: value <= threshold."""
        self.require_gate(number)
        return self.gate_most(number, value, threshold)

    def check_flag(self, int number, bint ok) -> bool:
        """Gate `number` for Python strategies: a condition."""
        self.require_gate(number)
        return self.gate_flag(number, ok)

    cdef double taker_edge(self, MarketState market, int outcome) noexcept:
        """Edge per share at the best ask, fee included; NaN without a price, an ask or a fee schedule."""
        return market.taker_edge(outcome)

    cdef bint size_taker(self, MarketState market, Signal signal, int outcome, double cap, double min_edge) noexcept:
        """Fill the signal for a taker BUY at the market's own fair; see size_taker_at."""
        return self.size_taker_at(market, signal, market.q(outcome), outcome, cap, min_edge)

    cdef bint size_taker_at(self, MarketState market, Signal signal, double q, int outcome, double cap,
                            double min_edge) noexcept:
        """Fill the signal for a taker BUY at probability q: Kelly size, limit at the worst level still worth `min_edge`.

        Walks the book (model.md section 3) as far as a level keeps `min_edge` and the stake is what Kelly says at the
        average cost so far, fees included; a level off the known tick grid, where no limit can be, ends the walk.
        False when not even one lot is worth it.
        """
        cdef int ticks = market.book.best_ask(outcome), worst = -1
        cdef int64_t tick = market.book.tick_size, taken = 0, here, level, notional = 0
        cdef double cost, room, last = NAN, spent = 0.0
        cap = fmin(cap, self.kelly_cap_frac)
        while 0 < ticks < 10_000 and not (tick > 0 and ticks % tick):
            cost = ticks * 1e-4
            cost += market.fee_per_share(cost)
            if not q - cost >= min_edge:
                break
            level = market.book.size_at_ask(outcome, ticks)
            room = kelly_room(q, cost, taken * MICRO, spent, self.kelly_frac * market.bankroll_usd,
                              cap * market.bankroll_usd) / MICRO
            here = level if room >= level else <int64_t> room
            if here <= 0:
                break
            taken += here
            notional += here * ticks
            spent += here * MICRO * cost
            worst, last = ticks, cost
            if here < level:
                break
            ticks = market.book.next_ask(outcome, ticks)
        if taken < LOT:
            return False
        here = taken % LOT                               # dust below the share lot goes off the worst level
        taken, notional, spent = taken - here, notional - here * worst, spent - here * MICRO * last
        signal.outcome, signal.price_ticks, signal.shares = outcome, worst, taken
        signal.price = (<double> notional) / (<double> taken) * 1e-4
        cost = spent / (taken * MICRO)
        signal.fair, signal.edge = q, q - cost
        signal.size_frac = fmin(cap, 2.0 * self.kelly_frac * half_kelly(q, cost, 1.0))
        return True

    cdef int rest_at(self, MarketState market, int outcome, int most_ticks, int improve_ticks) noexcept:
        """Price of a BUY that rests: at most most_ticks, at most so many steps above the best bid, below the ask.

        On the tick grid; -1 when no such price is there.  Without a bid there is nothing to relate to.
        """
        cdef int step = <int> market.book.tick_size
        cdef int bid = market.book.best_bid(outcome), ask = market.book.best_ask(outcome), price = most_ticks
        if step <= 0:
            return -1
        if bid > 0:
            price = min(price, bid + improve_ticks * step)
        price = min(price, (ask if ask > 0 else 10_000) - 1)
        price -= price % step if price > 0 else 0
        return price if price >= step else -1

    cdef bint size_maker(self, MarketState market, Signal signal, int outcome, int price_ticks, double cap) noexcept:
        """Fill the signal for a post-only BUY resting at price_ticks: no fee, Kelly (q - a)/(1 - a) (model.md 4, S5).

        False when the price is no price or fair is not above it.
        """
        cdef double price = price_ticks * 1e-4, q = market.q(outcome), frac
        cdef int64_t want
        if price_ticks <= 0 or price_ticks >= 10_000:
            return False
        frac = fmin(2.0 * self.kelly_frac * half_kelly(q, price, 1.0), fmin(cap, self.kelly_cap_frac))
        if not frac > 0.0:
            return False
        want = <int64_t> (frac * market.bankroll_usd / price / MICRO)
        want -= want % LOT
        if want < LOT:
            return False
        signal.outcome, signal.price_ticks, signal.price, signal.shares = outcome, price_ticks, price, want
        signal.fair, signal.edge, signal.size_frac = q, q - price, frac
        signal.order_type, signal.post_only = GTC, True
        return True

    def size_rest(self, MarketState market not None, Signal signal not None, int outcome, int price_ticks,
                  double cap) -> bool:
        """Fill the signal for a post-only BUY of `outcome` resting at price_ticks (Python strategies)."""
        market.require_outcome(outcome)
        return self.size_maker(market, signal, outcome, price_ticks, cap)

    def size_buy(self, MarketState market not None, Signal signal not None, int outcome, double cap,
                 double min_edge) -> bool:
        """Fill the signal for a taker BUY of `outcome` (Python strategies); see model.md section 3."""
        market.require_outcome(outcome)
        return self.size_taker(market, signal, outcome, cap, min_edge)

    def edge_at_ask(self, MarketState market not None, int outcome) -> float:
        """Edge per share at the best ask after the fee; NaN where there is none (Python strategies)."""
        market.require_outcome(outcome)
        return self.taker_edge(market, outcome)
