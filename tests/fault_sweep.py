"""Whole virtual runs in a storm of faults: one window per seed, from joining to settlement, in a thin world.

What is thin: two makers with two levels, two bursts of spot trades a second, few other takers, one hour of candle
history.  What is whole: trader, feeds, decoders, engine, risk, gateway, journal, telemetry, and the venue with every
kind of fault.  Four strategies trade: two of the product's and two that never stop (sweep_strategies).
Every seed is world and faults at once; `python tests/fault_sweep.py SEED` plays one again and says what broke.
"""

import csv
import functools
import hashlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from signal_counts import broken_counts

from polybot.config import Config, config_from_mapping, config_to_mapping, default_config
from polybot.harness import VirtualRun, run_virtual
from polybot.sim.channel_faults import KINDS as CHANNEL_KINDS
from polybot.sim.invariants import broken_rules
from polybot.sim.ledger import Row, read_ledger
from polybot.sim.ledger_view import own_rows
from polybot.sim.memory import MemoryHttp
from polybot.sim.request_faults import ANY, MORE

START_NS = 1_795_337_000 * 1_000_000_000  # 2026-11-22 08:43:20 UTC
SEEDS = 200 * int(os.environ.get("POLYBOT_HARD", "1"))
TERMINAL_S = 10.0  # after the window's end, or after the last fault when that is later
ENDS = {"FILLED", "CANCELED", "EXPIRED", "REJECTED"}
LAST_FAULT_S = 345.0  # of the run: 25 s after the window's end
ROW = {"per_trade_frac": 0.01, "total_frac": 0.06, "cooldown_ms": 2_000, "max_orders_per_market": 200}

THIN = {
    "run.markets": 1,
    "venue.makers": "slow",
    "venue.lead_s": 20.0,
    "venue.faults": "storm",
    "venue.fault.end_s": LAST_FAULT_S,
    "venue.fault.spell_s": 25.0,
    "venue.fault.calm_s": 15.0,
    "venue.fault.mode.restart_per_h": 0.5,
    "venue.fault.account.foreign_orders_per_h": 0.8,
    "engine.timer_ms": 200,
    "risk.max_exposure_frac": 0.07,
    "venue.world.spot.history_h": 1.0,
    "venue.world.spot.warm_s": 5,
    "venue.world.spot.trades_per_s": 3.0,
    "venue.world.spot.bursts_per_s": 2.0,
    "venue.world.spot.quotes_per_s": 3.0,
    "venue.world.makers.count": 2,
    "venue.world.makers.levels": 2,
    "venue.world.makers.deep_levels": 0,
    "venue.world.makers.requote_ms": 1_500,
    "venue.world.makers.refresh_ms": 4_000,
    "venue.world.takers.noise_per_s": 0.5,
    "venue.world.takers.informed_count": 0,
    "venue.world.lifecycle.windows_ahead": 2,
    "venue.world.lifecycle.running_window": False,
    "venue.world.lifecycle.resolve_max_s": 40.0,
    "venue.world.lifecycle.metadata_max_s": 70.0,
    "strategy.convexity_fade.enabled": False,
    "strategy.strike_misalign.enabled": False,
    "strategy.certainty_capture.enabled": False,
}


@dataclass(frozen=True, slots=True)
class SweepRun:
    """What one seed came to; small enough to keep hundreds."""

    seed: int
    problems: tuple[str, ...]
    faults: dict[str, int]
    orders: int
    fills: int
    void_fills: int
    digests: dict[str, str]  # of commands, ledger, journal


def storm(seed: int) -> Config:
    """The configuration of one seed."""
    mapping = config_to_mapping(
        default_config(
            **THIN | {"venue.seed": seed, "venue.fault_seed": seed, "risk.strategies.latency_arb": ROW}
        )
    )
    mapping["strategy"] |= {
        name: {"_target_": f"sweep_strategies.{name.capitalize()}", "enabled": True}
        for name in ("churn", "rester")
    }
    mapping["risk"]["strategies"] |= {"churn": ROW, "rester": ROW}
    return config_from_mapping(mapping)


