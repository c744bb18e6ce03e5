"""The flattery table: its rows, what is resumed, what a failure does; the backtest itself is a double here."""

from dataclasses import replace
from pathlib import Path

import pytest
from backtest.score_tables import a_fill, a_market, a_result

from polybot.backtest.flattery import FOLDER, flattery_rows, flattery_text, variants
from polybot.backtest.result import Result
from polybot.backtest.score_tree import Scores
from polybot.backtest.scores import scores
from polybot.config import Config, default_config
from polybot.config_backtest import BacktestSettings
from polybot.errors import ConfigError

DOUBLE = "backtest.flattery_double:perform"
NAMES = ["spot_delay_1s", "spot_delay_5s", "spot_delay_30s", "extra_ticks_1", "extra_ticks_2", "latency_x2"]


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    """One program for the whole test, whatever is edited meanwhile."""
    monkeypatch.setattr("polybot.backtest.flattery.program_digest", lambda targets: "one program")


@pytest.fixture
def base(tmp_path: Path) -> Result:
    """Two markets, 5 USD each; the double is told their slugs."""
    fills = [a_fill(k, 10.0, price_ticks=5000, shares=10) for k in range(2)]
    result = a_result(tmp_path / "run", markets=[a_market(0), a_market(1)], fills=fills)
    folder = result.folder / FOLDER
    folder.mkdir()
    (folder / "slugs").write_text("\n".join(result.table("markets")["slug"].tolist()))
    return result


def config() -> Config:
    return default_config(**{"backtest.cores": 2})


def calls(result: Result) -> list[str]:
    return sorted((result.folder / FOLDER / "calls").read_text().split())


def test_every_variant_changes_one_assumption_of_the_base() -> None:
    base = BacktestSettings(spot_delay_s=2.0, extra_ticks=3, latency_factor=1.5, queue="proportional")
    table = {item.name: item for item in variants(base)}
    assert list(table) == [*NAMES, "queue_pessimistic"]
    assert table["spot_delay_30s"].changes == {"spot_delay_s": 32.0}
    assert table["extra_ticks_2"].changes == {"extra_ticks": 5}
    assert table["latency_x2"].changes == {"latency_factor": 3.0}
    assert [item.name for item in variants(BacktestSettings())][-1] == "queue_proportional"
    changed = table["extra_ticks_1"].of(base)
    kept = replace(changed, extra_ticks=3, keep_signals=True, sample_s=base.sample_s)
    assert kept == base


def test_rows_hold_what_every_run_came_to_and_the_difference(base: Result) -> None:
    told: list[str] = []
    rows = flattery_rows(base, config(), perform=DOUBLE, tell=told.append, draws=50)
    assert [row.name for row in rows] == ["base", *NAMES, "queue_proportional"]
    assert all(row.ok for row in rows)
    table = {row.name: row for row in rows}
    assert (table["base"].pnl_micro, table["base"].fills, table["base"].difference_micro) == (
        10_000_000,
        2,
        0,
    )
    assert table["base"].interval == scores(base, seed=config().backtest.seed, draws=50).totals.pnl_interval
    assert table["spot_delay_30s"].pnl_micro == 2 * (10_000_000 - 130)
    assert table["latency_x2"].difference_micro == 2 * (10_000_000 - 200) - 10_000_000
    assert table["extra_ticks_2"].settings == {"backtest.extra_ticks": "2"}
    assert (table["extra_ticks_2"].markets, table["extra_ticks_2"].fills) == (2, 5)
    assert len(told) == 7
    whole = scores(base, flattery=rows, draws=10)
    assert Scores.from_json(whole.to_json()).flattery == rows
    assert "prices taken 2 ticks worse" in flattery_text(rows)


def test_rows_that_are_there_are_not_computed_again_and_failed_ones_are(base: Result) -> None:
    flag = base.folder / FOLDER / "fail-extra_ticks_1"
    flag.touch()
    first = flattery_rows(base, config(), perform=DOUBLE, draws=10)
    failed = next(row for row in first if row.name == "extra_ticks_1")
    assert (failed.ok, failed.pnl_micro, failed.interval) == (False, None, None)
    assert "the tape is gone" in failed.problem
    assert "FAILED: " in flattery_text(first)
    assert len(calls(base)) == 7
    flag.unlink()
    second = flattery_rows(base, config(), perform=DOUBLE, draws=10)
    assert all(row.ok for row in second)
    assert [row for row in second if row.name != "extra_ticks_1"] == [row for row in first if row.ok]
    assert len(calls(base)) == 8
    (base.folder / FOLDER / "latency_x2.json").write_text("{half a fi")
    third = flattery_rows(base, config(), perform=DOUBLE, draws=10)
    assert third == second
    assert calls(base).count("latency_x2") == 2


def test_other_settings_or_another_program_compute_every_row_anew(
    base: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    flattery_rows(base, config(), perform=DOUBLE, draws=10)
    other = default_config(**{"backtest.cores": 2, "backtest.extra_ticks": 1})
    flattery_rows(base, other, perform=DOUBLE, draws=10)
    assert len(calls(base)) == 14
    monkeypatch.setattr("polybot.backtest.flattery.program_digest", lambda targets: "another")
    flattery_rows(base, other, perform=DOUBLE, draws=10)
    assert len(calls(base)) == 21


def test_row_over_other_markets_than_the_base_is_no_comparison(base: Result) -> None:
    (base.folder / FOLDER / "slugs").write_text("btc-updown-5m-1")
    rows = flattery_rows(base, config(), perform=DOUBLE, draws=10)
    assert [row.ok for row in rows] == [True] + [False] * 7
    assert rows[1].problem == "not over the same markets: 2 are missing, 1 are new"


def test_run_of_other_settings_gets_no_variants(tmp_path: Path) -> None:
    result = a_result(tmp_path / "run", markets=[a_market(0)], info={"settings_digest": "of another"})
    with pytest.raises(ConfigError, match="other settings"):
        flattery_rows(result, config(), perform=DOUBLE)
