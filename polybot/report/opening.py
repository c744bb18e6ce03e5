"""The top of the page: what this run is, what to know before reading, the headline and its stress tests.

Owns the order that keeps a reader from flattering himself: the caveats come before any number, and the PnL stands in
one frame with the harsher variants, or not at all.
Must not compute.  Called by polybot.report.page.
"""

from typing import Any

import numpy as np

from polybot.backtest.score_tree import Interval
from polybot.report.caveats import KINDS, caveats, run_kind, shows_headline, source_words
from polybot.report.drawings import both_widths, draw_flattery
from polybot.report.facts import Facts
from polybot.report.markup import Column, Markup, badge, card, grid, join, section, table, text
from polybot.report.numbers import UNKNOWN

__all__ = ["chance_words", "header", "headline", "span_words"]

BADGE_CHARS = 48


def header(facts: Facts) -> Markup:
    """Return the title block and the box that is read first."""
    kind = run_kind(facts)
    badges = [badge(KINDS[kind][0], "kind")]
    label = source_words(facts)
    if 0 < len(label) <= BADGE_CHARS:  # longer ones are in the box below
        badges.append(badge(label))
    points = "".join(f"<li>{point}</li>" for point in caveats(facts))
    return Markup(
        f'<header><p class="over">polybot report</p><h1>{text(facts.result.name)}</h1>'
        f'<p class="sub">{_period(facts)}</p><div>{join(badges)}</div>'
        f'<div class="first" id="first"><h2>Read this first</h2><ul>{points}</ul></div></header>'
    )


def headline(facts: Facts) -> Markup:
    """Return the PnL together with the table and the picture of what harsher assumptions leave of it."""
    left = _result(facts) if shows_headline(facts) else _no_result()
    frame = Markup(
        f'<div class="card wide"><div class="headline">{left}<div>{_flattery_table(facts)}</div></div></div>'
    )
    rows = facts.scores.flattery
    below: list[Markup] = []
    if facts.pictures and any(row.pnl_micro is not None for row in rows):
        picture = both_widths(draw_flattery, "flattery", rows)
        below.append(
            card(
                "What harsher assumptions leave",
                picture,
                caption="Diamond: as run. Line: 95 % bootstrap interval by market.",
            )
        )
    below.append(_days_card(facts))
    return section(
        "headline",
        "Result and what harsher assumptions leave of it",
        frame,
        grid(*below),
        lead="A result that vanishes in these rows was luck, look-ahead or a quote nobody would have got.",
    )


def _result(facts: Facts) -> Markup:
    number, totals = facts.number, facts.scores.totals
    mean = number("scores.totals.mean_per_market_usd", "usd", n=totals.settled)
    pairs = (
        ("95 % interval", facts.interval("scores.totals.pnl_interval")),
        ("a settled market", Markup(f"{mean} USD") if totals.settled >= facts.least else mean),
        ("settled", number("scores.totals.settled", "count")),
        ("of these traded", number("scores.totals.traded", "count")),
        ("fills", number("scores.totals.fills", "count")),
        ("fees paid", Markup(f"{number('scores.totals.fees_micro', 'micro_usd_amount')} USD")),
        ("drawdown", _drawdown(facts)),
        ("days", number("scores.totals.days", "count")),
    )
    rows = "".join(f"<dt>{text(title)}</dt><dd>{value}</dd>" for title, value in pairs)
    pnl = number("scores.totals.pnl_micro", "micro_usd")
    return Markup(
        f'<div><h3>Profit and loss, settled markets</h3><p class="big">{pnl}<small> USD</small></p>'
        f'<dl class="facts">{rows}</dl><p class="caption">{text(chance_words(totals.pnl_interval))}</p></div>'
    )


def chance_words(found: Interval) -> str:
    """Say whether the interval of a PnL rules out that it was chance."""
    if found.low is None or found.high is None:
        return "Too few markets for an interval: this may be chance."
    if found.low <= 0.0 <= found.high:
        return "The interval contains 0: this may be chance."
    return "The interval does not contain 0; it knows only markets like these."


