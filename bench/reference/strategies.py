"""S1 to S5 as plain functions of what is known of a market; each answers with a Signal or None.

Written from docs/STRATEGIES.md; settings are the dict of conf/strategy/<name>.yaml.  Gates are asked in the order
given there and the first that fails ends it.  S6 is in `cross`.  Must not know of orders or limits: `engine` and
`risk` judge the signals.
"""

import math
from dataclasses import dataclass
from typing import Any

from bench.reference.books import DOWN, UP
from bench.reference.market import Market
from bench.reference.pricing import half_kelly
from bench.reference.spot import Spot

__all__ = [
    "STRATEGIES",
    "Signal",
    "certainty_capture",
    "convexity_fade",
    "latency_arb",
    "lp_extreme",
    "strike_misalign",
    "take",
]

TOP = 10_000
LOT = 10_000  # 0.01 share in micro-shares
MICRO = 1e-6
HALF_TICK = 0.5e-4
ROUNDING = 1e-9
Settings = dict[str, Any]


@dataclass(slots=True)
class Signal:
    """An opinion on one outcome; USD per share, micro-shares."""

    outcome: int
    ticks: int
    ushares: int
    price: float
    fair: float
    edge: float
    order_type: str = "FAK"
    post_only: bool = False
    confidence: float = math.nan
    life_ns: int = 0
    cancel_edge: float = math.nan
    strategy: str = ""
    fate: str = "DISPATCHED"

    @property
    def score(self) -> float:
        return self.edge * self.confidence


def clamp(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))


def taker_edge(m: Market, outcome: int) -> float:
    """Edge per share at the best ask after the fee; NaN without an ask."""
    ask = m.book.best_ask(outcome)
    if not 0 < ask < TOP:
        return math.nan
    return m.fair(outcome) - ask * 1e-4 - m.fee(ask * 1e-4)


def better(m: Market) -> tuple[int, float]:
    """The outcome with the larger edge at its ask, and that edge."""
    up, down = taker_edge(m, UP), taker_edge(m, DOWN)
    return (UP, up) if math.isnan(down) or up >= down else (DOWN, down)


def take(m: Market, outcome: int, q: float, cap: float, floor: float) -> Signal | None:
    """Walk the asks while a level keeps `floor` and the whole stays within half-Kelly at its own average cost.

    With N shares for C in all, C <= B (q - c) / 2 / (1 - c) at c = C / N, so C (N - C) <= B / 2 (q N - C): what may
    still be added at a level's cost is the larger root of a quadratic, and the cap bounds it too.
    """
    bankroll, half = m.bankroll_usd, 0.5 * m.bankroll_usd
    cap = min(cap, m.kelly_cap)
    taken, turnover, spent = 0, 0, 0.0
    worst, last = -1, math.nan
    for ticks, level in m.book.asks_of(outcome):
        cost = ticks * 1e-4 + m.fee(ticks * 1e-4)
        if not 0 < ticks < TOP or ticks % m.book.tick or not q - cost >= floor:
            break
        held = taken * MICRO
        a = cost * (1.0 - cost)
        b = spent * (1.0 - cost) + cost * (held - spent) - half * (q - cost)
        c = spent * (held - spent) - half * (q * held - spent)
        root = (math.sqrt(b * b - 4.0 * a * c) - b) / (2.0 * a) if c <= 0.0 else 0.0
        room = max(0.0, min(root, (cap * bankroll - spent) / cost)) / MICRO
        here = min(level, int(room))
        if here <= 0:
            break
        taken, turnover, spent = taken + here, turnover + here * ticks, spent + here * MICRO * cost
        worst, last = ticks, cost
        if here < level:
            break
    if taken < LOT:
        return None
    dust = taken % LOT
    taken, turnover, spent = taken - dust, turnover - dust * worst, spent - dust * MICRO * last
    return Signal(outcome, worst, taken, turnover / taken * 1e-4, q, q - spent / (taken * MICRO))


