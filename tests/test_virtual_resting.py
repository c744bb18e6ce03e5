"""Whole virtual runs with orders that rest: placed post-only, ended by their own life, and the ledger agrees."""

import pytest
from runs import configure, rows, run

LIFE_S = 4.0
HEARTBEAT_MS = 110
# What makes each of them rest often enough in one window; the other strategies stay out of the way.
EAGER = {
    "lp_extreme": {
        "min_abs_z": 0.3,
        "max_ask_usd": 0.5,
        "min_edge": 0.005,
        "life_s": LIFE_S,
        "cancel_edge": -0.5,
    },
    "convexity_fade": {
        "overreaction_z": 0.2,
        "overreaction_min_samples": 50,
        "min_edge": 0.0,
        "life_s": LIFE_S,
        "cancel_buffer_edge": 0.9,
    },
}


@pytest.mark.parametrize("name", EAGER)
def test_resting_orders_end_by_their_own_life_and_the_ledger_agrees(tmp_path, name):
    changes = {
        f"strategy__{other}__enabled": other == name
        for other in ("latency_arb", "certainty_capture", "convexity_fade", "strike_misalign", "lp_extreme")
    }
    changes |= {f"strategy__{name}__{key}": value for key, value in EAGER[name].items()}
    result = run(
        tmp_path, configure(venue__makers="slow", venue__seed=4, model__edge_se_multiple=0.0, **changes)
    )
    states = {}
    for row in rows(result, "orders.csv"):
        states.setdefault(row["order_seq"], []).append(row)
    cancelled = [lives for lives in states.values() if "CANCEL_SENT" in {row["state"] for row in lives}]
    assert {row["strategy"] for lives in states.values() for row in lives} == {name}
    assert {row["order_type"] for lives in states.values() for row in lives} == {"GTC"}
    assert len(cancelled) >= 2
    for lives in cancelled:
        asked = next(row for row in lives if row["state"] == "CANCEL_SENT")
        rested_ms = int(asked["ts_ms"]) - int(lives[0]["ts_ms"])
        assert LIFE_S * 1_000 <= rested_ms <= LIFE_S * 1_000 + HEARTBEAT_MS
        assert lives[-1]["state"] == "CANCELED"
    assert any(lives[-1]["matched_micro"] == "0" for lives in cancelled)
    fills = rows(result, "fills.csv")
    assert fills
    assert {row["fee_micro_usd"] for row in fills} == {"0"}  # makers pay none
    assert result.check.is_ok, result.check.text()
    assert result.check.venue.pnl == sum(result.summary.pnl_usd.values())
    assert not result.summary.orders_may_be_open
