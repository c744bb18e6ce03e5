"""A session on the embedded venue and its backtest: the strategies say the very same, fills may differ.

No built-in strategy reads positions, orders or money (they see books, spot and strike), so signals before risk are
equal exactly: every field a strategy decides.  What risk made of them (order_seq, reason, shares cut) follows
from fills.
"""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replay.logged import rewrite
from runs import QUIET, START_NS, configure

from polybot._fast.event import COMMAND_DTYPE, EVENT_DTYPE, CommandKind, EventKind
from polybot.backtest import command, flattery
from polybot.backtest.agreement import agreement, agreement_text
from polybot.backtest.result import Result, load_result
from polybot.backtest.scores import load_scores
from polybot.backtest.session import (
    SIGNAL_FIELDS,
    backtest_session,
    kept_session,
    result_of_session,
    session_of,
    strategy_signals,
)
from polybot.backtest.worker import JobDone
from polybot.config import default_config
from polybot.config_backtest import BacktestSettings
from polybot.errors import ConfigError, TapeError
from polybot.harness import VirtualRun, run_virtual
from polybot.replay.inputs import InputsLog, open_inputs

NS = 1_000_000_000
VARIANTS = flattery.variants
LATE = BacktestSettings(order_latency_ms=(2.0, 4.0), cancel_latency_ms=(2.0, 4.0))


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> VirtualRun:
    """One 5m window with slow makers, orders at the venue's real gateway."""
    settings = {**QUIET, "venue.world.makers.requote_ms": 500, "venue.makers": "slow"}
    config = configure(**{key.replace(".", "__"): value for key, value in settings.items()})
    return run_virtual(config, tmp_path_factory.mktemp("lived"), start_ns=START_NS, with_inputs=True)


@pytest.fixture(scope="module")
def log(lived: VirtualRun) -> InputsLog:
    return open_inputs(lived.inputs[0])


