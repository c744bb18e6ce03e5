"""Points of sweeps that cost nothing; imported by name in the workers.

PnL by market follows from the settings alone: what min_edge and the risk table are, and the number of the market.
Every call leaves its mark in the folder the first tape names, so that tests can count them.
"""

import math
import os
from pathlib import Path
from typing import Any

MARKETS = 24
DAYS = 4
MICRO = 1_000_000


def fake_point(item: dict[str, Any]) -> dict[str, Any]:
    """As polybot.backtest.sweep_point:perform answers, without a backtest."""
    marks = Path(item["tapes"][0]) / "marks"
    if marks.is_dir():
        min_edge, risk = _settings(item)
        with (marks / f"{risk} {min_edge}").open("a") as file:
            file.write(f"{os.getpid()}\n")
        while (marks.parent / "meet").exists() and len(_workers(marks)) < 2:  # nobody does it all alone
            os.sched_yield()
        held = Path(item["tapes"][0]) / "hold"
        while held.exists() and len(list(marks.iterdir())) > int(held.read_text()):
            os.sched_yield()
    return answer(item)


def broken_point(item: dict[str, Any]) -> dict[str, Any]:
    """Fails for one value."""
    if _settings(item)[0] == 0.03:
        raise FileNotFoundError(f"{item['tapes'][0]}/btc-updown-5m-1 does not exist")
    return answer(item)


def answer(item: dict[str, Any]) -> dict[str, Any]:
    """The row of a point, as far as the worker makes it."""
    min_edge, risk = _settings(item)
    scale = 2.0 if risk == "standard" else 1.0
    pnl = [
        round(MICRO * scale * (5.0 - 400.0 * abs(min_edge - 0.03) + 8.0 * math.sin(1.7 * market + 90.0 * min_edge)))
        for market in range(MARKETS)
    ]
    return {
        "figures": {
            "label": "made up",
            "pnl_usd": sum(pnl) / MICRO,
            "markets": MARKETS,
            "traded": MARKETS,
            "fills": MARKETS,
            "fees_usd": 0.5,
            "drawdown_usd": 3.0,
            "brier_model": 0.2 + (min_edge - 0.02) ** 2,
            "brier_mid": 0.21,
            "log_loss_model": 0.6,
        },
        "markets": [
            {
                "asset": "btc",
                "interval": "5m",
                "market": f"btc-updown-5m-{market}",
                "day": f"2026-11-{1 + market * DAYS // MARKETS:02d}",
                "outcome": "up",
            }
            for market in range(MARKETS)
        ],
        "pnl_micro": pnl,
        "fills": [1] * MARKETS,
        "strategies": {"latency_arb": {"pnl_micro": sum(pnl), "fills": MARKETS}},
    }


def _workers(marks: Path) -> set[str]:
    """Processes that left a mark."""
    return {word for path in marks.iterdir() for word in path.read_text().split()}


def _settings(item: dict[str, Any]) -> tuple[float, str]:
    settings = item["settings"]
    return float(settings["strategy"]["latency_arb"]["min_edge"]), str(settings["risk"]["name"])
