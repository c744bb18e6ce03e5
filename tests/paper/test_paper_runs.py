"""Whole paper runs in virtual time, beside the same seeds with the real gateway."""

import os
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from paper.audit import Verdict, judge
from paper.comparison import compare_runs, table
from runs import configure, rows, run

from polybot.config import Config, ModeConfig
from polybot.harness import VirtualRun
from polybot.paper.gateway import PaperGateway
from polybot.sim.ledger import read_ledger

HARD = int(os.environ.get("POLYBOT_HARD", "1"))
SEEDS = range(1, 1 + HARD) if HARD > 1 else (7,)
EAGER_LP = {"min_abs_z": 0.3, "max_ask_usd": 0.5, "min_edge": 0.005, "life_s": 30.0, "cancel_edge": -0.5}


def paper(config: Config) -> Config:
    return replace(config, mode=ModeConfig(name="paper"))


def slow_makers(seed: int) -> Config:
    return configure(venue__makers="slow", venue__seed=seed)


def resting_only(seed: int) -> Config:
    """S5 alone, eager, so that orders rest and are met."""
    others = ("latency_arb", "certainty_capture", "convexity_fade", "strike_misalign")
    changes = {f"strategy__{name}__enabled": False for name in others}
    changes |= {f"strategy__lp_extreme__{key}": value for key, value in EAGER_LP.items()}
    return configure(venue__makers="slow", venue__seed=seed, model__edge_se_multiple=0.0, **changes)


class Recording:
    """What one run's gateway was told and what it told, to be judged afterwards."""

    def __init__(self) -> None:
        self.data: list[np.ndarray] = []
        self.told: list[np.ndarray] = []

    def attach(self, trader, venue) -> None:
        gateway = trader.gateway
        assert isinstance(gateway, PaperGateway)
        take, deliver = gateway.on_market_events, gateway._deliver

        def on_market_events(events):
            self.data.append(events.to_numpy())
            take(events)

        def on_deliver():
            self.told.append(gateway._out.to_numpy())
            deliver()

        gateway.on_market_events, gateway._deliver = on_market_events, on_deliver

    def verdict(self, market: int) -> Verdict:
        data, told = np.concatenate(self.data), np.concatenate(self.told)
        return judge(data[data["market"] == market], told[told["market"] == market])


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Runs by (kind, seed): each is played once for all tests of this file."""

    @cache
    def play(kind: str, seed: int) -> tuple[VirtualRun, Recording]:
        recording = Recording()
        folder: Path = tmp_path_factory.mktemp(f"{kind}{seed}")
        if kind == "live":
            return run(folder, slow_makers(seed)), recording
        config = resting_only(seed) if kind == "resting" else slow_makers(seed)
        return run(folder, paper(config), prepare=recording.attach), recording

    return play


def test_paper_fills_settles_and_books_its_own_ledger_to_the_micro_usd(played):
    result, _ = played("paper", 7)
    fills = [row for row in rows(result, "fills.csv") if row["status"] == "MATCHED"]
    assert len(fills) >= 5
    assert result.check.is_ok, result.check.text()
    assert result.money is not None
    assert result.money.is_ok, result.money.text()
    assert result.check.fills == result.money.fills == len(fills)
    assert result.check.venue.pnl == result.money.journal_pnl_usd == sum(result.summary.pnl_usd.values())
    assert {row["status"] for row in rows(result, "fills.csv")} == {"MATCHED", "CONFIRMED"}
    gateway = result.trader.gateway
    assert gateway.core.cash_usd == 1_000_000_000 + result.check.venue.pnl
    assert gateway.core.held_usd == 0


def test_not_one_order_of_a_paper_run_reaches_the_embedded_venue(played):
    result, _ = played("paper", 7)
    kinds = {row["k"] for row in read_ledger(result.out_dir / "venue.ledger")}
    assert result.check.orders > 5
    assert not kinds & {"order", "reject", "leg", "end"}


def test_a_paper_run_is_the_same_twice(played, tmp_path):
    first, _ = played("paper", 7)
    second = run(tmp_path, paper(slow_makers(7)))
    assert first.commands_sha256 == second.commands_sha256
    assert first.check.venue == second.check.venue


def test_every_fill_of_a_run_was_shown_or_printed_at_its_instant(played):
    taking, of_takers = played("paper", 7)
    resting, of_makers = played("resting", 4)
    assert taking.check.is_ok
    assert resting.check.is_ok, resting.check.text()
    for verdict, least_takers, least_makers in ((of_takers.verdict(0), 5, 0), (of_makers.verdict(0), 0, 2)):
        assert not verdict.problems, verdict.problems[:5]
        assert verdict.takers >= least_takers
        assert verdict.makers >= least_makers


def test_resting_paper_orders_end_by_their_own_life_or_are_filled_without_a_fee(played):
    result, _ = played("resting", 4)
    last = {row["order_seq"]: row for row in rows(result, "orders.csv")}
    assert {"CANCELED", "FILLED"} & {row["state"] for row in last.values()}
    assert {row["order_type"] for row in last.values()} == {"GTC"}
    assert {row["fee_micro_usd"] for row in rows(result, "fills.csv")} == {"0"}
    assert result.trader.gateway.core.held_usd == 0


def test_paper_beside_the_real_gateway_on_the_same_seeds(played, capsys):
    """What they agree on is printed; that they agree on most is what makes paper worth looking at."""
    found = {seed: compare_runs(played("live", seed)[0], played("paper", seed)[0]) for seed in SEEDS}
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(table(found)) + "\n")
    agreed = sum(row.agreed for row in found.values())
    assert agreed >= 0.6 * max(
        sum(row.live for row in found.values()), sum(row.paper for row in found.values())
    )
    assert agreed >= 5
    assert all(row.missed >= 0 and row.extra >= 0 for row in found.values())


def test_a_stop_with_orders_at_rest_ends_them_and_leaves_the_books_in_agreement(tmp_path):
    open_before: list[int] = []

    def stop(trader, venue):
        if trader.gateway.open_order_seqs() and not trader.stopping:
            open_before.append(len(trader.gateway.open_order_seqs()))
            trader.stop()

    result = run(tmp_path, paper(resting_only(4)), during=[(60.0 + second, stop) for second in range(260)])
    assert len(open_before) == 1
    assert result.trader.gateway.open_order_seqs() == ()
    assert not result.summary.orders_may_be_open
    assert result.check.is_ok, result.check.text()
    assert result.money is not None
    assert result.money.is_ok, result.money.text()


def test_the_console_says_whose_fills_these_are(played):
    result, _ = played("paper", 7)
    assert "PAPER: orders are simulated here, none leaves this machine" in result.console
