"""conf/: every choice composes, equals the dataclasses, says its units; the risk tables are exact.

The composition here is the command line's own (`load_config`); nothing is started.
"""

import functools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from polybot.account import check_live
from polybot.cli import load_config
from polybot.compose import ENVIRONMENT
from polybot.config import (
    Config,
    ModeConfig,
    RiskConfig,
    config_from_mapping,
    config_to_mapping,
    default_config,
)
from polybot.config_files import conf_dir, list_choices
from polybot.errors import ConfigError

CONF = conf_dir()
FILES = sorted(CONF.rglob("*.yaml"))
LIVE = "venue=polymarket venue.confirm_live=real-money"
# Choices that only make sense together with another one.
COMPANIONS = {"venue=polymarket": ["mode=paper"]}
CHOICES = [f"{group}={choice}" for group, choices in list_choices().items() for choice in choices]


@functools.cache
def composed(*overrides: str) -> Config:
    """Compose once per test process (hydra takes half a second), without environment variables."""
    return load_config(overrides)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def test_conf_equals_the_dataclass_defaults() -> None:
    assert composed() == default_config() == Config()


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes(choice: str) -> None:
    group, _, name = choice.partition("=")
    chosen = f"strategy=[{name}]" if group == "strategy" else choice
    config = composed(chosen, *COMPANIONS.get(choice, []))
    section: Any = config
    for part in group.split("/"):
        section = getattr(section, part)
    if group == "strategy":
        assert list(section) == [name]
    elif name != "default":
        assert section.name == name


@pytest.mark.parametrize("asset", list_choices()["asset"])
def test_every_asset_goes_with_every_interval_or_says_what_is_offered(asset: str) -> None:
    config = composed(f"asset={asset}")
    for interval in list_choices()["interval"]:
        both = replace(config, interval=composed(f"interval={interval}").interval)
        if (asset, interval) == ("zec", "1h"):
            with pytest.raises(ConfigError, match="offered are 5m, 15m, 4h"):
                config_from_mapping(config_to_mapping(both))
        else:
            assert config_from_mapping(config_to_mapping(both)).asset.series_slugs[interval]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CONF).as_posix())
def test_every_setting_has_a_comment(path: Path) -> None:
    bare = [
        line
        for line in path.read_text().splitlines()
        if re.match(r"\s*[\w]+:", line) and not re.search(r"\s# \S", line)
    ]
    assert [line for line in bare if not line.startswith(("defaults:", "run:"))] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CONF).as_posix())
def test_every_number_has_its_unit_or_meaning_in_the_key(path: Path) -> None:
    units = r"_(ns|us|ms|s|h|usd|frac|bps|ticks|shares|samples|bytes|mb|annual|pairs|trades|records|sockets|edge|z)$"
    counts = (
        "chain_id|clob_version|speed|seed|fault_seed|storm_factor|markets|max_orders_per_market|orders_per_s|lambda_|discover_ahead|"
        "edge_se_multiple|regime_min_ticks|house_confidence_min|fresh_samples_per_market|confidence_(min|max)|"
        r"size_cap_scale|connections|max_pages|\w+_burst|\w+_per_(s|h)|levels|\w+_levels|count|\w+_count|\w+_sd|"
        "jump_dof|windows_ahead|windows|windows_per_run|first_seed|workers|t_min|min_fills|min_runs|prior_kurtosis|"
        "cycles|zstd_level|clients|shares|cores|latency_factor|keep_days|trials|hold_out_days|min_fills|port|nice"
    )
    odd = [
        key
        for key, value in _leaves(yaml.safe_load(path.read_text()))
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and not re.search(units, key)
        and not re.fullmatch(counts, key)
    ]
    assert odd == []


def test_standard_risk_table_is_the_specified_one() -> None:
    risk = composed("risk=standard").risk
    assert _rows(risk) == {
        "latency_arb": (0.02, 0.08, 200, 50),
        "certainty_capture": (0.05, 0.10, 1_000, 15),
        "convexity_fade": (0.005, 0.03, 2_000, 20),
        "strike_misalign": (0.02, 0.04, 500, 5),
        "lp_extreme": (0.02, 0.05, 2_000, 10),
        "cross_timeframe": (0.005, 0.02, 2_000, 10),
    }
    assert (risk.max_exposure_frac, risk.daily_loss_halt_frac, risk.weekly_loss_halt_frac) == (0.15, 0.03, 0.08)
    assert (risk.bankroll_usd, risk.stale_feed_s, risk.spot_max_age_s, risk.oracle_max_age_s) == (1000, 5, 1, 5)


def test_conservative_risk_table_is_the_specified_one_and_nowhere_looser() -> None:
    risk, standard = composed("risk=conservative").risk, composed("risk=standard").risk
    assert _rows(risk) == {
        "latency_arb": (0.02, 0.04, 60_000, 2),
        "certainty_capture": (0.015, 0.03, 120_000, 1),
        "convexity_fade": (0.005, 0.02, 60_000, 2),
        "strike_misalign": (0.02, 0.02, 15_000, 1),
        "lp_extreme": (0.02, 0.02, 120_000, 1),
        "cross_timeframe": (0.005, 0.02, 120_000, 1),
    }
    assert (risk.max_exposure_frac, risk.daily_loss_halt_frac, risk.weekly_loss_halt_frac) == (0.10, 0.02, 0.05)
    for name, (trade, total, cooldown, orders) in _rows(risk).items():
        loose = _rows(standard)[name]
        assert trade <= loose[0]
        assert total <= loose[1]
        assert cooldown >= loose[2]
        assert orders <= loose[3]
    for field in ("spot_max_age_s", "stale_feed_s", "oracle_max_age_s", "price_collar_ticks", "orders_per_s"):
        assert getattr(risk, field) <= getattr(standard, field)
    assert risk.size_cap_scale <= standard.size_cap_scale