@pytest.fixture(scope="module")
def session(log: InputsLog, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return result_of_session(log, tmp_path_factory.mktemp("session") / "live")


@pytest.fixture(scope="module")
def tested(log: InputsLog, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return backtest_session(log, tmp_path_factory.mktemp("session") / "tested", settings=LATE)


def test_a_session_is_a_result_with_what_its_own_engine_said(
    lived: VirtualRun, log: InputsLog, session: Result
) -> None:
    said = log.commands()
    for name, kind in (("signals", CommandKind.CMD_SIGNAL), ("orders", CommandKind.CMD_ORDER)):
        assert session.table(name).tobytes() == said[said["kind"] == kind].tobytes()
        assert len(session.table(name)) > 10
    (market,) = session.table("markets")
    assert market["pnl"] == lived.summary.pnl_usd[str(market["slug"])]
    fills = session.table("fills")
    assert market["cost"] == fills["cost"].sum()
    assert session.info["kind"] == "sim"
    assert session.info["label"] == "session, simulated venue, mode=live"
    latency = session.table("latency")
    assert len(latency) == (said["kind"] == CommandKind.CMD_PLACE).sum()
    assert (latency["told_ns"] > latency["decided_ns"]).all()


def test_the_backtest_of_a_session_has_the_same_signals_before_risk(
    log: InputsLog, session: Result, tested: Result
) -> None:
    live = log.commands()
    live = live[live["kind"] == CommandKind.CMD_SIGNAL]
    assert len(live) > 100
    assert {session.strategies[index] for index in set(live["strategy"].tolist())} >= {"latency_arb", "lp_extreme"}
    for name in SIGNAL_FIELDS:
        assert live[name].tobytes() == tested.table("signals")[name].tobytes(), name
    assert strategy_signals(session).tobytes() == strategy_signals(tested).tobytes()
    assert {*SIGNAL_FIELDS, "order_seq", "reason", "shares", "kind"} == set(COMMAND_DTYPE.names or ())


def test_even_where_fills_are_quite_others(log: InputsLog, session: Result, tmp_path: Path) -> None:
    harsh = BacktestSettings(order_latency_ms=(3_000.0, 5_000.0), extra_ticks=3, queue="proportional")
    other = backtest_session(log, tmp_path / "harsh", settings=harsh)
    assert other.table("fills")["price_ticks"].tolist() != session.table("fills")["price_ticks"].tolist()
    assert strategy_signals(other).tobytes() == strategy_signals(session).tobytes()


def test_fills_at_the_desk_are_near_those_of_the_venue(session: Result, tested: Result) -> None:
    ours = {(int(row["order_seq"]), int(row["price_ticks"])) for row in session.table("fills")}
    theirs = {(int(row["order_seq"]), int(row["price_ticks"])) for row in tested.table("fills")}
    assert len(ours) > 5
    assert len(ours & theirs) >= 0.7 * len(ours | theirs)
    assert tested.table("markets")["outcome"].tolist() == session.table("markets")["outcome"].tolist()
    assert tested.info["totals"]["cash"] == 1_000_000_000 + tested.table("markets")["pnl"].sum()


def test_prices_of_session_and_backtest_are_the_same(session: Result, tested: Result) -> None:
    assert session.table("quotes").tobytes() == tested.table("quotes").tobytes()
    ours, theirs = session.table("samples"), tested.table("samples")
    assert len(ours) > 250
    for name in ("recv_ns", "market", "tau_s", "fair", "mid", "spot"):
        assert np.array_equal(ours[name], theirs[name], equal_nan=True), name


def test_a_backtest_of_a_session_twice_is_the_same(log: InputsLog, tested: Result, tmp_path: Path) -> None:
    again = backtest_session(log, tmp_path / "again", settings=LATE)
    assert again.info["tables_sha256"] == tested.info["tables_sha256"]


def test_agreement_of_a_session_with_its_backtest_is_told_in_numbers(session: Result, tested: Result) -> None:
    found = agreement(session, tested)
    assert (found.markets, found.markets_live_only, found.markets_tested_only, found.markets_settled) == (1, 0, 0, 1)
    assert found.signals_live == found.signals_tested > 100
    assert (found.signals_equal, found.first_difference) == (True, "")
    orders = [len(np.unique(run.table("fills")["order_seq"])) for run in (session, tested)]
    assert [found.agreed + found.missed, found.agreed + found.extra] == orders == [found.fills_live, found.fills_tested]
    assert found.agreed_frac is not None
    assert found.agreed_frac >= 0.7
    pnl = [int(run.table("markets")["pnl"].sum()) for run in (session, tested)]
    assert [found.pnl_live_micro, found.pnl_tested_micro, found.pnl_difference_micro] == [*pnl, pnl[1] - pnl[0]]
    assert "identical" in agreement_text(found)


def test_spot_later_by_a_while_changes_what_a_session_would_have_said(
    log: InputsLog, session: Result, tmp_path: Path
) -> None:
    late = backtest_session(log, tmp_path / "late", settings=replace(LATE, spot_delay_s=30.0))
    ours, theirs = strategy_signals(session), strategy_signals(late)
    assert len(theirs) > 50
    assert ours.tobytes() != theirs.tobytes()
    before, after = session.table("samples"), late.table("samples")
    assert np.array_equal(before["mid"], after["mid"], equal_nan=True)  # books are not late
    first = int(before["recv_ns"][np.isfinite(before["fair"])][0])
    spots = [{int(row["recv_ns"]): row["spot"] for row in rows} for rows in (before, after)]
    assert spots[0][first + 60 * NS] != spots[1][first + 60 * NS]


def test_the_command_takes_a_sessions_inputs_and_tells_how_far_its_backtest_agrees(
    log: InputsLog, tmp_path: Path
) -> None:
    given = {"backtest.tapes": [str(log.folder)], "backtest.out_dir": str(tmp_path), "backtest.name": "run"}
    out = io.StringIO()
    settings = {"backtest.report": False, "backtest.flattery": False, "backtest.order_latency_ms": [2.0, 4.0]}
    assert command.run(default_config(**given, **settings), out=out) == 0
    text = out.getvalue()
    assert "set as they were then" in text
    assert "signals before risk" in text
    assert "identical" in text
    assert load_result(tmp_path / f"session-{log.name}").info["kind"] == "sim"
    assert load_result(tmp_path / "run").info["session"] == log.name


def test_the_variants_of_a_sessions_backtest_are_run_with_the_sessions_settings(
    log: InputsLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def here(path: str, items: list[dict[str, Any]], *, cores: int, on_done: Any) -> list[Any]:
        seen.extend(items)
        found = [flattery.perform(item) for item in items]
        for index, result in enumerate(found):
            on_done(JobDone(index, result, "", 0.0, "here"))
        return found

    monkeypatch.setattr(flattery, "run_jobs", here)
    monkeypatch.setattr(flattery, "variants", _two_variants)
    given = {"backtest.tapes": [str(log.folder)], "backtest.out_dir": str(tmp_path), "backtest.name": "run"}
    # What the command line says of risk and balance is not what the session was run with.
    other = {"backtest.report": False, "backtest.balance_usd": 7.0, "backtest.order_latency_ms": [2.0, 4.0]}
    out = io.StringIO()
    assert command.run(default_config(**given, **other), out=out) == 0
    assert [item["variant"]["name"] for item in seen] == ["spot_delay_30s", "extra_ticks_2"]
    base = load_result(tmp_path / "run").info
    rows = load_scores(tmp_path / "run").flattery
    assert [row.ok for row in rows] == [True, True, True]
    for item in seen:
        info = load_result(Path(item["folder"])).info
        assert info["session"] == log.name
        assert info["settings"]["risk"] == base["settings"]["risk"]
        assert info["settings"]["backtest"]["balance_usd"] == base["settings"]["backtest"]["balance_usd"] != 7.0
        assert info["tables_sha256"] != base["tables_sha256"]


def _two_variants(base: BacktestSettings) -> tuple[flattery.Variant, ...]:
    return tuple(item for item in VARIANTS(base) if item.name in ("spot_delay_30s", "extra_ticks_2"))


def test_an_outcome_that_a_log_has_too_early_is_not_believed(
    log: InputsLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    honest = backtest_session(log, tmp_path / "honest", settings=LATE)
    real = log.items

    def items(**more: Any) -> Any:
        for item in real(**more):
            if not isinstance(item, np.ndarray):
                yield item
                continue
            planted = np.zeros(1, EVENT_DTYPE)
            planted["recv_ns"], planted["kind"], planted["outcome"] = item["recv_ns"][0], EventKind.EV_OUTCOME, 1
            yield np.concatenate([planted, item])

    monkeypatch.setattr(log, "items", items)
    other = backtest_session(log, tmp_path / "planted", settings=LATE)
    assert other.info["tables_sha256"] == honest.info["tables_sha256"]
    assert any("an outcome before the window's end: not used" in text for text in other.info["tapes"][0]["warnings"])


def test_a_backtest_of_a_log_ends_where_something_is_missing_and_says_so(log: InputsLog, tmp_path: Path) -> None:
    """Behind it books would be wrong, and orders filled from them."""
    entries = list(log.entries())
    middle = len(entries) // 2
    torn = rewrite(log, tmp_path / "torn", lambda all_of_it: entries[:middle] + entries[middle + 40 :])
    result = backtest_session(torn, tmp_path / "run", settings=LATE)
    last_ns = entries[middle - 1].recv_ns
    assert result.info["messages"] > 1_000
    assert result.table("samples")["recv_ns"].max() <= last_ns
    assert result.table("signals")["decided_ns"].max() <= last_ns
    assert any("the log is used up to where 40 entries are missing" in text for text in _warnings(result))
    (market,) = result.table("markets")
    assert (bool(market["counted"]), int(market["outcome"])) == (False, -1)


def test_a_session_kept_while_it_ran_is_made_again_when_its_log_went_on(log: InputsLog, tmp_path: Path) -> None:
    settings = replace(LATE, out_dir=str(tmp_path / "runs"))
    entries = list(log.entries())
    running = rewrite(log, tmp_path / "running", lambda all_of_it: entries[: len(entries) // 2])
    assert kept_session(running, settings).info["totals"]["counted"] == 0
    whole = kept_session(log, settings)
    assert whole.info["totals"]["counted"] == 1
    assert kept_session(log, settings).info["elapsed_s"] == whole.info["elapsed_s"]  # that one is kept


def test_a_log_whose_beginning_was_removed_is_refused_in_words(log: InputsLog, tmp_path: Path) -> None:
    rest = rewrite(log, tmp_path / "rest", lambda entries: list(entries)[500:])
    rest.manifest["part"] = 2
    for make in (backtest_session, result_of_session):
        with pytest.raises(TapeError, match="its beginning is not there any more"):
            make(rest, tmp_path / make.__name__)


def _warnings(result: Result) -> list[str]:
    return [text for tape in result.info["tapes"] for text in tape["warnings"]]


def test_a_log_among_tapes_is_refused_in_words(log: InputsLog, taped: Path, tmp_path: Path) -> None:
    assert session_of([str(taped)]) is None
    found = session_of([str(log.folder.parent)])
    assert found is not None
    assert found.name == log.name
    with pytest.raises(ConfigError, match="name one session's inputs alone"):
        session_of([str(taped), str(log.folder)])
