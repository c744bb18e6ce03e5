"""Where the PnL came from, in integer micro-USD that sum to it without a remainder.

    edge              = V_fair - V_expected
    slippage          = V_expected - V_paid
    fees              = -fee
    adverse selection = V_horizon - V_fair
    outcome luck      = V_payout - V_horizon

The sum telescopes to V_payout - cost, the fill's PnL; the values are defined at `terms_of`.  Adverse selection is what
the model itself thought of the trade a moment later: a model that is wrong all along shows up as luck that is always
bad, which calibration and markouts tell.  Called by polybot.backtest.scores.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polybot._fast.event import Outcome
from polybot.backtest.counted import TICKS_PER_USD, Counted
from polybot.backtest.lookup import Timeline
from polybot.backtest.score_tree import Attribution

__all__ = ["HORIZON_S", "Terms", "attribution", "terms_of"]

HORIZON_S = 5.0  # long enough for a quote that was late to move, short beside a window
NS = 1_000_000_000

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Terms:
    """Micro-USD of every fill that counts, shapes (n,), and what was not known of it."""

    pnl: Ints
    edge: Ints
    slippage: Ints
    fees: Ints
    adverse: Ints
    luck: Ints
    fair_unknown: Bools
    expected_unknown: Bools
    horizon_unknown: Bools
    horizon_mid: Bools


def terms_of(counted: Counted, samples: Any) -> Terms:
    """Split the PnL of every fill; samples: rows of SAMPLES_DTYPE.

    Values of a fill's shares, each rounded once to whole micro-USD, signed by the side (d = +1 BUY, -1 SELL):

    V_fair      d x fair of the outcome at decision x shares, by its signal (unknown: V_expected)
    V_expected  d x price expected at decision x shares (unknown: V_paid)
    V_paid      cost - fee, the exact notional
    V_horizon   d x fair of the outcome HORIZON_S after the fill x shares: of the last sample up to then that is after
                the fill and inside the window; its mid where the model said nothing; no such sample: V_fair
    V_payout    d x shares if the outcome won, else 0
    """
    fills, sign = counted.fills, counted.sign
    shares = np.asarray(fills["shares"], dtype=np.int64)
    fee = np.asarray(fills["fee"], dtype=np.int64)
    paid = np.asarray(fills["cost"], dtype=np.int64) - fee
    expected_unknown = np.asarray(fills["expected_ticks"] <= 0)
    ticks = np.asarray(fills["expected_ticks"], dtype=np.int64)
    expected = np.where(expected_unknown, paid, sign * _leg(fills["outcome"], shares, ticks))
    fair_unknown = ~np.isfinite(fills["fair"])
    fair = np.where(fair_unknown, expected, _value(fills["fair"], shares, sign))
    later, horizon_mid = _later(counted, samples)
    horizon_unknown = ~np.isfinite(later)
    horizon = np.where(horizon_unknown, fair, _value(later, shares, sign))
    return Terms(
        pnl=counted.pnl,
        edge=fair - expected,
        slippage=expected - paid,
        fees=-fee,
        adverse=horizon - fair,
        luck=counted.payout - horizon,
        fair_unknown=fair_unknown,
        expected_unknown=expected_unknown,
        horizon_unknown=horizon_unknown,
        horizon_mid=horizon_mid,
    )


def attribution(terms: Terms, mask: Bools) -> Attribution:
    """Sum the terms of the fills in mask, exactly."""

    def total(values: Any) -> int:
        return int(values[mask].sum())

    found = Attribution(
        fills=total(np.ones(len(mask), dtype=np.int64)),
        pnl_micro=total(terms.pnl),
        edge_micro=total(terms.edge),
        slippage_micro=total(terms.slippage),
        fees_micro=total(terms.fees),
        adverse_micro=total(terms.adverse),
        luck_micro=total(terms.luck),
        horizon_s=HORIZON_S,
        fair_unknown=total(terms.fair_unknown),
        expected_unknown=total(terms.expected_unknown),
        horizon_unknown=total(terms.horizon_unknown),
        horizon_mid=total(terms.horizon_mid),
    )
    parts = (
        found.edge_micro + found.slippage_micro + found.fees_micro + found.adverse_micro + found.luck_micro
    )
    assert parts == found.pnl_micro
    return found


def _later(counted: Counted, samples: Any) -> tuple[Floats, Bools]:
    """Worth of the outcome at the horizon, USD (NaN: unknown), and where it is the mid."""
    fills = counted.fills
    if not len(fills) or not len(samples):
        return np.full(len(fills), np.nan), np.zeros(len(fills), dtype=np.bool_)
    at = np.asarray(fills["recv_ns"], dtype=np.int64)
    until = np.minimum(at + int(HORIZON_S * NS), counted.markets["end_ns"][counted.row] - 1)
    row = Timeline(samples["market"], samples["recv_ns"]).last_at(fills["market"], until)
    after = (row >= 0) & (np.asarray(samples["recv_ns"])[row] > at)
    fair = np.where(after, np.asarray(samples["fair"])[row], np.nan)
    mid = np.where(after, np.asarray(samples["mid"])[row], np.nan)
    by_mid = ~np.isfinite(fair) & np.isfinite(mid)
    up = np.where(by_mid, mid, fair)
    return np.where(fills["outcome"] == Outcome.UP, up, 1.0 - up), by_mid


def _value(usd: Any, shares: Ints, sign: Ints) -> Ints:
    """Round usd x shares to micro-USD; NaN becomes 0, which callers replace."""
    known = np.nan_to_num(np.asarray(usd, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return sign * np.rint(known * shares).astype(np.int64)


def _leg(outcome: Any, shares: Ints, ticks: Ints) -> Ints:
    """Micro-USD of shares at ticks, rounded as money is booked (`fees.leg_micro_usd`): Up half up, Down the rest."""
    down = np.asarray(outcome) == Outcome.DOWN
    up = (np.where(down, TICKS_PER_USD - ticks, ticks) * shares + TICKS_PER_USD // 2) // TICKS_PER_USD
    return np.asarray(np.where(down, shares - up, up), dtype=np.int64)