def test_aggressive_risk_is_standard_times_one_and_a_half() -> None:
    risk, standard = composed("risk=aggressive").risk, composed("risk=standard").risk
    for name, (trade, total, cooldown, orders) in _rows(risk).items():
        row = _rows(standard)[name]
        assert (trade, total) == pytest.approx((1.5 * row[0], 1.5 * row[1]), rel=1e-12)
        assert (cooldown, orders) == row[2:]
    assert risk.max_exposure_frac == pytest.approx(1.5 * standard.max_exposure_frac, rel=1e-12)
    assert risk.size_cap_scale == 1.5
    assert risk.daily_loss_halt_frac == standard.daily_loss_halt_frac
    assert risk.weekly_loss_halt_frac == standard.weekly_loss_halt_frac


@pytest.mark.parametrize("risk", ["conservative", "standard", "aggressive"])
def test_environment_variables_set_the_risk_table(risk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(ENVIRONMENT, ("2500", "0.07", "-0.011", "0.022"), strict=True):
        monkeypatch.setenv(name, value)
    table = load_config([f"risk={risk}"]).risk
    assert (table.bankroll_usd, table.max_exposure_frac) == (2500.0, 0.07)
    assert (table.daily_loss_halt_frac, table.weekly_loss_halt_frac) == (0.011, 0.022)


@pytest.mark.parametrize("value", ["abc", "nan", "-1", "1,000", "", "${oc.env:HOME}"])
def test_bad_environment_variable_is_refused_in_one_line(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANKROLL", value)
    with pytest.raises(ConfigError, match="BANKROLL") as caught:
        load_config()
    assert "\n" not in str(caught.value)


def test_loss_halt_accepts_either_sign_and_refuses_zero() -> None:
    for halt in (0.04, -0.04):
        assert default_config(**{"risk.daily_loss_halt_frac": halt}).risk.daily_loss_halt_frac == 0.04
    with pytest.raises(ConfigError, match="either sign"):
        default_config(**{"risk.daily_loss_halt_frac": 0})


def test_secrets_are_names_only() -> None:
    for path in FILES:
        for key, value in _leaves(yaml.safe_load(path.read_text())):
            if key.endswith("_env"):
                assert re.fullmatch(r"|[A-Z_]+", value)
    assert "oc.env" not in (CONF / "venue" / "polymarket.yaml").read_text()


def test_venue_polymarket_is_the_documented_one() -> None:
    venue = composed("venue=polymarket", "mode=paper").venue
    assert (venue.chain_id, venue.domain_version, venue.clob_version) == (137, "2", 2)
    assert venue.exchange_address == "0xE111180000d2663C0091e4f400237545B87B996B"
    assert venue.private_key_env == "POLYMARKET_PRIVATE_KEY"
    assert not venue.confirm_live


def test_live_on_the_real_venue_needs_the_confirmation() -> None:
    with pytest.raises(ConfigError, match="venue.confirm_live=real-money"):
        check_live(load_config(["venue=polymarket"]), None)
    with pytest.raises(ConfigError, match="must be real-money, or empty"):
        load_config(["venue=polymarket", "venue.confirm_live=true-"])
    assert load_config(LIVE.split()).mode == ModeConfig(name="live")


def test_config_survives_json() -> None:
    config = composed("risk=conservative")
    assert config_from_mapping(json.loads(json.dumps(config_to_mapping(config)))) == config


def test_default_config_takes_dotted_keys_and_sections() -> None:
    config = default_config(**{"venue.speed": 30, "run.markets": 2}, mode=ModeConfig(name="paper"))
    assert (config.venue.speed, config.run.markets, config.mode.name) == (30.0, 2, "paper")
    with pytest.raises(ConfigError, match=r"venue\.spee; did you mean venue\.speed\?"):
        default_config(**{"venue.spee": 30})


def test_own_strategy_from_a_folder_of_its_own_composes(tmp_path: Path) -> None:
    (tmp_path / "strategy").mkdir()
    (tmp_path / "strategy" / "mine.yaml").write_text(
        "# @package _global_\n"
        "strategy: {mine: {_target_: my_module.Mine, enabled: true, threshold: 0.5}}\n"
        "risk: {strategies: {mine: {per_trade_frac: 0.01, total_frac: 0.02, cooldown_ms: 1000,"
        " max_orders_per_market: 3}}}\n"
    )
    config = load_config([f"--config-dir={tmp_path}", "strategy=[latency_arb,mine]"])
    assert list(config.strategy) == ["latency_arb", "mine"]
    assert config.strategy["mine"].params == {"threshold": 0.5}
    assert config.risk.strategies["mine"].max_orders_per_market == 3
    with pytest.raises(ConfigError, match="finite"):
        load_config([f"--config-dir={tmp_path}", "strategy=[mine]", "strategy.mine.threshold=inf"])


def test_strategy_without_a_row_in_the_risk_table_is_refused() -> None:
    mapping = config_to_mapping(Config())
    mapping["strategy"]["mine"] = {"_target_": "my_module.Mine", "enabled": True}
    with pytest.raises(ConfigError, match=r"risk\.strategies\.mine"):
        config_from_mapping(mapping)


def _rows(risk: RiskConfig) -> dict[str, tuple[float, float, int, int]]:
    return {
        name: (row.per_trade_frac, row.total_frac, row.cooldown_ms, row.max_orders_per_market)
        for name, row in risk.strategies.items()
    }


def _leaves(node: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(node, dict):
        return [leaf for name, value in node.items() for leaf in _leaves(value, str(name))]
    if isinstance(node, list):
        return [leaf for value in node for leaf in _leaves(value, key)]
    return [(key, node)]
