"""Command records: what the engine says of signals, orders, fills, settlements and its own state.

Owns the meaning of Command fields by kind.  Must not decide or count; called by the engine only.
All money in micro-USD, shares in micro-shares, prices in ticks of 1e-4.
"""
from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t

from polybot._fast.event cimport (
    CMD_DIAGNOSTIC, CMD_FILL, CMD_GATE, CMD_ORDER, CMD_PLACE, CMD_SETTLEMENT, CMD_SIGNAL, NO_STRATEGY, UP, Command, CommandBuffer,
)
from polybot._fast.order cimport Order, Trade
from polybot._fast.pricing cimport RULE_CANDLE
from polybot._fast.risk cimport DISPATCHED, Risk
from polybot._fast.state cimport DOWN_SLOT, UP_SLOT, MarketState, SpotState
from polybot._fast.strategy cimport Signal, Strategy

cdef Command* emit(CommandBuffer out, int kind, int market, int64_t now_ns) except NULL:
    """Append an empty command of this kind."""
    cdef Command* c = out.append()
    c.kind, c.market, c.decided_ns, c.strategy = kind, market, now_ns, NO_STRATEGY
    return c


cdef int record_signal(CommandBuffer out, MarketState m, Signal s, int kind, int64_t order_seq, int64_t now_ns) except -1:
    """CMD_SIGNAL and CMD_PLACE; usd is the average price expected in micro-USD per share, Greeks are of the outcome."""
    cdef Command* c = emit(out, kind, m.index, now_ns)
    cdef double sign = 1.0 if s.outcome == UP else -1.0
    c.order_seq, c.outcome, c.side, c.order_type, c.strategy = order_seq, s.outcome, s.side, s.order_type, s.strategy
    c.price_ticks, c.reason, c.shares = s.price_ticks, s.reason, s.shares
    c.edge, c.fair, c.confidence, c.size_frac = s.edge, s.fair, s.confidence, s.size_frac
    c.spot, c.distance, c.tau_s = m.spot, m.spot - m.strike, m.tau_s
    c.delta, c.gamma, c.vega = sign * m.px.delta, sign * m.px.gamma, sign * m.px.vega
    c.usd = <int64_t> (s.price * 1e6 + 0.5)
    return 0


cdef int record_dispatch(CommandBuffer out, MarketState m, Signal s, int64_t order_seq, int64_t now_ns) except -1:
    """The CMD_SIGNAL of an order and its CMD_PLACE, which tell the same."""
    cdef Command* place
    record_signal(out, m, s, CMD_SIGNAL, order_seq, now_ns)
    place = out.append()                         # may move them all
    place[0] = out.cmd[out.n - 2]
    place.kind = CMD_PLACE
    return 0


cdef int record_order(CommandBuffer out, Order o, int64_t now_ns) except -1:
    """CMD_ORDER; reason is the OrderStatus, usd holds the matched micro-shares."""
    cdef Command* c = emit(out, CMD_ORDER, o.market, now_ns)
    c.order_seq, c.outcome, c.side, c.order_type, c.strategy = o.seq, o.outcome, o.side, o.order_type, o.strategy
    c.price_ticks, c.reason, c.shares, c.usd = o.price_ticks, o.status, o.shares, o.matched
    return 0


cdef int record_fill(CommandBuffer out, Order o, Trade t, int64_t key, int64_t now_ns) except -1:
    """CMD_FILL; reason is the TradeStatus, usd the cost with fee, edge the fee, confidence the trade key."""
    cdef Command* c = emit(out, CMD_FILL, o.market, now_ns)
    c.order_seq, c.outcome, c.side, c.strategy, c.order_type = o.seq, o.outcome, o.side, o.strategy, o.order_type
    c.price_ticks, c.reason, c.shares, c.usd = t.price_ticks, t.status, t.shares, t.cost_usd
    c.edge, c.confidence, c.size_frac = <double> t.fee_usd, <double> key, 1.0 if t.maker else 0.0
    return 0


cdef int record_settlement(CommandBuffer out, MarketState m, int strategy, int64_t now_ns, int64_t cost,
                           int64_t payout) except -1:
    """CMD_SETTLEMENT; shares is the payout, usd the PnL, edge the cost: of the strategy in all, the latest counts."""
    cdef Command* c = emit(out, CMD_SETTLEMENT, m.index, now_ns)
    c.strategy, c.outcome = strategy, m.outcome
    c.shares, c.usd, c.edge = payout, payout - cost, <double> cost
    return 0


cdef int record_diagnostic(CommandBuffer out, MarketState m, SpotState spot, list strategies, int64_t now_ns) except -1:
    """One CMD_DIAGNOSTIC (strategy holds the Denial that blocks the market), then a CMD_GATE per gate as last walked
    (order_type 1: its strategy is disabled).

    What needs a price is NaN while the market is blocked.
    """
    cdef Command* c = emit(out, CMD_DIAGNOSTIC, m.index, now_ns)
    cdef Strategy strategy
    cdef int g
    c.strategy = m.block_reason
    c.tau_s = (m.end_ns - now_ns) * 1e-9
    c.spot = spot.last + (0.0 if m.rule == RULE_CANDLE else spot.basis.beta)
    c.distance = c.spot - m.strike
    c.edge, c.vega = spot.sigma, spot.regime.fraction
    if m.block_reason == DISPATCHED:
        c.fair, c.confidence, c.size_frac = m.px.p_up, m.px.z, m.px.se_q
        c.delta, c.gamma = m.px.delta, m.px.gamma
    else:
        c.fair = c.confidence = c.size_frac = c.delta = c.gamma = NAN
    c.order_type = spot.regime.regime
    c.price_ticks, c.reason = m.book.best_bid(UP), m.book.best_ask(UP)
    c.shares, c.side = m.shares[UP_SLOT] - m.shares[DOWN_SLOT], m.house + 1
    c.usd = 0 if isnan(m.strike) else <int64_t> (m.strike * 1e6)
    for strategy in strategies:
        for g in range(len(strategy.gate_names)):
            c = emit(out, CMD_GATE, m.index, now_ns)
            c.strategy, c.reason = strategy.index, g
            c.edge, c.fair = m.gates[strategy.index][g].value, m.gates[strategy.index][g].threshold
            c.confidence, c.size_frac = m.gates[strategy.index][g].compare, m.gates[strategy.index][g].result
            c.order_type = not strategy.enabled
    return 0


cdef int record_portfolio(CommandBuffer out, MarketState m, Risk risk, int64_t now_ns) except -1:
    """A CMD_GATE of no strategy while a position is open: what the account holds over all live windows.

    edge is net shares (Up minus Down) and fair their limit, distance shares short gamma and spot their limit
    (0: not limited), delta and gamma of the whole in USD per USD of spot.
    """
    cdef Command* c
    if not risk.has_position:
        return 0
    c = emit(out, CMD_GATE, m.index, now_ns)
    c.edge, c.fair, c.distance, c.spot = risk.net_shares, risk.max_delta, risk.short_gamma_shares, risk.max_short_gamma
    c.delta, c.gamma = risk.delta, risk.gamma
    return 0
