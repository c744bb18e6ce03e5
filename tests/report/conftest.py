"""Runs and pages that the tests of the report share: made once."""

import dataclasses

import pytest
from report.made_run import make_run
from report.page_reader import Seen, read_page

from polybot.backtest.result import Result
from polybot.backtest.score_tree import (
    Agreement,
    FlatteryRow,
    Interval,
    Scores,
    StrategyAgreement,
    save_scores,
)
from polybot.backtest.scores import scores
from polybot.config_report import ReportConfig
from polybot.report.command import Written, write_report

HOSTILE = '"><script>alert(1)</script>'  # fits into a slug


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run of 40 markets whose slugs, labels and names try to break out of the page."""
    folder = tmp_path_factory.mktemp("runs") / "made"
    return make_run(
        folder,
        slug=f"btc{HOSTILE}",
        label=f"made by hand {HOSTILE}",
        strategies=["latency_arb", f"<b>{HOSTILE}$x^2$", "lp_extreme"],
        settings={
            "risk": {"bankroll_usd": 1_000.0},
            "backtest": {"seed": 3, "sample_s": 10.0},
            "note": f"</pre></style>{HOSTILE}",
        },
    )


@pytest.fixture(scope="session")
def made_scores(made: Result) -> Scores:
    """Its scores, with rows of the flattery table (one failed) and an agreement, as other runs would give them."""
    found = scores(made, draws=200)
    found = dataclasses.replace(found, flattery=flattery_rows(found), agreement=made_agreement())
    save_scores(found, made.folder)
    return found


@pytest.fixture(scope="session")
def written(made: Result, made_scores: Scores) -> Written:
    """Its page and picture."""
    return write_report(made, made_scores, ReportConfig())


@pytest.fixture(scope="session")
def page(written: Written) -> Seen:
    """The page, read back."""
    return read_page(written.page.read_text())


def flattery_rows(found: Scores) -> tuple[FlatteryRow, ...]:
    """Three rows: as run, one worse, one that failed."""
    pnl, interval = found.totals.pnl_micro, found.totals.pnl_interval
    worse = Interval(value=-1.5, low=-9.25, high=4.0, clusters=38, draws=200)

    def row(name: str, title: str, **values: object) -> FlatteryRow:
        known = {
            "ok": True, "problem": "", "markets": 38, "fills": 114, "pnl_micro": pnl, "difference_micro": 0,
            "interval": interval, "settings": {}, "folder": name,
        }  # fmt: skip
        return FlatteryRow(name=name, title=title, **{**known, **values})  # type: ignore[arg-type]

    nothing = dict.fromkeys(("markets", "fills", "pnl_micro", "difference_micro", "interval"))
    return (
        row("base", "as run"),
        row(
            "spot_delay_1s",
            "spot 1 s late",
            pnl_micro=-1_500_000,
            difference_micro=-1_500_000 - pnl,
            interval=worse,
        ),
        row("latency_x2", "latency x 2", ok=False, problem=f"worker died {HOSTILE}", **nothing),
    )


def made_agreement() -> Agreement:
    """An agreement with one strategy and signals that differ."""
    counts = {"fills_live": 30, "fills_tested": 32, "agreed": 27, "missed": 3, "extra": 5}
    one = StrategyAgreement(
        name="latency_arb",
        **counts,
        price_difference_ticks=3.25,
        pnl_live_micro=12_345_678,
        pnl_tested_micro=None,
    )
    return Agreement(
        live="session", tested="made", window_s=1.0, markets=10, markets_live_only=1, markets_tested_only=0, **counts,
        agreed_frac=0.9, shares_live_micro=10**9, shares_tested_micro=10**9, price_difference_ticks=3.25,
        price_worst_ticks=100, markets_settled=9, pnl_live_micro=12_345_678, pnl_tested_micro=13_000_000,
        pnl_difference_micro=654_322, signals_live=400, signals_tested=400, signals_equal=False,
        first_difference=f"signal 17: edge {HOSTILE}", by_strategy=(one,),
    )  # fmt: skip
