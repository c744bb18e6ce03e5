"""The page read back: its numbers are those of the scores and tables, nothing breaks out of it or is loaded by it.

The numbers are looked up in scores.json, run.json and the .npy tables by their names on the page, without the code
that put them there.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backtest.made import Script, make_tape
from backtest.recorded import backtest_config
from report.conftest import HOSTILE
from report.made_run import make_run
from report.page_reader import Number, Seen, read_page

from polybot.backtest.result import Result, settings_of
from polybot.backtest.run import run_backtest
from polybot.backtest.score_tree import Interval, Scores, save_scores
from polybot.backtest.scores import scores
from polybot.config import default_config
from polybot.config_report import ReportConfig
from polybot.report.command import Written, write_report
from polybot.report.drawings import draw_markouts
from polybot.report.facts import Facts
from polybot.report.numbers import UNITS
from polybot.report.opening import chance_words
from polybot.report.page import build_page

SHOWN_SECTIONS = (
    "headline", "equity", "attribution", "agreement", "calibration", "fills", "traffic", "data", "markets", "settings",
)  # fmt: skip


class Folder:
    """The files of a run, read as any program would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.scores = json.loads((folder / "scores.json").read_text())
        self.info = json.loads((folder / "run.json").read_text())

    def table(self, name: str) -> np.ndarray[Any, Any]:
        return np.load(self._folder / "tables" / f"{name}.npy", allow_pickle=False)

    def value(self, name: str) -> Any:
        """Look a number up by its name on the page."""
        if " / " in name:
            part, whole = (self.value(half) for half in name.split(" / "))
            return None if part is None or not whole else part / whole
        first, *rest = name.split(".")
        if first not in ("scores", "info"):
            return self.table(first)[int(rest[0])][rest[1]].item()
        found: Any = self.scores if first == "scores" else self.info
        while rest:
            whole_key = ".".join(rest)
            if isinstance(found, dict) and whole_key in found:
                return found[whole_key]
            step = rest.pop(0)
            found = found[int(step)] if isinstance(found, list) else found[step]
        return found


def told(number: Number) -> float:
    """The rounded value in the text, in shown units."""
    suffix = UNITS[number.unit].suffix
    return float(number.text.removesuffix(suffix).replace("−", "-").replace(",", ""))


def rounded_to(number: Number) -> float:
    """Half of the last decimal that is shown."""
    return 0.5 * 10.0 ** -UNITS[number.unit].decimals + 1e-9


def test_every_number_is_the_one_in_the_files(page: Seen, made: Result) -> None:
    folder = Folder(made.folder)
    wrong = []
    for number in page.numbers:
        found = folder.value(number.name)
        unknown = found is None or (isinstance(found, float) and math.isnan(found))
        exact = (
            "" if unknown or number.unit == "few" else repr(int(found) if isinstance(found, bool) else found)
        )
        if number.value != exact:
            wrong.append((number, found))
    assert len(page.numbers) > 800
    assert not wrong, wrong[:5]


def test_text_of_every_number_rounds_its_value(page: Seen) -> None:
    known = [number for number in page.numbers if number.value]
    wrong = [
        number
        for number in known
        if abs(told(number) - float(number.value) * UNITS[number.unit].scale) > rounded_to(number)
    ]
    assert len(known) > 800
    assert not wrong, wrong[:5]


def test_money_on_the_page_adds_up_to_the_tables(page: Seen, made: Result) -> None:
    numbers = {
        name: int(item.value) for name, item in page.by_name().items() if "micro" in item.unit and item.value
    }
    markets, fills = (Folder(made.folder).table(name) for name in ("markets", "fills"))
    counted = markets[markets["counted"]]
    of_counted = np.isin(fills["market"], counted["index"])
    assert numbers["scores.totals.pnl_micro"] == counted["pnl"].sum() != 0
    assert numbers["scores.totals.fees_micro"] == fills["fee"][of_counted].sum() > 0
    for path in ("scores.all", *(f"scores.strategies.{k}" for k in range(3))):
        base = f"{path}.attribution"
        terms = ("edge", "slippage", "fees", "adverse", "luck")
        assert sum(numbers[f"{base}.{term}_micro"] for term in terms) == numbers[f"{base}.pnl_micro"]
    shown = [numbers[f"markets.{int(row['index'])}.pnl"] for row in counted]
    assert sum(shown) == numbers["scores.totals.pnl_micro"]
    days = [
        value
        for name, value in numbers.items()
        if name.startswith("scores.days.") and name.endswith(".pnl_micro")
    ]
    assert sum(days) == numbers["scores.totals.pnl_micro"]


