"""Scores of a large run: 1,000 markets, 10,000 fills, 300,000 samples, 200,000 quotes.  One operation is the whole."""

from collections.abc import Callable
from pathlib import Path

from backtest.score_tables import random_result

from polybot.backtest.scores import scores

Budget = Callable[..., float]


def test_scores_of_a_large_run(budget: Budget, tmp_path: Path) -> None:
    result = random_result(tmp_path / "run", 1, markets=1_000, fills=10_000, step_s=1)
    assert len(result.table("samples")) >= 300_000

    def run() -> None:
        assert scores(result).totals.fills > 4_000

    budget(run, name="scores of 1,000 markets", median_ns=2_000_000_000, inner=1)
