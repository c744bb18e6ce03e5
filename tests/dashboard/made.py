"""A watch answer made by hand, and a source that gives one after the other: for tests that need no daemon."""

import math
from typing import Any

from polybot.errors import NoDaemon

__all__ = ["START_NS", "MadeSource", "made_answer"]

NS = 1_000_000_000
START_NS = 1_795_337_100 * NS  # of the window; 2026-11-22 08:45 UTC
STRATEGIES = ("latency_arb", "certainty_capture", "convexity_fade", "strike_misalign", "lp_extreme")


def made_answer(step: int = 40, *, step_s: float = 2.5, **changes: Any) -> dict[str, Any]:
    """What a daemon would say `step` looks into a window."""
    at_s = step * step_s
    now_ns = START_NS + round(at_s * NS)
    spot = 78_850.0 + 22 * math.sin(at_s / 31) + 9 * math.sin(at_s / 7.3) + at_s / 40
    z = (spot - 78_846.5) / 24
    fair = 0.5 + 0.5 * math.tanh(z)
    bid = min(9_700, max(200, round((fair - 0.012 + 0.02 * math.sin(at_s / 5)) * 100) * 100))
    answer = {
        "ok": True, "account": "0xa11ce", "session": "sim-7", "pid": 4242, "version": "0.1.0", "mode": "live",
        "venue": "sim", "asset": "btc", "interval": "5m", "risk": "standard", "ready": True, "halts": [],
        "now_ns": now_ns, "stopping": False, "entries": {"open": True, "reason": ""}, "started_ns": START_NS - 90 * NS,
        "speed": 1.0,
        "health": {"ok": True, "reasons": [], "loop_lag_ms": {"last": 0.4, "worst": 3.1},
                   "data_age_s": 0.2, "oldest": "spot"},
        "orders": {"count": 1, "shown": [{
            "order_seq": 179533710000004, "slug": "btc-updown-5m-1795337100", "strategy": "lp_extreme", "outcome": "Up",
            "side": "Buy", "order_type": "GTC", "price_ticks": bid, "shares": 20_000_000, "filled": 4_000_000,
            "state": "LIVE"}]},
        "positions": {"count": 1, "shown": [{"slug": "btc-updown-5m-1795337100", "outcome": "Up", "shares": 24_500_000,
                      "cost_usd": 13_720_000, "mark_usd": round(24_500_000 * fair)}]},
        "pnl": {"day_usd": 12_340_000, "week_usd": -4_500_000, "marked_usd": round(24_500_000 * fair) - 13_720_000,
                "daily_halt_usd": 30_000_000, "weekly_halt_usd": 80_000_000},
        "exposure": {"open_usd": 13_720_000, "reserved_usd": 9_200_000, "limit_usd": 150_000_000,
                     "cash_usd": 986_400_000},
        "windows": {"begun": 5, "settled": 4, "refused": 1, "pnl_usd": 8_610_000}, "unredeemed_usd": None,
        "feeds": {"spot": 0.112, "oracle": 0.84, "book btc-updown-5m-1795337100": 0.35}, "why": [],
        "markets": [_market(now_ns, spot, fair, bid, z)], "events": [_event(step, now_ns)], "events_next": step + 2,
        "events_missed": 0,
        "latency": [{"name": name, "count": 40 * scale, "p50_us": 9.0 * scale, "p90_us": 21.0 * scale,
                     "p99_us": 64.0 * scale, "max_us": 181.0 * scale, "sum_s": 0.0004 * scale * scale,
                     "buckets": [[1e-5, 10], [1e-3, 30], [1e-1, 39 * scale]]}
                    for scale, name in enumerate(("recv", "decode", "decide", "sign", "write", "ack", "e2e"), 1)],
        "telemetry": {"records_dropped": 0, "records_lost": 0, "notes_dropped": 0, "notes_lost": 0, "rows_lost": 0,
                      "rows_waiting": 3, "unassigned": 0, "errors": 0, "disk_error": ""},
        "counters": {"spot": {"frames": 4_100, "reconnects": 1}, "market": {"frames": 9_120, "gaps": 0}},
        "totals": {"markets": 4, "settled": 4, "wins": 3, "losses": 1, "signals": 911, "dispatched": 42, "orders": 42,
                   "fills": 31, "fees_usd": 2_110_000, "pnl_usd": 8_610_000,
                   "by_strategy": {name: {"signals": 150 + 9 * at, "dispatched": 9, "orders": 9 - at, "fills": 7 - at,
                                          "fees_usd": 400_000, "wins": 2, "losses": at % 3,
                                          "pnl_usd": 6_000_000 - 2_140_000 * at}
                                   for at, name in enumerate(STRATEGIES)}},
    }  # fmt: skip
    return {**answer, **changes}