def _no_result() -> Markup:
    return Markup(
        '<div><h3>Profit and loss</h3><p class="none">Not shown: a figure of profit means nothing before the harsher '
        "variants were run.</p></div>"
    )


def _flattery_table(facts: Facts) -> Markup:
    rows, kinds = [], []
    for index, row in enumerate(facts.scores.flattery):
        path = f"scores.flattery.{index}"
        problem = "" if row.ok else f" (failed: {row.problem})"
        rows.append(
            (
                text(row.title + problem),
                facts.number(f"{path}.pnl_micro", "micro_usd"),
                facts.number(f"{path}.difference_micro", "micro_usd"),
                facts.interval(f"{path}.interval"),
                facts.number(f"{path}.fills", "count"),
                facts.number(f"{path}.markets", "count"),
            )
        )
        kinds.append("base" if row.name == "base" else "")
    columns = (
        Column("assumption changed", numeric=False),
        Column("PnL, USD"),
        Column("against as run", hint="PnL of this row minus PnL as run"),
        Column("95 % interval", hint="bootstrap, whole markets drawn with replacement"),
        Column("fills"),
        Column("markets", hint="settled"),
    )
    return join(
        [
            Markup("<h3>The same run again, one assumption harsher at a time</h3>"),
            table(
                columns,
                rows,
                name="flattery",
                row_kinds=kinds,
                empty=_why_none(facts),
            ),
        ]
    )


def _why_none(facts: Facts) -> str:
    if run_kind(facts) in ("paper", "sim", "live"):
        return "a session that happened is not run again: backtest its tape"
    return "not run" if facts.scores.totals.settled else "not run: no market was settled"


def _days_card(facts: Facts) -> Markup:
    rows = [
        (
            text(row.day),
            facts.number(f"scores.days.{index}.markets", "count"),
            facts.number(f"scores.days.{index}.fills", "count"),
            facts.number(f"scores.days.{index}.pnl_micro", "micro_usd"),
            facts.number(f"scores.days.{index}.pnl_without_micro", "micro_usd")
            if row.mean_without_usd is not None
            else text("–"),
        )
        for index, row in enumerate(facts.scores.days)
    ]
    columns = (
        Column("day, UTC", numeric=False),
        Column("markets"),
        Column("fills"),
        Column("PnL, USD"),
        Column("run without it", hint="PnL of all other days"),
    )
    caption = (
        "One day alone: leaving it out leaves nothing, so this test says nothing."
        if len(rows) == 1
        else "A run that lives from one day does not survive losing it."
    )
    return card(
        "Leave one day out", table(columns, rows, name="days", empty="no settled market"), caption=caption
    )


def _drawdown(facts: Facts) -> Markup:
    amount = facts.number("scores.equity.drawdown_booked.depth_micro", "micro_usd_amount")
    share = facts.scores.equity.drawdown_booked.depth_frac
    if share is None:
        return Markup(f"{amount} USD")
    return Markup(f"{amount} USD ({facts.number('scores.equity.drawdown_booked.depth_frac', 'frac')})")


def _period(facts: Facts) -> Markup:
    markets = facts.result.table("markets")
    program = facts.info("program", "")
    digest = facts.info("settings_digest", "")
    parts = [text(span_words(markets))]
    assets = sorted(
        {
            f"{asset.upper()} {interval}"
            for asset, interval in zip(markets["asset"], markets["interval"], strict=True)
        }
    )
    parts.append(
        text(", ".join(assets[:6]) + (" …" if len(assets) > 6 else "")) if assets else text("no markets")
    )
    parts.append(text(", ".join(facts.result.strategies) or "no strategies"))
    parts += [text(f"settings {digest}")] if digest else []
    parts += [text(program)] if program else []
    return join(parts, " · ")


def span_words(markets: Any) -> str:
    """Return from when to when the windows of a run were, UTC."""
    if not len(markets):
        return f"period {UNKNOWN}"
    first, last = (_minute(int(value)) for value in (markets["start_ns"].min(), markets["end_ns"].max()))
    return f"{first} to {last[11:] if last[:10] == first[:10] else last} UTC"


def _minute(at_ns: int) -> str:
    return str(np.datetime64(at_ns, "ns"))[:16].replace("T", " ")