def test_everything_that_must_be_shown_is_shown(page: Seen) -> None:
    names = page.by_name()
    anchors = [value for tag, name, value in page.attributes if tag == "section" and name == "id"]
    assert tuple(anchors) == SHOWN_SECTIONS
    links = [value for tag, name, value in page.attributes if tag == "a" and name == "href"]
    assert links == [f"#{anchor}" for anchor in SHOWN_SECTIONS]
    for name in (
        "scores.flattery.0.pnl_micro",
        "scores.flattery.1.difference_micro",
        "scores.flattery.1.interval.low",
        "scores.days.1.pnl_without_micro",
        "scores.totals.pnl_interval.high",
        "scores.equity.drawdown_marked.depth_micro",
        "scores.strategies.2.markouts.4.mean_net_usd",
        "scores.calibration.0.brier_model",
        "scores.calibration.0.log_loss_mid",
        "scores.calibration.0.difference.low",
        "scores.calibration.0.model.3.share_up",
        "scores.all.edges.4.realised_usd",
        "scores.denials.0.n",
        "scores.latency.0.percentiles_ms.99",
        "scores.coverage.gap_s / scores.coverage.window_s",
        "scores.agreement.missed",
        "scores.agreement.by_strategy.0.price_difference_ticks",
        "markets.39.payout",
        "info.messages",
    ):
        assert names[name].value, name


def test_percentile_that_is_but_the_largest_value_is_not_shown(
    page: Seen, made: Result, made_scores: Scores
) -> None:
    assert 100 <= made_scores.latency[0].n < 1_000
    assert "scores.latency.0.percentiles_ms.99.9" not in page.by_name()
    facts = Facts(made, made_scores)
    largest = facts.value("scores.latency.0.percentiles_ms.max")
    assert 0.0 < facts.value("scores.latency.0.percentiles_ms.99.9") <= largest


def test_headline_shares_its_frame_with_the_stress_table(written: Written) -> None:
    html = written.page.read_text()
    frame = html.index('<div class="headline">')
    big, table, end = html.index('class="big"'), html.index('id="table-flattery"'), html.index("</section>")
    assert frame < big < table < end
    assert html.count('class="big"') == 1
    assert html.index('id="first"') < frame


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-1.0, 9.0, "contains 0: this may be chance"),
        (0.0, 9.0, "contains 0: this may be chance"),
        (1.0, 9.0, "does not contain 0"),
        (-9.0, -1.0, "does not contain 0"),
        (None, None, "Too few markets"),
    ],
)
def test_headline_says_whether_it_may_be_chance(low: float | None, high: float | None, words: str) -> None:
    assert words in chance_words(Interval(value=4.0, low=low, high=high, clusters=9, draws=9))


def test_caveats_come_before_any_result(page: Seen) -> None:
    words = page.words()
    said = words[words.index("Read this first") : words.index("Profit and loss, settled markets")]
    for caveat in (
        "recorded data, simulated fills",
        f"Data: made by hand {HOSTILE}",
        "7.0 s of data are missing (markets with gaps: 1)",
        "Without a known strike: 1 of the markets",
        "frames.zst at byte 4096",
        "spot is implied from the mids",
        "2 markets are left out",
        "Trading was halted for part of the run (HALTED_DAILY)",
    ):
        assert caveat in said, caveat


