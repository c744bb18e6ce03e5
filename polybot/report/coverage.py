"""What the data covered, every market, and the settings: the end of the page.

Owns these sections' order and words, and how many markets are listed.  Must not compute.
Called by polybot.report.page.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from polybot._fast.event import Outcome, StrikeSource
from polybot.backtest.result import settings_of
from polybot.config import default_config
from polybot.report.facts import Facts
from polybot.report.markup import Column, Markup, card, details, grid, section, table, text

__all__ = ["coverage", "markets", "settings"]

# Settings that say where files are, not what was run.
PLACES = (
    "backtest.tapes",
    "backtest.name",
    "backtest.out_dir",
    "report.source",
    "report.out_dir",
    "telemetry.out_dir",
)
PARTS = (
    ("sampled_s", "sampled while the window ran"),
    ("book_s", "both sides of the book"),
    ("spot_s", "spot price"),
    ("fair_s", "a model probability"),
    ("oracle_s", "oracle price"),
    ("gap_s", "gaps"),
)


def coverage(facts: Facts) -> Markup:
    """Return how much of the windows' time there was data for, the tapes, and all warnings."""
    cover = facts.scores.coverage
    rows = [
        [
            text(title),
            facts.number(f"scores.coverage.{field}", "s"),
            facts.ratio(f"scores.coverage.{field}", "scores.coverage.window_s"),
        ]
        for field, title in PARTS
    ]
    rows.insert(0, [text("all windows"), facts.number("scores.coverage.window_s", "s"), text("")])
    columns = (Column("", numeric=False), Column("seconds"), Column("of the windows"))
    left = card(
        "Time covered", table(columns, rows, name="coverage", row_kinds=["total"]), caption=_sampled(facts)
    )
    counters = (
        ("markets", "scores.totals.markets"),
        ("settled: they count in PnL", "scores.totals.settled"),
        ("followed only, never traded", "scores.totals.observed"),
        ("left out: outcome unknown or not counted", "scores.totals.left_out"),
        ("fills in those", "scores.totals.fills_left_out"),
        ("fills undone by the venue", "scores.totals.fills_failed"),
        ("markets with gaps", "scores.coverage.markets_with_gaps"),
        ("strikes unknown", "scores.coverage.strikes_unknown"),
        ("messages read", "info.messages"),
    )
    cells = [[text(title), _present(facts, path)] for title, path in counters]
    right = card("Counts", table((Column("", numeric=False), Column("n")), cells, name="counts"))
    parts = [grid(left, right), card("Tapes", _tapes(facts), wide=True)]
    said = list(dict.fromkeys([*cover.damage, *cover.warnings, *facts.scores.notes]))
    if said:
        items = "".join(f"<li>{text(sentence)}</li>" for sentence in said)
        parts.append(
            details(
                f"Damage, warnings and notes ({len(said)})",
                Markup(f'<div class="card"><ul>{items}</ul></div>'),
                opened=len(said) < 8,
            )
        )
    return section("data", "Data", *parts)


def markets(facts: Facts, *, shown: int) -> Markup:
    """Return a row per market; the `shown` with the largest PnL, either way, when there are more."""
    rows = facts.result.table("markets")
    order = np.arange(len(rows))
    if len(rows) > shown:
        largest = np.argsort(-np.abs(rows["pnl"]), kind="stable")[:shown]
        order = np.sort(largest)
    columns = (
        Column("market", numeric=False),
        Column("start, UTC", numeric=False),
        Column("strike, USD"),
        Column("from", numeric=False, hint="where the strike is from"),
        Column("outcome", numeric=False),
        Column("signals"),
        Column("orders"),
        Column("fills"),
        Column("cost, USD"),
        Column("payout, USD"),
        Column("fees, USD"),
        Column("PnL, USD"),
        Column("gap, s"),
        Column("data", numeric=False),
    )
    cells = [_market_row(facts, int(k), rows[int(k)]) for k in order]
    kinds = ["" if rows["counted"][k] else "dim" for k in order]
    lead = (
        ""
        if len(order) == len(rows)
        else f"Of {len(rows):,} markets the {len(order):,} with the largest PnL either way; "
        "all are in tables/markets.npy."
    )
    body = card(
        "",
        table(columns, cells, name="markets", row_kinds=kinds, empty="no market"),
        wide=True,
        caption="Gray rows do not count in PnL.",
    )
    return section("markets", "Every market" if not lead else "Markets", body, lead=lead)


