"""Where the money came from: equity and drawdown, attribution by strategy, strategies side by side.

Owns these sections' order and words.  Must not compute.  Called by polybot.report.page.
"""

from polybot.backtest.counted import Counted
from polybot.report.drawings import NARROW, WIDE, both_widths, draw_attribution, draw_equity
from polybot.report.facts import Facts
from polybot.report.markup import Column, Markup, card, join, section, table, text

__all__ = ["attribution", "equity"]

TERM_TITLES = (
    ("edge_micro", "edge", "what the model promised when each order was decided"),
    ("slippage_micro", "slippage", "price paid against the price expected at the decision"),
    ("fees_micro", "fees", "taker fees of the venue"),
    ("adverse_micro", "adverse selection", "change of value from the fill to the horizon"),
    ("luck_micro", "outcome luck", "from the value at the horizon to what the market paid"),
)


def equity(facts: Facts) -> Markup:
    """Return the curve with every fill, and its drawdowns as a table."""
    curve, parts = facts.scores.equity, []
    if facts.pictures and curve.at_ns:
        fill_ns = Counted.of(facts.result.table("markets"), facts.result.table("fills")).fills["recv_ns"]
        picture = both_widths(draw_equity, "equity", curve, fill_ns, wide=WIDE, narrow=NARROW)
        thinned = " A long series is thinned: its extremes and every fill are drawn." if curve.thinned else ""
        parts.append(
            card(
                "Cumulated PnL",
                picture,
                wide=True,
                caption="Blue steps when a market settles. Gray values what is open at the market's mid, which nobody "
                "promised to pay, at fills and settlements; the table below looks at it at every sample. Under it: the "
                f"drawdown of the settled curve. Dashed verticals: holes of more than an hour are cut out.{thinned}",
            )
        )
    elif not curve.at_ns:
        parts.append(
            card("Cumulated PnL", Markup('<p class="none">No fill counts: there is no curve.</p>'), wide=True)
        )
    rows = []
    for title, field in (
        ("settled", "drawdown_booked"),
        ("with open positions at the mid", "drawdown_marked"),
    ):
        path = f"scores.equity.{field}"
        recovered = facts.value(path).recovered
        rows.append(
            (
                text(title),
                facts.number(f"{path}.depth_micro", "micro_usd_amount"),
                facts.number(f"{path}.depth_frac", "frac"),
                facts.number(f"{path}.longest_ns", "ns_min"),
                text("yes" if recovered else "no") if facts.value(path).longest_ns is not None else text("–"),
            )
        )
    columns = (
        Column("drawdown of", numeric=False),
        Column("deepest, USD"),
        Column("of the bankroll"),
        Column("longest, min", hint="from a peak to its recovery, or to the end of the data"),
        Column("longest ended", hint="whether the curve reached its old peak again after the longest one"),
    )
    parts.append(card("Drawdowns", table(columns, rows, name="drawdowns")))
    return section("equity", "Equity and drawdown", *parts)


def attribution(facts: Facts) -> Markup:
    """Return the five terms of every strategy's PnL; they sum to it exactly."""
    parts = []
    traded = [item for item in facts.scores.strategies if item.fills]
    if facts.pictures and traded:
        picture = both_widths(draw_attribution, "attribution", traded, wide=WIDE, narrow=NARROW)
        parts.append(card("PnL by what caused it", picture, wide=True))
    parts.append(card("PnL by strategy, USD", _attribution_table(facts), wide=True, under=_caption(facts)))
    parts.append(card("Strategies", _strategy_table(facts), wide=True))
    return section(
        "attribution",
        "Where the PnL came from",
        *parts,
        lead="Edge is what was promised, luck what the outcome added; only the first can be repeated.",
    )


def _attribution_table(facts: Facts) -> Markup:
    columns = (
        Column("strategy", numeric=False),
        *(Column(title, hint=hint) for _, title, hint in TERM_TITLES),
        Column("PnL", hint="the sum of the five, to the micro-dollar"),
        Column("fills"),
    )
    paths = [f"scores.strategies.{index}" for index in range(len(facts.scores.strategies))]
    rows = [_attribution_row(facts, path) for path in [*paths, "scores.all"]]
    return table(columns, rows, name="attribution", row_kinds=[""] * len(paths) + ["total"])


def _attribution_row(facts: Facts, path: str) -> list[Markup]:
    base = f"{path}.attribution"
    return [
        text(facts.value(path).name),
        *(facts.number(f"{base}.{field}", "micro_usd") for field, _, _ in TERM_TITLES),
        facts.number(f"{base}.pnl_micro", "micro_usd"),
        facts.number(f"{base}.fills", "count"),
    ]


def _strategy_table(facts: Facts) -> Markup:
    columns = (
        Column("strategy", numeric=False),
        Column("signals"),
        Column("became orders"),
        Column("denied"),
        Column("fills"),
        Column("as maker"),
        Column("markets"),
        Column("shares"),
        Column("PnL, USD"),
        Column("95 % interval, by market"),
    )
    rows = []
    paths = [f"scores.strategies.{index}" for index in range(len(facts.scores.strategies))]
    for path in [*paths, "scores.all"]:
        counts = ("signals", "dispatched", "denied", "fills", "maker_fills", "markets")
        rows.append(
            [
                text(facts.value(path).name),
                *(facts.number(f"{path}.{field}", "count") for field in counts),
                facts.number(f"{path}.shares_micro", "micro_shares"),
                facts.number(f"{path}.pnl_micro", "micro_usd"),
                facts.interval(f"{path}.pnl_interval") if facts.value(path).fills else text("–"),
            ]
        )
    return table(columns, rows, name="strategies", row_kinds=[""] * len(paths) + ["total"])


def _caption(facts: Facts) -> Markup:
    path = "scores.all.attribution"
    words = [
        Markup(
            "Value between adverse selection and luck is read "
            f"{facts.number(f'{path}.horizon_s', 's')} s after the fill."
        )
    ]
    for field, meaning in (
        ("fair_unknown", "fills had no model value when decided: all of theirs is luck."),
        ("expected_unknown", "had no expected price: no slippage."),
        ("horizon_unknown", "had no value at the horizon: no adverse selection."),
        ("horizon_mid", "were valued there at the mid, for lack of a model value."),
    ):
        if facts.value(f"{path}.{field}"):
            words.append(Markup(f"{facts.number(f'{path}.{field}', 'count')} {meaning}"))
    return join(words, " ")