def rest(m: Market, outcome: int, ticks: int, cap: float) -> Signal | None:
    """A post-only BUY at ticks: no fee, half-Kelly."""
    if not 0 < ticks < TOP:
        return None
    price, q = ticks * 1e-4, m.fair(outcome)
    part = min(half_kelly(q, price), cap, m.kelly_cap)
    ushares = int(part * m.bankroll_usd / price / MICRO)
    ushares -= ushares % LOT
    if ushares < LOT:
        return None
    return Signal(outcome, ticks, ushares, price, q, q - price, "GTC", True)


def join(m: Market, outcome: int, most: int, improve: int) -> int:
    """Price of a bid: at most `most`, so many steps above the best bid, below the ask, on the grid; -1: none."""
    step, bid, ask = m.book.tick, m.book.best_bid(outcome), m.book.best_ask(outcome)
    ticks = min(most, (ask if ask > 0 else TOP) - 1)
    if bid > 0:
        ticks = min(ticks, bid + improve * step)
    ticks -= ticks % step if ticks > 0 else 0
    return ticks if ticks >= step else -1


def latency_arb(m: Market, spot: Spot, s: Settings) -> Signal | None:
    """S1: a quote that has not followed the spot."""
    outcome, edge = better(m)
    se = s["edge_se_multiple"] * m.priced.se
    if not (edge >= s["min_edge"] and edge >= se):
        return None
    if s["require_move"]:
        before = m.fair_had_spot_been(spot_when_quoted(m, spot, outcome), spot, outcome)
        if not edge - (m.fair(outcome) - before) <= s["require_move_edge"]:
            return None
    signal = take(m, outcome, m.fair(outcome), s["size_cap_frac"], max(s["min_edge"], se))
    if signal is not None:
        signal.order_type = s["order_type"]
        signal.confidence = clamp(signal.edge / s["confidence_scale_edge"], s["confidence_min"], 1.0)
    return signal


def spot_when_quoted(m: Market, spot: Spot, outcome: int) -> float:
    """Spot when the best ask was set, by both venues' stamps; where those do not reach, when we heard of it."""
    age = m.book.age_of_best_ask(outcome)
    if age is None:
        return math.nan
    stamp_ns, at_receipt = age
    seen = spot.basis.spot_at(stamp_ns)
    return at_receipt if math.isnan(seen) else seen


def certainty_capture(m: Market, spot: Spot, s: Settings) -> Signal | None:
    """S2: the nearly decided outcome, still cheap."""
    size = abs(m.priced.z)
    if not size >= s["min_abs_z"]:
        return None
    outcome = UP if m.priced.z > 0.0 else DOWN
    floor = max(s["min_edge"], s["edge_se_multiple"] * m.priced.se)
    if not taker_edge(m, outcome) >= floor:
        return None
    cap = s["size_cap_frac"]
    if size > s["size_cap_high_abs_z"]:
        cap = s["size_cap_high_frac"]
    elif size > s["size_cap_mid_abs_z"]:
        cap = s["size_cap_mid_frac"]
    signal = take(m, outcome, m.fair(outcome), cap, floor)
    if signal is not None:
        signal.order_type = s["order_type"]
        signal.confidence = clamp(size / s["confidence_scale_z"], s["confidence_min"], s["confidence_max"])
    return signal


def convexity_fade(m: Market, spot: Spot, s: Settings) -> Signal | None:
    """S3: near the strike, bid for the outcome that fell further than the model says."""
    if spot.regime.is_trend or not abs(m.spot - m.strike) / m.strike <= s["max_distance_frac"]:
        return None
    least_left = s["min_left_s"]
    if m.spec.rule == "twap":
        least_left = max(least_left, m.spec.twap_window_s + m.lag_s)
    if not m.tau_s >= least_left:
        return None
    outcome, edge = better(m)
    sd = m.moves.sd()
    if math.isnan(edge) or math.isnan(sd):
        return None
    moved = m.moves.since(m.book.mid(), m.priced.p_up, m.now_ns)
    fell = (-moved if outcome == UP else moved) / max(sd, s["overreaction_min_sd"])
    if not (fell >= s["overreaction_z"] and edge >= s["min_edge"]):
        return None
    if not edge >= s["edge_se_multiple"] * m.priced.se:
        return None
    ticks = join(m, outcome, m.book.best_bid(outcome), 0)
    signal = rest(m, outcome, ticks, s["size_cap_frac"]) if ticks > 0 else None
    if signal is not None:
        swing = m.priced.phi * math.sqrt(s["swing_s"] / m.priced.t_eff) * math.sqrt(2.0 / math.pi)
        signal.life_ns, signal.cancel_edge = int(s["life_s"] * 1e9), -s["cancel_buffer_edge"]
        signal.confidence = clamp(signal.edge / swing, s["confidence_min"], s["confidence_max"])
    return signal