def _market(now_ns: int, spot: float, fair: float, bid: int, z: float) -> dict[str, Any]:
    def quotes(best_bid: int, best_ask: int) -> dict[str, Any]:
        return {
            "bid_ticks": best_bid,
            "ask_ticks": best_ask,
            "bids": [[best_bid - 100 * at, 40_000_000 + 31_000_000 * at] for at in range(8) if best_bid > 100 * at],
            "asks": [[best_ask + 100 * at, 55_000_000 + 27_000_000 * at] for at in range(8)],
        }

    nearest = {
        "gate": "abs_z", "value": 1.21, "threshold": 1.5, "wanted": "at least", "passed": 0, "of": 4, "left_s": 88.2
    }  # fmt: skip
    return {
        "slug": "btc-updown-5m-1795337100", "asset": "btc", "interval": "5m", "observed": False,
        "start_ns": START_NS, "end_ns": START_NS + 300 * NS, "left_s": round((START_NS + 300 * NS - now_ns) / NS, 3),
        "strike": 78_846.5, "strike_source": "RTDS_TWAP", "strike_verified": False, "spot": spot,
        "spot_raw": spot + 11.25, "basis": -11.25, "sigma": 5.34e-5, "z": z, "fair_up": fair, "fair_se": 0.021,
        "regime": "range", "house": "Up", "up": quotes(bid, bid + 200), "down": quotes(9_800 - bid, 10_000 - bid),
        "held": {"Up": 24_500_000, "Down": 0}, "cost_usd": 13_720_000, "blocked": "",
        "strategies": [
            {"name": name, "enabled": at != 3, "signals": 12 * at, "orders": at, "dropped": at // 2,
             "denied": {"COOLDOWN": 7 * at, "STRATEGY_EXPOSURE": at} if at else {},
             "miss": {"gate": "edge", "value": 0.017, "wanted": "at least", "threshold": 0.03}, "nearest": nearest}
            for at, name in enumerate(STRATEGIES)
        ],
    }  # fmt: skip


def _event(step: int, now_ns: int) -> dict[str, Any]:
    kinds = ("signal", "order", "fill", "notice")
    kind = kinds[step % 4]
    seq = 179533710000000 + step
    data: dict[str, Any] = {"order_seq": seq, "outcome": "Up", "side": "Buy", "price_ticks": 5_600}
    data["shares"] = 24_500_000
    if kind == "fill":
        data |= {"cost_usd": 13_720_000, "fee_usd": 170_000, "state": "MATCHED", "is_first": True, "trade_key": seq}
    if kind == "order":
        data |= {"state": "LIVE", "order_type": "FAK", "matched": 0, "reason": ""}
    words = {
        "signal": "Up  edge=+0.0374  fair=0.6837  price=0.56  confidence=0.37  size=5.29%",
        "order": f"{seq}  Buy 24.5 Up @ 0.56 FAK  LIVE",
        "fill": f"{seq}  Buy 24.5 Up @ 0.56  taker  cost=$13.72  fee=$0.17  MATCHED",
        "notice": "entries open",
    }
    return {
        "seq": step + 1, "ts_ns": now_ns, "kind": kind, "level": "INFO", "strategy": "latency_arb",
        "slug": "btc-updown-5m-1795337100" if kind != "notice" else "", "text": words[kind],
        "data": data if kind != "notice" else {},
    }  # fmt: skip


class MadeSource:
    """Gives the answers of a window one after the other; `gone` makes it a daemon that ended."""

    def __init__(self, **changes: Any) -> None:
        self.step = 0
        self.gone = ""
        self.changes = changes

    async def watch(self) -> dict[str, Any]:
        """The next answer; raises NoDaemon while gone."""
        if self.gone:
            raise NoDaemon(self.gone)
        self.step += 1
        return made_answer(self.step % 118, **self.changes)
