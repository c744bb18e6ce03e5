"""Work for campaign workers that goes wrong on purpose, and results made by hand; imported by name in the workers."""

import json
import os
import signal
from dataclasses import asdict
from pathlib import Path

from polybot.campaign_run import VERSION, RunPlan, RunResult, StrategyWindow, WindowResult


def make_result(
    name: str, pnl_micro: dict[str, list[int]], *, seed: int = 1, fills: int = 1, **changes: object
) -> RunResult:
    """A run with these PnLs per strategy and window; every window filled 10 shares of edge 0.05 per fill."""
    count = len(next(iter(pnl_micro.values())))
    windows = [
        WindowResult(
            slug=f"btc-updown-5m-{seed}-{place}",
            start=f"2026-09-07T00:{5 * place:02d}:00Z",
            outcome="Up",
            settled=True,
            strategies={
                strategy: StrategyWindow(
                    pnl_micro=values[place],
                    fills=fills,
                    signals=3 * fills,
                    shares_micro=fills * 10_000_000,
                    predicted_micro=fills * 500_000,
                    denials={"COOLDOWN": fills, "HOUSE_SIDE": 1},
                )
                for strategy, values in pnl_micro.items()
            },
        )
        for place in range(count)
    ]
    values = {
        "name": name, "seed": seed, "start": "2026-09-07T00:00:00+00:00", "solo": "", "windows_asked": count,
        "commands": 1, "commands_sha256": "00", "check": "", "differences": [], "broken": [], "windows": windows,
    }  # fmt: skip
    return RunResult(**{**values, **changes})  # type: ignore[arg-type]


def write_result(path: Path, result: RunResult) -> None:
    path.write_text(json.dumps({"version": VERSION, **asdict(result)}))


def refuse(plan: RunPlan) -> None:
    """Nothing may be computed."""
    raise AssertionError(f"{plan.name} was computed again")


def some_crash(plan: RunPlan) -> None:
    """Seed 2 raises, seed 3 dies, seed 4 says nothing and writes nothing, the others win a dollar."""
    seed = plan.config.venue.seed
    if seed == 2:
        raise RuntimeError("seed two has a bug")
    if seed == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if seed != 4:
        pnl = {name: [1_000_000] * plan.config.run.markets for name in plan.config.strategy}
        write_result(plan.result_path, make_result(plan.name, pnl, seed=seed, solo=plan.solo))


def one_differs(plan: RunPlan) -> None:
    """Seed 2's ledger does not agree; seed 1 has a window that was not settled."""
    seed = plan.config.venue.seed
    pnl = {name: [1_000_000] * plan.config.run.markets for name in plan.config.strategy}
    result = make_result(
        plan.name, pnl, seed=seed, differences=["order 0x1: unknown here"] if seed == 2 else []
    )
    result.windows[0].settled = seed != 1
    write_result(plan.result_path, result)
