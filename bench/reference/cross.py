"""S6 cross_timeframe: our window's quote against what the asset's other live windows imply together.

Written from docs/STRATEGIES.md: at least two other usable windows, a predictive sd that is small enough, an edge of
min_edge and min_edge_sd of that sd, and the same when any one of the others is left out too.  The check of pairs only
reports, so it is not here.  Called by `engine` for every book of any window.
"""

import math
from collections.abc import Iterable

from bench.reference.books import DOWN, UP
from bench.reference.market import Market
from bench.reference.spot import Spot
from bench.reference.strategies import TOP, Settings, Signal, clamp, spot_when_quoted, take
from bench.reference.surface import Answer, Surface, Window

__all__ = ["cross_timeframe"]


def cross_timeframe(m: Market, spot: Spot, s: Settings, live: Iterable[Market]) -> Signal | None:
    """Our quote and the others' price disagree by more than they may."""
    others = [other for other in live if other is not m and is_comparable(other, spot, s, m.now_ns)]
    if len(others) < s["others_count"]:
        return None
    var_basis = 0.0 if math.isnan(spot.basis.var_ln) else spot.basis.var_ln
    surface = Surface(
        s, spot.sigma, spot.se_ln_sigma, var_basis, recent_move(spot, m.now_ns, s["quote_lag_s"])
    )
    surface.add(window_of(m, spot, is_quoted=False))
    for other in others:
        surface.add(window_of(other, spot, is_quoted=True))
    if sum(w.is_usable for w in surface.windows) < s["others_count"]:
        return None
    surface.lay_out()
    answer = surface.fit()
    if answer is None or not answer.sd <= s["max_fair_sd"]:
        return None
    up, down = edge_of(m, answer, UP), edge_of(m, answer, DOWN)
    outcome, edge = (UP, up) if math.isnan(down) or up >= down else (DOWN, down)
    floor = needed(answer, s)
    if not edge >= floor:
        return None
    for k, w in enumerate(surface.windows):
        if not w.is_usable:
            continue
        without = surface.fit(skip=k)
        if without is None or not edge_of(m, without, outcome) - needed(without, s) >= 0.0:
            return None
    q = answer.q_up if outcome == UP else 1.0 - answer.q_up
    signal = take(m, outcome, q, s["size_cap_frac"], floor)
    if signal is not None:
        sds = (
            signal.edge / answer.sd if answer.sd > 0.0 else math.inf
        )  # far out in the tail nothing is uncertain
        signal.confidence = clamp(sds / s["confidence_scale_sd"], s["confidence_min"], s["confidence_max"])
    return signal


def needed(answer: Answer, s: Settings) -> float:
    """Least edge, USD per share."""
    return max(s["min_edge"], max(s["min_edge_sd"], s["edge_se_multiple"]) * answer.sd)


def edge_of(m: Market, answer: Answer, outcome: int) -> float:
    """Edge at the best ask by the surface's probability, fee included; NaN without an ask."""
    ask = m.book.best_ask(outcome)
    if not 0 < ask < TOP:
        return math.nan
    q = answer.q_up if outcome == UP else 1.0 - answer.q_up
    return q - ask * 1e-4 - m.fee(ask * 1e-4)


def is_comparable(m: Market, spot: Spot, s: Settings, now_ns: int) -> bool:
    """A live window with a fresh book that can be priced now."""
    if m.is_closed or math.isnan(m.strike) or not m.spec.start_ns <= now_ns < m.spec.end_ns:
        return False
    if not m.book.is_known or now_ns - m.book_ns > s["book_max_age_s"] * 1e9 or m.book.is_crossed:
        return False
    return m.reprice(spot, now_ns) and m.tau_s >= s["min_left_s"]


def recent_move(spot: Spot, now_ns: int, lag_s: float) -> float:
    """Furthest |ln| of spot from where it was a whole, a half and a quarter of lag_s ago."""
    before = [spot.basis.spot_at(now_ns - int(lag_s * 1e9 * part)) for part in (1.0, 0.5, 0.25)]
    return max((abs(math.log(spot.last / price)) for price in before if price > 0.0), default=0.0)


def window_of(m: Market, spot: Spot, *, is_quoted: bool) -> Window:
    """A priced window as the surface wants it; without its quote when it is the one to be priced."""
    assert m.inputs is not None
    px, a = m.priced, m.inputs
    reach = px.dm_ds * a.spot / px.m
    bid, ask = m.book.best
    is_quoted = is_quoted and bid > 0 and ask > 0
    own = a.var_strike + a.var_locked
    then = [spot_when_quoted(m, spot, outcome) for outcome in (UP, DOWN)]
    return Window(
        tau_s=a.tau_s,
        u_s=px.u,
        w_s=a.window_s if a.rule == "twap" else 0.0,
        m=px.m,
        k=m.strike,
        reach=reach,
        basis_reach=0.0 if a.rule == "candle" else reach,
        var_own=own,
        extra=own + a.var_basis * reach**2,
        unseen=max((abs(math.log(spot.last / price)) for price in then if price > 0.0), default=0.0),
        bid=bid * 1e-4 if is_quoted else math.nan,
        ask=ask * 1e-4 if is_quoted else math.nan,
    )