# Every kind of fault the venue has; in half a sweep each must strike at least so often.
LEAST = 5
KINDS = frozenset(
    [
        *(f"{channel}_{kind}" for channel in ("market", "user") for kind in CHANNEL_KINDS),
        *(f"{channel}_{kind}" for channel in ("market", "user") for kind in ("close", "gap", "freeze")),
        *ANY,
        *(kind for _, _, kinds in MORE for kind in kinds),
        *("page_short", "trade_fail", "trade_retry", "trade_slow", "foreign_order", "manual_trade"),
        *("restart", "disabled", "cancel_only", "rate_storm", "storm_429", "beats_lost", "beat_lost"),
    ]
)


def check_kinds(runs: "list[SweepRun]") -> None:
    """Fail when a kind of fault struck too seldom, or when too little was traded to mean anything."""
    counts = {kind: sum(run.faults.get(kind, 0) for run in runs) for kind in KINDS}
    assert {kind: count for kind, count in counts.items() if count < LEAST} == {}
    assert {kind for run in runs for kind in run.faults} == KINDS
    assert sum(run.orders for run in runs) > 8 * len(runs)
    assert sum(run.fills for run in runs) > 4 * len(runs)
    assert sum(run.void_fills for run in runs) > len(runs) // 4


@functools.cache
def play(seed: int) -> SweepRun:
    """Run one seed; each is run once per process."""
    return play_again(seed)


def play_again(seed: int) -> SweepRun:
    """Run one seed, whether or not it was run before."""
    with tempfile.TemporaryDirectory(prefix="sweep") as folder:
        return _judge(seed, run_virtual(storm(seed), Path(folder), start_ns=START_NS))


def _judge(seed: int, run: VirtualRun) -> SweepRun:
    config = run.trader.config
    rows = own_rows(read_ledger(run.out_dir / "venue.ledger"))
    limit = round(config.risk.bankroll_usd * config.risk.max_exposure_frac * 1_000_000)
    assert run.money is not None, "a sweep keeps a journal"
    problems = [
        *(f"files: {text}" for text in run.check.differences),
        *(f"journal: {text}" for text in run.money.differences),
        *broken_rules(rows, max_exposure_micro_usd=limit),
        *_late_ends(run.out_dir, rows),
        *_wrongly_refused(run.out_dir, rows),
        *_strategy_money(run.out_dir, rows),
        *_unresolved(run),
        *_unaccounted(run),
        *broken_counts(run.out_dir),
    ]
    legs = [row for row in rows if row["k"] == "leg"]
    return SweepRun(
        seed=seed,
        problems=tuple(problems),
        faults=run.venue.fault_counts(),
        orders=run.check.orders,
        fills=len(legs),
        void_fills=sum(row["void"] for row in legs),
        digests={
            "commands": run.commands_sha256,
            "ledger": _digest(run.out_dir, "venue.ledger"),
            "journal": _digest(run.out_dir, "*.journal"),
            "files": _digest(run.out_dir, "*.csv"),
        },
    )


