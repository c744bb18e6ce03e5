"""One point of a sweep in a worker: the backtest, and what a row keeps of it.

Owns which figures a row has: settled markets with their PnL (exact micro-USD), totals, calibration over all samples,
totals by strategy.  The run's folder is thrown away unless the sweep keeps runs.  A worker whose program is not the
one that began the sweep refuses.  Must not write rows.  Called by polybot.backtest.worker, by name.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from polybot.analyze.facts import OUTCOMES, day_text
from polybot.backtest.program import program_digest
from polybot.backtest.result import Result
from polybot.backtest.run import run_backtest
from polybot.backtest.scores import save_scores, scores
from polybot.config import Config, config_from_mapping
from polybot.errors import ConfigError, TapeError

__all__ = ["perform", "row_of"]

USD = 1e6
RUN_NAME = "run"


def perform(item: dict[str, Any]) -> dict[str, Any]:
    """Run the backtest of item["settings"] over item["tapes"]; returns what `row_of` does.

    Raises ConfigError for another program, TapeError for tapes that are not there: on a node of a cluster as well.
    """
    config = config_from_mapping(item["settings"])
    if program_digest(sorted(one.target for one in config.strategy.values())) != item["program"]:
        raise ConfigError("the program here is not the one that began the sweep: start it again")
    missing = [path for path in item["tapes"] if not Path(path).exists()]
    if missing:
        raise TapeError(f"tapes {missing[0]} does not exist here")
    config = replace(config, backtest=replace(config.backtest, tapes=tuple(item["tapes"])))
    if item["keep"]:
        shutil.rmtree(item["keep"], ignore_errors=True)  # a kill may have left it without its row
        return _compute(config, Path(item["keep"]))
    with tempfile.TemporaryDirectory(prefix="polybot_point_") as folder:
        return _compute(config, Path(folder) / RUN_NAME)


def row_of(result: Result, config: Config) -> dict[str, Any]:
    """Figures, settled markets with PnL and fills of each, totals by strategy; also written as the run's scores."""
    found = scores(result, draws=config.sweep.draws_count)
    save_scores(found, result.folder)
    markets = result.table("markets")
    settled = markets[markets["counted"] & (markets["outcome"] >= 0)]
    whole = next((item for item in found.calibration if item.tau_s is None), None)
    totals = found.totals
    return {
        "figures": {
            "label": found.label,
            "pnl_usd": totals.pnl_micro / USD,
            "markets": totals.settled,
            "traded": totals.traded,
            "fills": totals.fills,
            "fees_usd": totals.fees_micro / USD,
            "drawdown_usd": found.equity.drawdown_booked.depth_micro / USD,
            "brier_model": whole and whole.brier_model,
            "brier_mid": whole and whole.brier_mid,
            "log_loss_model": whole and whole.log_loss_model,
            "log_loss_mid": whole and whole.log_loss_mid,
            "messages": result.info["messages"],
            "tables_sha256": result.info["tables_sha256"],
        },
        "markets": [
            {
                "asset": str(row["asset"]),
                "interval": str(row["interval"]),
                "market": str(row["slug"]),
                "day": day_text(int(row["day"])),
                "outcome": OUTCOMES[int(row["outcome"])],
            }
            for row in settled
        ],
        "pnl_micro": [int(pnl) for pnl in settled["pnl"]],
        "fills": [int(fills) for fills in settled["fills"]],
        "strategies": {
            item.name: {"pnl_micro": item.pnl_micro, "fills": item.fills, "signals": item.signals}
            for item in found.strategies
        },
    }


def _compute(config: Config, folder: Path) -> dict[str, Any]:
    return row_of(run_backtest(config, folder=folder), config)
