"""The kept configuration: always what hydra would compose now, and never anything else."""

import hashlib
import json
import shutil
import subprocess
import sys

import pytest

from polybot import cli, config_cache
from polybot.config import default_config
from polybot.config_cache import CACHE_GLOB, KEPT, recall_config
from polybot.config_files import conf_dir
from polybot.errors import ConfigError

USER_STRATEGY = """# @package _global_
strategy:
  mine: {_target_: somewhere.Mine, enabled: true, threshold: 0.25, note: "5"}
risk:
  strategies:
    mine: {per_trade_frac: 0.001, total_frac: 0.1, cooldown_ms: 5, max_orders_per_market: 7}
"""
ENVIRONMENT = {"BANKROLL": "777", "DAILY_LOSS_HALT": "-0.04"}


class Shelf:
    """A folder where configurations are kept, and how often one had to be composed."""

    def __init__(self, folder):
        self.folder = folder
        self.composed = 0

    def config(self, *words, extra_dir=None, hydra=True):
        request = cli._parse(words)

        def compose():
            self.composed += 1
            if not hydra:
                return default_config()
            from polybot.compose import Composition

            return Composition(request.overrides, extra_dir).config()

        return recall_config(request.overrides, extra_dir, compose)

    def files(self):
        return sorted(self.folder.glob(CACHE_GLOB))


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr(config_cache, "cache_folder", lambda: folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return Shelf(folder)


@pytest.fixture
def own_dir(tmp_path):
    folder = tmp_path / "own"
    (folder / "strategy").mkdir(parents=True)
    (folder / "strategy" / "mine.yaml").write_text(USER_STRATEGY)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("risk=aggressive", "interval=1h", "asset=doge", "mode=paper"),
        ("venue=polymarket", "strategy=[lp_extreme,example]", "engine.observe_intervals=[15m,1h]"),
        ("risk.bankroll_usd=123456.789", "venue.speed=30", "model/vol=ewma", "telemetry.out_dir=elsewhere"),
    ],
)
def test_what_is_kept_comes_back_as_hydra_composes_it_in_every_digit(shelf, words):
    composed = cli.load_config(words)
    first, second = shelf.config(*words), shelf.config(*words)
    assert shelf.composed == 1
    assert repr(first) == repr(second) == repr(composed)
    assert first == second == composed


def test_environment_and_a_users_own_strategy_come_back_too(shelf, own_dir, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    first = shelf.config("strategy=[mine]", extra_dir=own_dir)
    second = shelf.config("strategy=[mine]", extra_dir=own_dir)
    assert shelf.composed == 1
    assert repr(first) == repr(second)
    assert (second.risk.bankroll_usd, second.strategy["mine"].params["note"]) == (777.0, "5")


def _edit_conf(copy, own_dir, monkeypatch):
    path = copy / "risk" / "standard.yaml"
    path.write_text(path.read_text().replace("orders_per_s: 10.0", "orders_per_s: 11.0"))


def _comment_conf(copy, own_dir, monkeypatch):
    path = copy / "config.yaml"
    path.write_text(path.read_text() + "# a word\n")


def _rename_conf(copy, own_dir, monkeypatch):
    (copy / "asset" / "eth.yaml").rename(copy / "asset" / "ether.yaml")


def _edit_own(copy, own_dir, monkeypatch):
    path = own_dir / "strategy" / "mine.yaml"
    path.write_text(path.read_text().replace("0.25", "0.26"))


def _add_own(copy, own_dir, monkeypatch):
    (own_dir / "strategy" / "other.yaml").write_text(USER_STRATEGY)


def _environment(copy, own_dir, monkeypatch):
    monkeypatch.setenv("BANKROLL", "555")


def _python(copy, own_dir, monkeypatch):
    monkeypatch.setattr(sys, "version", "another")


def _library(copy, own_dir, monkeypatch):
    sources = config_cache._sources

    def changed(extra_dir):
        for name, data in sources(extra_dir):
            yield name, data.replace(b"1.3", b"1.4") if name == "hydra" else data

    monkeypatch.setattr(config_cache, "_sources", changed)


def _program(copy, own_dir, monkeypatch):
    sources = config_cache._sources

    def changed(extra_dir):
        for name, data in sources(extra_dir):
            yield name, data + b"\n" if name == "compose.py" else data

    monkeypatch.setattr(config_cache, "_sources", changed)


@pytest.mark.parametrize(
    "change",
    [_edit_conf, _comment_conf, _rename_conf, _edit_own, _add_own, _environment, _python, _library, _program],
)
def test_whatever_it_is_made_from_changes_it_is_composed_anew(shelf, own_dir, tmp_path, monkeypatch, change):
    copy = tmp_path / "conf"
    shutil.copytree(conf_dir(), copy)
    monkeypatch.setattr(config_cache, "conf_dir", lambda: copy)
    for _ in range(2):
        shelf.config("strategy=[mine]", extra_dir=own_dir, hydra=False)
    assert shelf.composed == 1
    change(copy, own_dir, monkeypatch)
    shelf.config("strategy=[mine]", extra_dir=own_dir, hydra=False)
    assert shelf.composed == 2


def test_other_overrides_and_their_order_are_another_configuration(shelf):
    assert shelf.config("run.markets=3", "run.markets=4").run.markets == 4
    assert shelf.config("run.markets=4", "run.markets=3").run.markets == 3
    assert shelf.config().run.markets == 0
    assert shelf.composed == 3


@pytest.mark.parametrize(
    "word",
    [
        "telemetry.out_dir=${now:%Y}",
        "telemetry.out_dir=${mine:x}",
        "telemetry.out_dir=${oc.env:${asset.name},logs}",
        "telemetry.out_dir=${oc.${asset.name}:x}",
        "hydra.searchpath=[/somewhere]",
        "+hydra.verbose=true",
    ],
)
def test_what_depends_on_more_than_text_and_named_variables_is_not_kept(word):
    assert config_cache._digest([word], None) == ""


def test_a_plainly_named_variable_in_an_override_counts(monkeypatch):
    word = "telemetry.out_dir=${oc.env:PLACE_OF_LOGS,logs}"
    seen = {config_cache._digest([word], None)}
    for value in ("a", "b"):
        monkeypatch.setenv("PLACE_OF_LOGS", value)
        seen.add(config_cache._digest([word], None))
    assert len(seen) == 3
    monkeypatch.setenv("PLACE_OF_LOGS", "${oc.env:OTHER}")
    assert config_cache._digest([word], None) == ""


def test_with_a_plugin_of_hydra_nothing_is_kept(monkeypatch):
    find = config_cache.find_spec
    monkeypatch.setattr(config_cache, "find_spec", lambda name: find("json" if name == "hydra_plugins" else name))
    assert config_cache._digest([], None) == ""


def test_a_file_of_ones_own_that_configures_hydra_is_not_kept(own_dir):
    assert config_cache._digest([], own_dir) != ""
    (own_dir / "strategy" / "mine.yaml").write_text("hydra:\n  searchpath: [/x]\n")
    assert config_cache._digest([], own_dir) == ""


def _seal(text):
    return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "out of range", "a field too few", "no text"])