def _market_row(facts: Facts, index: int, row: Any) -> list[Markup]:
    path = f"markets.{index}"
    known = int(row["outcome"]) >= 0
    outcome = Outcome(int(row["outcome"])).name.capitalize() if known else "unknown"
    counted = bool(row["counted"])
    reason = "" if counted else " (left out)" if not bool(row["observed"]) else " (observed only)"
    money = [
        facts.number(f"{path}.cost", "micro_usd_amount"),
        facts.number(f"{path}.payout", "micro_usd_amount") if known else text("–"),
        facts.number(f"{path}.fees", "micro_usd_amount"),
        facts.number(f"{path}.pnl", "micro_usd") if counted else text("–"),
    ]
    return [
        Markup(f"<code>{text(row['slug'])}</code>"),
        text(str(row["start_ns"].astype("datetime64[ns]"))[:16].replace("T", " ")),
        facts.number(f"{path}.strike", "price_usd"),
        text(_source(int(row["strike_source"]))),
        text(outcome + reason),
        *(facts.number(f"{path}.{field}", "count") for field in ("signals", "orders", "fills")),
        *money,
        facts.number(f"{path}.gap_ns", "ns_s"),
        text(row["label"]),
    ]


def settings(facts: Facts) -> Markup:
    """Return the settings the run was made with, as run.json has them."""
    found = facts.info("settings", {})
    variant = facts.info("variant", {})
    parts = []
    if variant:
        parts.append(card("Changed for this run", Markup(f"<pre>{text(_pretty(variant))}</pre>"), wide=True))
    parts.append(card("Not as by default", _changed(found), wide=True))
    parts.append(details("All settings", Markup(f"<pre>{text(_pretty(found))}</pre>")))
    return section("settings", "Settings", *parts)


def _changed(found: Mapping[str, Any]) -> Markup:
    """A row for every setting of the run that is not this program's default; where its files were does not count."""
    defaults = dict(_leaves(settings_of(default_config())))
    rows = [
        [
            Markup(f"<code>{text(path)}</code>"),
            text(_pretty(value)),
            text(_pretty(defaults.get(path, "not known"))),
        ]
        for path, value in _leaves(found)
        if path not in PLACES and value != defaults.get(path, object())
    ]
    columns = (
        Column("setting", numeric=False, wrap=True),
        Column("this run", numeric=False, wrap=True),
        Column("default", numeric=False, wrap=True),
    )
    return table(columns, rows, name="changed", empty="nothing: all settings are the defaults")


def _leaves(mapping: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _tapes(facts: Facts) -> Markup:
    rows = []
    for tape in facts.info("tapes", []):
        said = _sentences(tape)
        name = tape.get("name") or tape.get("path") or tape.get("folder")
        rows.append(
            [
                Markup(f"<code>{facts.word(name)}</code>"),
                facts.word(tape.get("label")),
                text(_use(tape)),
                text("; ".join(said) or "–"),
            ]
        )
    columns = (
        Column("tape", numeric=False, wrap=True),
        Column("what it is", numeric=False, wrap=True),
        Column("used for", numeric=False, wrap=True),
        Column("warnings, damage, gaps", numeric=False, wrap=True),
    )
    return table(columns, rows, name="tapes", empty="the run names no tapes")


def _use(tape: dict[str, Any]) -> str:
    role, reason = str(tape.get("role", "unknown")), str(tape.get("reason", ""))
    return f"{role or 'not used'}{f': {reason}' if reason else ''}"


def _sentences(tape: dict[str, Any]) -> list[str]:
    said: list[str] = []
    for key in ("warnings", "damage", "gaps", "missing"):
        found = tape.get(key) or []
        if isinstance(found, list):
            said += [f"{key}: {item}" if key != "warnings" else str(item) for item in found[:4]]
            said += [f"{key}: {len(found) - 4} more"] if len(found) > 4 else []
        elif found:
            said.append(f"{key}: {found}")
    return said


def _present(facts: Facts, path: str) -> Markup:
    try:
        return facts.number(path, "count")
    except LookupError:
        return facts.word(None)


def _sampled(facts: Facts) -> str:
    every = facts.scores.coverage.sample_s
    return (
        "Counted from samples of the run."
        if every is None
        else f"Counted from samples, one for every {every:g} s."
    )


def _source(code: int) -> str:
    names = {int(source): source.name for source in StrikeSource}
    return names.get(code, "unknown").removeprefix("STRIKE_").lower().replace("_", " ")


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, default=str, sort_keys=True)