def test_troubles_of_a_run_are_told_and_those_of_many_tapes_once(tmp_path: Path) -> None:
    tapes = [
        {"name": f"tape-{k}", "role": "" if k < 2 else "traded", "reason": "its strike is not known" if k < 2 else "",
         "warnings": ["spot is implied from the mids", "assumed: ticks; lots"]}
        for k in range(30)
    ]  # fmt: skip
    run = make_run(
        tmp_path / "run", markets=2, fills_per_market=0, tapes=tapes, state="interrupted", alerts=["clock jumped"],
        unreadable=["tapes/x: no manifest"], label="recorded, simulated venue; assumed: ticks; lots",
    )  # fmt: skip
    seen = read_page(build_page(Facts(run, scores(run, draws=50), pictures=False), markets_shown=5))
    words = seen.words().partition("Profit and loss")[0]
    for caveat in (
        "Spot is implied from the mids (tapes: 30)",
        "Assumed: ticks; lots (tapes: 30)",
        "Data: recorded, simulated venue.",
        "Tapes not used: 2 (its strike is not known).",
        "The run was not finished: interrupted.",
        "Alert: clock jumped",
        "Unreadable, left out: tapes/x: no manifest",
        "The market itself is simulated",
    ):
        assert words.count(caveat) == 1, caveat


def test_outside_text_stays_text(written: Written, page: Seen) -> None:
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert not page.problems
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    words = page.words()
    for text in (
        f"btc{HOSTILE}-",
        f"<b>{HOSTILE}$x^2$",
        f"</pre></style>{HOSTILE}".replace('"', '\\"'),
        f"worker died {HOSTILE}",
    ):
        assert text in words, text
    assert HOSTILE not in written.page.read_text()


def test_page_loads_nothing(written: Written, page: Seen) -> None:
    targets = [
        value
        for _, name, value in page.attributes
        if name in ("src", "href", "xlink:href", "srcset", "action")
    ]
    assert targets
    assert all(target.startswith(("#", "data:image/png;base64,")) for target in targets)
    style = written.page.read_text().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert not {"link", "iframe", "object", "embed"} & set(page.tags)


def test_ids_are_unique_and_every_reference_is_met(page: Seen) -> None:
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    inside = [
        value
        for _, name, value in page.attributes
        if name in ("href", "xlink:href") and value.startswith("#")
    ]
    clips = [
        value.removeprefix("url(").removesuffix(")")
        for _, name, value in page.attributes
        if name == "clip-path"
    ]
    assert inside
    assert clips
    assert {target.removeprefix("#") for target in [*inside, *clips]} <= set(ids)


def test_pictures_are_drawn_in_the_colours_of_the_page_with_text_as_text(
    written: Written, page: Seen
) -> None:
    html = written.page.read_text()
    assert page.tags.count("svg") >= 15
    assert page.tags.count("text") > 200
    assert "#fe01" not in html
    assert "var(--blue)" in html
    assert "DejaVu Sans'" not in html
    assert "prefers-color-scheme:dark" in html
    assert "@media print" in html


def test_what_is_not_known_is_said_and_no_zero(page: Seen, made: Result) -> None:
    names = page.by_name()
    assert math.isnan(made.table("markets")["strike"][9])
    assert names["markets.9.strike"].text == "unknown"
    assert names["scores.flattery.2.pnl_micro"].text == "unknown"
    assert names["scores.agreement.by_strategy.0.pnl_tested_micro"].text == "unknown"
    assert "markets.4.pnl" not in names


def test_statistics_of_few_cases_are_withheld_with_their_n(made: Result, made_scores: Scores) -> None:
    strict = read_page(build_page(Facts(made, made_scores, least=1_000, pictures=False), markets_shown=5))
    names = strict.by_name()
    few = [number for number in strict.numbers if number.unit == "few"]
    assert few
    assert names["scores.all.edges.4.fills"].text.startswith("not enough data (n = ")
    assert "scores.calibration.0.brier_model" not in names
    assert "scores.all.edges.4.realised_usd" not in names
    assert not [number for number in strict.numbers if ".mean_net_usd" in number.name and number.value]