def strike_misalign(m: Market, spot: Spot, s: Settings) -> Signal | None:
    """S4: at the open, lean the way the VWAP lies from the strike."""
    length_s = (m.spec.end_ns - m.spec.start_ns) * 1e-9
    opening_s = min(s["opening_max_s"], max(s["opening_s"], s["opening_frac"] * length_s))
    if not (m.now_ns - m.spec.start_ns) * 1e-9 <= opening_s:
        return None
    vwap = spot.vwap.mean() + (0.0 if m.spec.rule == "candle" else spot.basis.beta)
    if not vwap > 0.0:
        return None
    shift = -m.priced.phi / (vwap * m.priced.v) * (m.strike - vwap)
    outcome = UP if shift > 0.0 else DOWN
    floor = max(s["min_edge"], s["edge_se_multiple"] * m.priced.se)
    if not (abs(shift) >= s["min_shift_edge"] and taker_edge(m, outcome) >= floor):
        return None
    if s["order_type"] == "POST_ONLY":
        signal = rest(m, outcome, join(m, outcome, m.book.best_bid(outcome), 0), s["size_cap_frac"])
    else:
        signal = take(m, outcome, m.fair(outcome), s["size_cap_frac"], floor)
    if signal is not None:
        if signal.post_only:
            signal.life_ns, signal.cancel_edge = int(s["life_s"] * 1e9), s["cancel_edge"]
        else:
            signal.order_type = s["order_type"]
        signal.confidence = clamp(
            abs(shift) / s["confidence_scale_edge"], s["confidence_min"], s["confidence_max"]
        )
    return signal


def lp_extreme(m: Market, spot: Spot, s: Settings) -> Signal | None:
    """S5: rest a low bid for the outcome that is losing but not lost."""
    if spot.regime.is_trend or not abs(m.priced.z) >= s["min_abs_z"]:
        return None
    length_s = (m.spec.end_ns - m.spec.start_ns) * 1e-9
    if not m.tau_s >= max(s["min_left_s"], s["min_left_frac"] * length_s):
        return None
    outcome = DOWN if m.priced.z > 0.0 else UP
    ask = m.book.best_ask(outcome)
    if not (ask * 1e-4 if ask > 0 else 1.0) <= s["max_ask_usd"] - HALF_TICK:
        return None
    floor = max(s["min_edge"], s["edge_se_multiple"] * m.priced.se)
    most = math.floor((m.fair(outcome) - floor) * 1e4 + ROUNDING)
    signal = rest(m, outcome, join(m, outcome, most, s["improve_ticks"]), s["size_cap_frac"])
    if signal is not None:
        signal.life_ns, signal.cancel_edge = int(s["life_s"] * 1e9), s["cancel_edge"]
        signal.confidence = clamp(
            signal.edge / s["confidence_scale_edge"], s["confidence_min"], s["confidence_max"]
        )
    return signal


# name -> (function, asked on spot trades, asked on this market's books)
STRATEGIES = {
    "certainty_capture": (certainty_capture, False, True),
    "convexity_fade": (convexity_fade, False, True),
    "latency_arb": (latency_arb, True, False),
    "lp_extreme": (lp_extreme, True, True),
    "strike_misalign": (strike_misalign, True, True),
}