def test_a_damaged_file_is_a_miss_and_is_replaced(shelf, damage):
    good = shelf.config("run.markets=3", hydra=False)
    (path,) = shelf.files()
    whole = path.read_bytes()
    mapping = json.loads(whole.partition(b"\n")[2])
    far = {**mapping, "run": {**mapping["run"], "markets": -1}}
    few = {name: value for name, value in mapping.items() if name != "run"}
    damaged = {
        "cut": whole[:-20],
        "bit": whole.replace(b'"markets": 0', b'"markets": 2'),
        "empty": b"",
        "out of range": _seal(json.dumps(far)).encode(),
        "a field too few": _seal(json.dumps(few)).encode(),
        "no text": b"\xff\xfe",
    }[damage]
    assert damaged != whole
    path.write_bytes(damaged)
    assert repr(shelf.config("run.markets=3", hydra=False)) == repr(good)
    assert shelf.composed == 2
    assert path.read_bytes() == whole


def test_a_refused_configuration_is_refused_every_time_and_never_kept(shelf):
    for _ in range(2):
        with pytest.raises(ConfigError, match="run.markets=-1 is not allowed"):
            shelf.config("run.markets=-1")
    assert (shelf.composed, shelf.files()) == (2, [])


def test_nothing_is_written_where_python_keeps_nothing(shelf, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shelf.config(hydra=False)
    assert shelf.files() == []
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    shelf.folder.rmdir()
    shelf.config(hydra=False)
    assert not shelf.folder.exists()
    assert shelf.composed == 2


def test_a_folder_that_takes_nothing_costs_nothing_but_the_composition(shelf, monkeypatch):
    def full(*given):
        raise OSError("No space left on device")

    monkeypatch.setattr(config_cache.os, "open", full)
    assert repr(shelf.config(hydra=False)) == repr(shelf.config(hydra=False))
    assert (shelf.composed, list(shelf.folder.iterdir())) == (2, [])


def test_only_the_latest_are_left(shelf, monkeypatch):
    composed = default_config()
    for number in range(KEPT + 3):
        recall_config([f"run.markets={number}"], None, lambda: composed)
    assert len(list(shelf.folder.iterdir())) == KEPT


def test_a_run_asks_what_is_kept_and_other_commands_compose(shelf, monkeypatch):
    first = cli._config(cli._parse(["run.markets=3"]))
    monkeypatch.setattr(cli, "_compose", lambda request: pytest.fail("composed"))
    assert repr(cli._config(cli._parse(["run.markets=3"]))) == repr(first)
    with pytest.raises(pytest.fail.Exception):
        cli._config(cli._parse(["status", "run.markets=3"]))


def test_a_daemon_loads_nothing_that_only_other_commands_need():
    heavy = "hydra omegaconf yaml antlr4 aiohttp matplotlib rich textual pandas pyarrow optuna ray polybot.backtest"
    heavy += " polybot.report polybot.research polybot.tape.importers polybot.replay.verify"
    code = f"import sys, polybot.cli, polybot.daemon; print([m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