def test_only_the_largest_markets_are_listed_when_there_are_many(made: Result, made_scores: Scores) -> None:
    seen = read_page(build_page(Facts(made, made_scores, pictures=False), markets_shown=5))
    listed = {int(name.split(".")[1]) for name in seen.by_name() if name.startswith("markets.")}
    pnl = np.abs(made.table("markets")["pnl"])
    assert listed == set(np.argsort(-pnl, kind="stable")[:5].tolist())
    assert "Of 40 markets the 5 with the largest PnL" in seen.words()


@pytest.mark.parametrize(("markets", "fills"), [(0, 0), (3, 0), (1, 1)])
def test_run_with_next_to_nothing_makes_a_page_that_says_so(tmp_path: Path, markets: int, fills: int) -> None:
    run = make_run(tmp_path / "small", markets=markets, fills_per_market=fills)
    found = scores(run, draws=50)
    seen = read_page(write_report(run, found, ReportConfig(png=False)).page.read_text())
    words = seen.words()
    assert not seen.problems
    assert found.notes
    for note in found.notes:
        assert note[1:] in words, note
    assert "The harsher variants were not run" in words
    assert ("No fill counts: there is no curve." in words) == (not fills)
    assert ("Few markets were traded (n = 1)" in words) == bool(fills)


def test_page_of_a_real_backtest_has_its_tables_numbers(tmp_path: Path) -> None:
    for number in range(3):  # the quotes wait 50 s for a jump of the price
        script = Script(
            spot=lambda at_s: 78_860.0 if at_s > 100 else 78_800.0,
            up=lambda at_s: 9_000 if at_s > 150 else 5_000,
            outcome=number % 2,
        )
        make_tape(tmp_path / "tapes", script, number=number)
    run = run_backtest(backtest_config(tmp_path / "tapes", tmp_path / "runs"))
    found = scores(run, draws=50)
    save_scores(found, run.folder)
    seen = read_page(write_report(run, found, ReportConfig(png=False)).page.read_text())
    folder = Folder(run.folder)
    markets = folder.table("markets")
    assert not seen.problems
    assert folder.info["totals"]["fills"] >= 10
    for k in range(3):
        for column in ("pnl", "cost", "payout", "fees", "fills", "signals", "orders"):
            assert int(seen.by_name()[f"markets.{k}.{column}"].value) == markets[k][column]
    wrong = [
        number for number in seen.numbers if number.value and float(number.value) != folder.value(number.name)
    ]
    assert len(seen.numbers) > 200
    assert not wrong, wrong[:5]
    assert "scores.totals.pnl_micro" not in seen.by_name()  # no headline: the harsher variants were not run
    assert "Not shown: a figure of profit means nothing before" in seen.words()


def test_session_that_was_traded_shows_its_result_without_variants(made: Result, made_scores: Scores) -> None:
    info = {**made.info, "kind": "paper"}
    session = dataclasses.replace(made_scores, flattery=())
    html = build_page(Facts(Result(made.folder, info), session, pictures=False), markets_shown=1)
    seen = read_page(html)
    assert seen.by_name()["scores.totals.pnl_micro"].value == str(made_scores.totals.pnl_micro)
    assert "Paper: data as they came in, simulated fills." in seen.words()
    assert "a session that happened is not run again" in seen.words()


def test_settings_that_are_not_the_default_are_listed(tmp_path: Path) -> None:
    settings = settings_of(default_config(**{"risk.daily_loss_halt_frac": 0.5, "backtest.name": "x"}))
    run = make_run(tmp_path / "run", markets=1, settings=settings)
    html = build_page(Facts(run, scores(run, draws=50), pictures=False), markets_shown=1)
    rows = html.partition('id="table-changed"')[2].partition("</table>")[0]
    assert rows.count("<tr>") == 2
    assert read_page(f"<p>{rows}").text[-3:] == ["risk.daily_loss_halt_frac", "0.5", "0.03"]


def test_same_run_gives_the_same_bytes(made: Result, made_scores: Scores, written: Written) -> None:
    again = build_page(Facts(made, made_scores, pictures=False), markets_shown=300)
    assert again == build_page(Facts(made, made_scores, pictures=False), markets_shown=300)
    drawn = draw_markouts("markouts-narrow", [item for item in made_scores.strategies if item.fills >= 20])
    assert drawn in written.page.read_text()