def _digest(folder: Path, pattern: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob(pattern)):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _read(folder: Path, name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for path in sorted(folder.rglob(name)):
        with path.open(newline="") as file:
            found += csv.DictReader(file)
    return found


def _late_ends(folder: Path, rows: list[Row]) -> list[str]:
    """Orders that were not terminal within TERMINAL_S of the window's end and the last fault."""
    market = next(row for row in rows if row["k"] == "market" and row["start_ns"] >= START_NS)
    healed_ns = [row["t"] + round(row.get("seconds", 0) * 1e9) for row in rows if row["k"] in ("fault", "mode")]
    due_ms = (max(market["end_ns"], *healed_ns) + round(TERMINAL_S * 1e9)) // 1_000_000
    ended: dict[str, int] = {}
    for row in _read(folder, "orders.csv"):
        if row["state"] in ENDS:
            ended.setdefault(row["order_seq"], int(row["ts_ms"]))
        else:
            ended.setdefault(f"never {row['order_seq']}", 0)
    open_seqs = {name.removeprefix("never ") for name in ended if name.startswith("never ")} - set(ended)
    late = [f"order {name}: ended {at - due_ms} ms late" for name, at in ended.items() if at > due_ms]
    return late + [f"order {name}: never ended" for name in sorted(open_seqs)]


def _wrongly_refused(folder: Path, rows: list[Row]) -> list[str]:
    """Orders that were called REJECTED at any time though the venue had accepted them."""
    accepted = {row["id"] for row in rows if row["k"] == "order"}
    return [
        f"order {row['order_seq']}: REJECTED here at {row['ts_ms']}, accepted by the venue"
        for row in _read(folder, "orders.csv")
        if row["state"] == "REJECTED" and row["order_id"] in accepted
    ]


def _strategy_money(folder: Path, rows: list[Row]) -> list[str]:
    """PnL per strategy, worked out from the venue's fills alone, against markets.csv."""
    strategy_of = {row["order_id"]: row["strategy"] for row in _read(folder, "orders.csv")}
    winners = {row["market"]: row["winner"] for row in rows if row["k"] == "resolve"}
    slugs = {row["market"]: row["slug"] for row in rows if row["k"] == "market"}
    account = next(row["account"] for row in rows if row["k"] == "account")
    wanted: dict[tuple[str, str], int] = {}
    for row in rows:
        for role in ("taker", "maker") if row["k"] == "leg" and not row["void"] else ():
            if row[role] != account or row["market"] not in winners:
                continue
            sign = 1 if row[f"{role}_side"] == 0 else -1
            pnl = -sign * row[f"{role}_usd"] - (row["fee"] if role == "taker" else 0)
            pnl += sign * row["ushares"] * (row[f"{role}_outcome"] == winners[row["market"]])
            key = slugs[row["market"]], strategy_of.get(row[f"{role}_order"], "?")
            wanted[key] = wanted.get(key, 0) + pnl
    found = {
        (row["slug"], name.removeprefix("pnl_").removesuffix("_micro_usd")): int(value)
        for row in _read(folder, "markets.csv")
        for name, value in row.items()
        if name.startswith("pnl_") and name != "pnl_micro_usd" and value
    }
    return [
        f"strategy {key}: {found.get(key, 0)} here, {wanted.get(key, 0)} at the venue"
        for key in sorted({*found, *wanted})
        if found.get(key, 0) != wanted.get(key, 0)
    ]


def _unresolved(run: VirtualRun) -> list[str]:
    """The run's own last word: everything settled, nothing left open, no ban."""
    found = []
    if run.summary.settled != 1 or run.summary.orders_may_be_open:
        found.append(f"summary: {run.summary}")
    if run.venue.limits.bans or run.venue.limits.throttled:
        found.append(f"rate limits: {run.venue.limits.throttled} refused, {run.venue.limits.bans} bans")
    if run.trader.gateway.open_order_seqs():
        found.append(f"still open here: {run.trader.gateway.open_order_seqs()}")
    return found


# What became of each feed's messages: the sums must be equal.
ACCOUNTS = (
    ("user", ("carried",), ("messages", "pongs")),
    ("user", ("messages",), ("orders", "trades", "other", "malformed")),
    ("market", ("carried",), ("payloads", "pongs")),
    ("market", ("payloads",), ("frames", "malformed")),
    ("oracle", ("carried",), ("frames", "texts")),
    ("polybolt", ("carried",), ("payloads",)),
    ("spot", ("carried",), ("frames",)),
)


def _unaccounted(run: VirtualRun) -> list[str]:
    """Messages that were handed to a feed and neither handled nor counted as refused."""
    totals = run.trader.tally.totals()
    http = run.trader.wires.http
    assert isinstance(http, MemoryHttp)
    for name, count in http.network.carried.items():
        totals[name]["carried"] = count
    sums = [
        (
            feed,
            sum(totals[feed].get(key, 0) for key in given),
            sum(totals[feed].get(key, 0) for key in handled),
        )
        for feed, given, handled in ACCOUNTS
    ]
    return [
        f"feed {feed}: {given} given, {handled} handled" for feed, given, handled in sums if given != handled
    ]


if __name__ == "__main__":
    found = play_again(int(sys.argv[1]))
    sys.stdout.write(json.dumps(found.digests) + "\n")
    sys.stdout.write("".join(f"{line}\n" for line in found.problems) if "-q" not in sys.argv else "")
