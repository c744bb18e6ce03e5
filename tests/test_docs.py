"""The documentation says what is there: names, defaults, command lines and links are compared with the code.

Words are checked both ways where that can be done: what the code has must be documented, and what the
documents call missing must be missing.
"""

import ast
import dataclasses
import re
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from polybot import cli, config, config_sim, daemon
from polybot._fast.event import COMMAND_DTYPE, EVENT_DTYPE, CommandKind, EventKind, OrderStatus
from polybot._fast.fees import fee_per_share
from polybot._fast.risk import HARD_OPEN_USD, HARD_ORDER_USD, Denial
from polybot.assembly import HARD_MAX_ENV, build_engine
from polybot.cli import load_config, main
from polybot.compose import ENVIRONMENT
from polybot.config_files import list_choices
from polybot.errors import ConfigError
from polybot.telemetry.console import COLOURS
from polybot.telemetry.csv_sinks import FILLS_COLUMNS, ORDERS_COLUMNS, SAMPLES_COLUMNS, SIGNALS_COLUMNS
from polybot.telemetry.market_log import markets_columns
from polybot.telemetry.redact import Redactor

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
}
README = PAGES["README.md"]
ARCHITECTURE = PAGES["docs/ARCHITECTURE.md"]
OPERATIONS = PAGES["docs/OPERATIONS.md"]
STRATEGIES = PAGES["docs/STRATEGIES.md"]
VENUE = PAGES["docs/VENUE.md"]
CONTROL = ("control/operator.py", "control/signals.py")
SOURCES = {path: path.read_text() for suffix in ("py", "pyx") for path in (ROOT / "polybot").rglob(f"*.{suffix}")}
MAX_PICTURE_BYTES = 300_000


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder without polybot's environment variables."""
    monkeypatch.chdir(tmp_path)
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def section(page: str, title: str) -> str:
    """Text of one section, its own sub-sections included."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[2]


def cells(text: str) -> Iterator[list[str]]:
    """Rows of all tables in a text, headings included, rulers not."""
    for line in text.splitlines():
        if line.startswith("|") and not re.fullmatch(r"[|\- ]+", line):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def anchors(page: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(page: str) -> list[str]:
    """Arguments of every `python -m polybot` line that stands as code."""
    lines = re.findall(r"^    (?:\.venv/bin/)?python -m polybot(.*)$", page, re.MULTILINE)
    return [re.sub(r"\s+(#|>).*", "", line) for line in lines if "[key=value" not in line]


# -- links, commands, targets -----------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pictures_resolve(name: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
            broken.append(target)
    assert broken == []


def test_pictures_are_shown_and_small() -> None:
    shown = "\n".join(PAGES.values())
    pictures = sorted((ROOT / "docs" / "pictures").glob("*.png"))
    assert pictures
    for picture in pictures:
        assert f"pictures/{picture.name}" in shown
        assert picture.stat().st_size < MAX_PICTURE_BYTES


LINES = sorted({line for page in PAGES.values() for line in commands(page)})


@pytest.mark.parametrize("line", LINES)
def test_command_lines_are_accepted(line: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Composed and checked as the command would; nothing is started."""
    write_own_strategy(elsewhere)
    words = [word for word in line.split() if word not in ("--cfg", "job", "-m")]
    if "-m" in line.split():  # of a sweep its first point
        words = [re.sub(r"=([^\[\],:]+)[,:].*", r"=\1", word) for word in words]
    assert main([*words, "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["run"]["markets"] >= 0


def test_enough_command_lines_were_found() -> None:
    assert len(commands(README)) >= 8


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for page in PAGES.values() for word in re.findall(r"(?:    |`)make ([a-z]+)", page)}
    assert {"run", "test", "demo"} <= named <= targets


# -- what there is, and what there is not -----------------------------------------------------------


def test_every_command_is_documented() -> None:
    line = next(line for line in README.splitlines() if "python -m polybot [" in line)
    assert set(re.search(r"polybot \[([\w |-]+)\]", line)[1].split(" | ")) == set(cli._COMMANDS)
    for name in config.RiskConfig().strategies:
        built = "built" if name in list_choices()["strategy"] else "not built yet"
        assert re.search(rf"\| {name} \|.*\| {built}\b[^|]*\|\n", STRATEGIES)


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ("venue=polymarket mode=live venue.confirm_live=real-money", "no private key is given"),
        ("venue=polymarket mode=live", "not confirmed: add venue.confirm_live=real-money"),
    ],
)
def test_what_the_readme_calls_refused_is_refused(choice: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        daemon._open_account(load_config(choice.split()), Redactor())
    said = README[README.index("**Real orders**") :].partition("\n\n")[0]
    for words in ("with a key", "`venue.confirm_live=real-money`", "every pre-flight check passed", "refused"):
        assert words in said
    assert "**Nothing here has met the real venue's servers**" in said


def test_every_group_of_settings_is_named_with_its_choices() -> None:
    for group, choices in list_choices().items():
        assert re.search(rf"`{group}[=`]", README), group
        for choice in choices if choices != ["default"] else ():
            assert re.search(rf"\b{choice}\b", README), f"{group}={choice}"
    assert "`run`" in README


def test_settings_that_nothing_reads_are_named_and_no_others() -> None:
    text = "\n".join(SOURCES.values())
    unread = set()
    for module in (config, config_sim):
        for item in vars(module).values():
            if isinstance(item, type) and dataclasses.is_dataclass(item):
                names = {field.name for field in dataclasses.fields(item)}
                unread |= {name for name in names if not re.search(rf"\.{name}\b|\"{name}\"", text)}
    named = re.findall(r"`[\w.]*?(\w+)`", section(OPERATIONS, "Settings without effect"))
    assert set(named) == unread


def test_environment_variables_and_ceilings_are_named() -> None:
    for name in (*ENVIRONMENT, HARD_MAX_ENV, "NO_COLOR"):
        assert f"`{name}`" in README
    assert f"{HARD_ORDER_USD // 10**6} USD per order" in README
    assert f"{HARD_OPEN_USD // 10**6:,} USD open" in README


def test_exit_codes_are_those_of_the_program() -> None:
    failures = {cli.EXIT_FAILED, cli.EXIT_CONFIG, cli.EXIT_NO_DAEMON, cli.EXIT_INVARIANT, cli.EXIT_INTERRUPTED}
    codes = {0, daemon.EXIT_ORDERS_OPEN} | failures
    for page in (README, OPERATIONS):
        rows = [row[0] for row in cells(section(page, "Exit codes")) if row[0].isdigit()]
        assert {int(code) for code in rows} == codes


# -- strategies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_choices()["strategy"])
def test_parameters_of_a_strategy_are_those_of_conf(name: str) -> None:
    table = re.search(rf"^\| parameter of {name} \|.*\n((?:\|.*\n)+)", STRATEGIES, re.MULTILINE)
    assert table, name
    documented = {row[0].strip("`"): yaml.safe_load(row[1]) for row in cells(table[1])}
    settings = yaml.safe_load((ROOT / "conf" / "strategy" / f"{name}.yaml").read_text())
    settings = settings.get("strategy", {}).get(name, settings)  # example.yaml brings its risk row too
    del settings["_target_"], settings["enabled"]
    assert documented == settings


def test_gates_of_every_strategy_are_documented_in_their_order() -> None:
    for strategy in build_engine(load_config()).strategies:
        title = next(line for line in STRATEGIES.splitlines() if line.startswith("## ") and strategy.name in line)
        rows = [row[0] for row in cells(section(STRATEGIES, title.removeprefix("## ")))]
        gates = rows[rows.index("gate") + 1 : rows.index(f"parameter of {strategy.name}")]
        assert gates == [f"`{gate}`" for gate in strategy.gate_names]


def test_fee_table_is_the_formula() -> None:
    rows = [row for row in cells(section(STRATEGIES, "Costs")) if re.fullmatch(r"0\.\d+", row[0])]
    assert len(rows) > 5
    for price, fee, fee_of_100, percent in rows:
        exact = fee_per_share(float(price), 0.07, 1)
        assert (fee, fee_of_100) == (f"{exact:.4f}", f"{100 * exact:.2f}")
        assert percent == f"{100 * exact / float(price):.2f}"


def write_own_strategy(folder: Path) -> str:
    """Write the example's yaml as STRATEGIES says; returns its Python."""
    text = section(STRATEGIES, "A strategy of your own")
    (folder / "my_conf" / "strategy").mkdir(parents=True)
    (folder / "my_conf" / "strategy" / "mine.yaml").write_text(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


def test_example_of_an_own_strategy_becomes_part_of_the_engine(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("my_module")
    exec(write_own_strategy(elsewhere), module.__dict__)
    monkeypatch.setitem(__import__("sys").modules, "my_module", module)
    engine = build_engine(load_config(["--config-dir", "my_conf", "strategy=[latency_arb,mine]"]))
    mine = next(strategy for strategy in engine.strategies if strategy.name == "mine")
    assert (mine.min_edge, mine.gate_names) == (0.04, ("edge", "size"))


# -- records ----------------------------------------------------------------------------------------


def test_every_event_and_command_is_in_the_tables() -> None:
    events = {row[0] for row in cells(section(ARCHITECTURE, "Events"))}
    assert {kind.name for kind in EventKind} - {"EV_NONE"} == {name for name in events if name.startswith("EV_")}
    text = section(ARCHITECTURE, "Commands")
    assert [kind.name for kind in CommandKind if kind.name not in text] == ["CMD_NONE"]


def test_every_field_of_the_records_is_explained() -> None:
    for title, dtype in (("Events", EVENT_DTYPE), ("Commands", COMMAND_DTYPE)):
        text = section(ARCHITECTURE, title)
        assert [name for name in dtype.names if not re.search(rf"\b{name}\b", text)] == []


# -- operations -------------------------------------------------------------------------------------


def test_every_denial_is_documented_with_what_to_do() -> None:
    text = section(OPERATIONS, "Denials")
    rows = {row[0]: row for row in cells(text)}
    idle = set(re.findall(r"[A-Z_]{6,}", text[text.index("Names that exist and never occur yet") :]))
    core = "\n".join(text for path, text in SOURCES.items() if path.suffix == ".pyx")
    made = {name for name in Denial.__members__ if re.search(rf"(return|reason =|, ) ?{name}\b", core)}
    for name in Denial.__members__:
        assert name == "DISPATCHED" or name in idle or all(rows[name][1:3]), name
    assert idle <= set(Denial.__members__)
    assert not idle & made
    assert not idle & set(rows)


def test_every_word_of_the_console_and_every_order_state_is_explained() -> None:
    text = section(OPERATIONS, "Console lines")
    assert [word for word in COLOURS if word not in ("DIAG",) and not re.search(rf"\b{word}\b", text)] == []
    states = {name.removeprefix("OS_") for name in OrderStatus.__members__}
    assert [state for state in states if f"`{state}`" not in text] == []


def test_columns_are_those_of_the_files() -> None:
    rows = {row[0]: row[1] for row in cells(section(OPERATIONS, "Files"))}
    tables = {
        "signals": SIGNALS_COLUMNS,
        "orders": ORDERS_COLUMNS,
        "fills": FILLS_COLUMNS,
        "samples": SAMPLES_COLUMNS,
    }
    for name, columns in tables.items():
        assert rows[f"{name}.csv"].partition(":")[0].split() == list(columns)
    assert rows["markets.csv"].partition(",")[0].split() == list(markets_columns([]))


def test_every_refusal_of_a_market_is_explained() -> None:
    codes = {"strike_unknown"}
    for path, text in SOURCES.items():
        if path.parent.name == "market":
            codes |= set(re.findall(r'MarketRefused\(\s*"(\w+)"', text))
    text = section(OPERATIONS, "Refused windows")
    assert len(codes) > 10
    assert [code for code in sorted(codes) if not re.search(rf"\b{code}\b", text)] == []


def test_every_notice_is_explained() -> None:
    text = section(OPERATIONS, "Notices and alarms")
    known = re.sub(r"[`.]", "", text)
    missing = []
    for name in ("daemon.py", "trader.py", "cycle.py", "following.py", "observer.py", *CONTROL):
        for fragment in _notices(ROOT / "polybot" / name):
            if re.sub(r"[`.]", "", fragment) not in known:
                missing.append(f"{name}: {fragment}")
    for fragment in re.findall(r'alerts\.append\(f?"([^"]+)"', SOURCES[ROOT / "polybot" / "_fast" / "engine.pyx"]):
        longest = max(re.split(r"\{[^}]*\}", fragment), key=len).strip(" ;:()")
        if longest not in known:
            missing.append(f"engine.pyx: {longest}")
    assert missing == []


def _notices(path: Path) -> Iterator[str]:
    """The longest constant part of every text handed to notice(), written to stderr or kept as a reason."""
    for node in ast.walk(ast.parse(path.read_text())):
        texts: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            stderr = ast.unparse(node.func) == "sys.stderr.write"
            texts = node.args[:1] if stderr else node.args[1:2] if node.func.attr == "notice" else []
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("word", "reason"):
            texts = [node.value]
        for text in texts:
            parts = [n.value for n in ast.walk(text) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            longest = max(parts, key=len, default="").strip(" ;:()\n,")
            if len(longest) > 4:
                yield longest


# -- venue ------------------------------------------------------------------------------------------


def test_numbers_of_the_embedded_venue_are_its_settings() -> None:
    world = config.default_config().venue.world
    makers, oracle, spot, life = world.makers, world.oracle, world.spot, world.lifecycle
    assert f"{makers.lag_min_ms} to {makers.lag_max_ms} ms" in VENUE
    assert f"{makers.slow_min_ms // 1000} to {makers.slow_max_ms // 1000} s" in VENUE
    assert f"{world.takers.informed_lag_min_ms} to {world.takers.informed_lag_max_ms} ms" in VENUE
    assert f"mean of {oracle.twap_window_s} prints ending {oracle.twap_lag_s} s before" in VENUE
    assert f"{oracle.basis_bps:g} bp, sd {oracle.basis_sd_bps:g} bp" in VENUE
    assert f"{oracle.publish_delay_ms / 1000:g} s; {oracle.duplicate_frac:.0%}".replace("%", " %") in VENUE
    assert f"| {spot.trades_per_s:g}, {spot.quotes_per_s:g} |" in VENUE
    assert f"{life.resolve_min_s:g} to {life.resolve_max_s:g} s |" in VENUE
    assert f"held {config.default_config().venue.taker_delay_ms} ms" in STRATEGIES
