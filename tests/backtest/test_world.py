"""Which tapes a run uses, which it refuses, and the words it has for it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from backtest.made import NS, START_S, Script, make_tape

from polybot._fast.event import EventKind
from polybot.backtest.reel import Open, Reel
from polybot.backtest.run import run_backtest
from polybot.backtest.world import TapeWorld
from polybot.config import Config, default_config
from polybot.errors import ConfigError


def config_of(tapes: Path, **changes: Any) -> Config:
    return default_config(**{"backtest.tapes": [str(tapes)], "backtest.out_dir": str(tapes / "runs"), **changes})


def lived(config: Config) -> tuple[TapeWorld, list[Open], list[str]]:
    said: list[str] = []
    world = TapeWorld(config, say=said.append)
    return world, [item for item in Reel(world) if isinstance(item, Open)], said


REFUSALS = {
    "no order books": (Script(has_book=False), "there are no order books of it on tape"),
    "no spot": (Script(has_spot=False), "no tape has spot prices while it ran"),
    "no oracle": (Script(has_oracle=False), "no tape has oracle prices while it ran"),
    "no rule": (Script(spec={"rule": ""}), "the rule by which it resolves is not known"),
    "no strike": (Script(strike=None), "its strike is not known"),
}


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_a_window_that_lacks_something_is_refused_with_a_plain_reason_and_the_others_run(
    tmp_path: Path, name: str
) -> None:
    script, reason = REFUSALS[name]
    script.warm_s = 60
    bad = make_tape(tmp_path, script, number=0)
    make_tape(tmp_path, Script(), number=12)
    result = run_backtest(config_of(tmp_path))
    (told,) = [tape for tape in result.info["tapes"] if tape["name"] == bad.name]
    assert told["role"] == ""
    assert reason in told["reason"]
    assert result.info["totals"]["markets"] == 1
    assert [str(slug) for slug in result.table("markets")["slug"]] == [f"btc-updown-5m-{START_S + 3600}"]


def test_a_window_without_an_outcome_is_followed_and_not_traded_and_nothing_of_it_counts(tmp_path: Path) -> None:
    rising = {"spot": lambda at_s: 78_800.0 + max(0.0, at_s) / 2.0, "up": lambda at_s: 5_000}
    make_tape(tmp_path / "known", Script(**rising))
    make_tape(tmp_path / "unknown", Script(outcome=None, **rising))
    known = run_backtest(config_of(tmp_path / "known"))
    assert known.info["totals"]["fills"] > 0
    unknown = run_backtest(config_of(tmp_path / "unknown"))
    (market,) = unknown.table("markets")
    told = (market["outcome"], bool(market["counted"]), bool(market["observed"]), market["fills"])
    assert told == (-1, False, True, 0)
    assert unknown.info["totals"]["pnl"] == 0
    assert "its outcome is not known" in unknown.info["tapes"][0]["reason"]
    assert len(unknown.table("samples")) > 300  # what the model said of it is there


def test_a_strike_that_the_tape_only_names_is_told_some_seconds_after_the_start_and_that_is_said(
    tmp_path: Path,
) -> None:
    script = Script(strike=None)
    script.manifest = {"strike": {"value": 78_790.0, "source": 5, "stamp_ns": START_S * NS, "variance": 0.0}}
    make_tape(tmp_path, script)
    world, (opened,), _ = lived(config_of(tmp_path))
    assert opened.window.strike.value == 78_790.0
    assert opened.window.strike.known_ns == (START_S + 5) * NS
    assert any("when its strike was known is not on tape" in text for text in world.titles[0].warnings)


def test_a_strike_that_the_oracle_shows_is_captured_as_live(tmp_path: Path) -> None:
    make_tape(tmp_path, Script(strike=None, spec={"rule": "point", "twap_window_s": 0}))
    _, (opened,), _ = lived(config_of(tmp_path))
    strike = opened.window.strike
    assert (strike.value, strike.stamp_ns, strike.known_ns) == (78_800.0, START_S * NS, START_S * NS + 1_300_000_000)


def test_prices_may_be_on_a_tape_of_their_own(tmp_path: Path) -> None:
    make_tape(tmp_path, Script(has_spot=False, has_oracle=False))
    prices = Script(has_book=False, strike=None, outcome=None, manifest={"market": None, "strike": None})
    make_tape(tmp_path, prices, name="prices")
    result = run_backtest(config_of(tmp_path))
    assert {tape["role"] for tape in result.info["tapes"]} == {"traded", "prices"}
    assert (result.table("samples")["fair"] > 0).any()


def test_another_asset_interval_or_day_is_left_out_and_said(tmp_path: Path) -> None:
    make_tape(tmp_path, Script(), number=0)
    make_tape(tmp_path, Script(spec={"asset": "eth"}), number=1)
    make_tape(tmp_path, Script(spec={"interval": "15m"}), number=3)
    make_tape(tmp_path, Script(), number=288)
    world, opened, _ = lived(config_of(tmp_path, **{"backtest.days": ["2026-11-22"]}))
    reasons = [title.reason for title in world.titles]
    assert len(opened) == 1
    assert reasons[0] == ""
    assert "asset=eth" in reasons[1]
    assert "a 15m window, this run trades 5m" in reasons[2]
    assert "not of the days asked for" in reasons[3]


def test_the_same_window_twice_is_used_once(tmp_path: Path) -> None:
    folder = make_tape(tmp_path / "a", Script())
    shutil.copytree(folder, tmp_path / "b" / folder.name)
    world, opened, said = lived(config_of(tmp_path))
    assert len(opened) == 1
    assert "the same window as" in world.titles[1].reason
    assert any("the same window as" in text for text in said)


def test_of_the_same_window_twice_the_one_whose_outcome_is_known_is_used(tmp_path: Path) -> None:
    make_tape(tmp_path / "a", Script(outcome=None))
    make_tape(tmp_path / "b", Script())
    world, opened, _ = lived(config_of(tmp_path))
    assert [(title.path.parent.name, title.role) for title in world.titles] == [("a", ""), ("b", "traded")]
    assert len(opened) == 1


def test_nothing_to_trade_is_an_error_that_says_what_there_is(tmp_path: Path) -> None:
    make_tape(tmp_path, Script())
    with pytest.raises(ConfigError, match="no tape of asset=btc and 15m to trade; there are 1 of asset=btc interval="):
        TapeWorld(config_of(tmp_path, **{"backtest.intervals": ["15m"]}), say=lambda text: None)
    with pytest.raises(ConfigError, match="no tape in it"):
        TapeWorld(config_of(_empty(tmp_path)), say=lambda text: None)
    with pytest.raises(ConfigError, match="must be a folder that is there"):
        TapeWorld(config_of(tmp_path / "nowhere"), say=lambda text: None)


def _empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_a_folder_that_is_no_tape_any_more_is_named_and_the_others_run(tmp_path: Path) -> None:
    make_tape(tmp_path, Script())
    broken = make_tape(tmp_path, Script(warm_s=1), number=1)
    (broken / "frames.zst").write_bytes(b"")
    (broken / "manifest.json").write_text("{")
    world, opened, said = lived(config_of(tmp_path))
    assert len(opened) == 1
    assert [one["path"] for one in world.unreadable] == [str(broken)]
    assert any(str(broken) in text for text in said)


def test_windows_of_two_intervals_with_one_start_number_their_orders_apart(tmp_path: Path) -> None:
    make_tape(tmp_path, Script(), number=0)
    longer = {"interval": "15m", "end_ns": (START_S + 900) * NS}
    make_tape(tmp_path, Script(spec=longer), number=0, name="btc-updown-15m-1795337100")
    _, opened, _ = lived(config_of(tmp_path, **{"backtest.intervals": ["5m", "15m"]}))
    bases = sorted(item.window.order_seq_base for item in opened)
    assert bases == [START_S * 100_000, START_S * 100_000 + 50_000]


def test_events_of_other_kinds_are_never_given(tmp_path: Path) -> None:
    def told(out: Any, spec: Any) -> None:
        out.add(EventKind.EV_VENUE, recv_ns=spec.start_ns, i=1)
        out.add(EventKind.EV_TIMER, recv_ns=spec.start_ns)

    make_tape(tmp_path, Script(planted=told))
    world = TapeWorld(config_of(tmp_path), say=lambda text: None)
    kinds = {int(kind) for item in Reel(world) if hasattr(item, "events") for kind in item.events["kind"]}
    assert kinds == {
        EventKind.EV_SPOT_TRADE,
        EventKind.EV_ORACLE_SPOT,
        EventKind.EV_BOOK_SNAPSHOT,
        EventKind.EV_BOOK_LEVEL,
    }
