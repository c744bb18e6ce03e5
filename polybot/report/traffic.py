"""What happened to signals and orders: denials by reason, latency, and agreement with the session that was traded.

Owns these sections' order and words.  Must not compute.  Called by polybot.report.page.
"""

from collections import Counter

from polybot.backtest.score_tree import LatencyStage
from polybot.report.drawings import both_widths, draw_denials, draw_latency
from polybot.report.facts import Facts
from polybot.report.markup import Column, Markup, card, grid, note, section, table, text

__all__ = ["agreement", "traffic"]

BARS = 10  # reasons in the picture; the table has all
PERCENTILES = ("50", "90", "99", "99.9", "max")
# Orders below which a percentile is but the largest of them.
LEAST_FOR = {"50": 1, "90": 10, "99": 100, "99.9": 1_000, "max": 1}


def traffic(facts: Facts) -> Markup:
    """Return denial counts by strategy and reason, and how long orders took."""
    counted: Counter[str] = Counter()
    for item in facts.scores.denials:
        counted[item.reason] += item.n
    pictures = []
    top = counted.most_common(BARS)
    if facts.pictures and top:
        pictures.append(card("Denied signals by reason", both_widths(draw_denials, "denials", top)))
    if facts.pictures and any(stage.n for stage in facts.scores.latency):
        pictures.append(card("Latency of orders", both_widths(draw_latency, "latency", facts.scores.latency)))
    parts = [grid(*pictures)] if pictures else []
    parts.append(card("Denied signals", _denial_table(facts), wide=True))
    parts.append(card("Latency, ms", _latency_table(facts), wide=True))
    if facts.info("blocked"):
        parts.append(card("Blocked before any strategy was asked", _blocked_table(facts), wide=True))
    return section(
        "traffic",
        "Signals and orders",
        *parts,
        lead="Most signals are refused; each refusal has a name. A signal may be repeated many times a second.",
    )


def _denial_table(facts: Facts) -> Markup:
    """A row a reason, a column a strategy; the most frequent reasons first."""
    places = {(item.reason, item.strategy): index for index, item in enumerate(facts.scores.denials)}
    totals: Counter[str] = Counter()
    for item in facts.scores.denials:
        totals[item.reason] += item.n
    reasons = [reason for reason, _ in totals.most_common()]
    names = [item.name for item in facts.scores.strategies]
    names += [name for name in dict.fromkeys(name for _, name in places) if name not in names]
    rows = [
        [
            text(reason),
            *(
                facts.number(f"scores.denials.{places[reason, name]}.n", "count")
                if (reason, name) in places
                else text("–")
                for name in names
            ),
        ]
        for reason in reasons
    ]
    columns = (Column("reason", numeric=False), *(Column(name) for name in names))
    return table(columns, rows, name="denials", empty="no signal was denied, or the run kept none")


def _blocked_table(facts: Facts) -> Markup:
    order = sorted(facts.info("blocked").items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [[text(reason), facts.number(f"info.blocked.{reason}", "count")] for reason, _ in order]
    return table(
        (
            Column("reason", numeric=False),
            Column("times", hint="a window had something to decide on, and this stood in the way"),
        ),
        rows,
        name="blocked",
    )


def _latency_table(facts: Facts) -> Markup:
    rows = []
    for index, stage in enumerate(facts.scores.latency):
        path = f"scores.latency.{index}"
        cells = [
            _percentile(facts, f"{path}.percentiles_ms", percentile, stage) for percentile in PERCENTILES
        ]
        rows.append(
            [
                text(stage.name),
                facts.number(f"{path}.n", "count"),
                facts.number(f"{path}.mean_ms", "ms"),
                *cells,
                facts.number(f"{path}.unknown", "count"),
            ]
        )
    columns = (
        Column("stage", numeric=False),
        Column("n"),
        Column("mean"),
        *(Column(title if title == "max" else f"p{title}") for title in PERCENTILES),
        Column("unknown", hint="orders without one of the two stamps"),
    )
    return table(columns, rows, name="latency", empty="no orders")


def _percentile(facts: Facts, path: str, name: str, stage: LatencyStage) -> Markup:
    if stage.n < LEAST_FOR[name] or name not in stage.percentiles_ms:
        return text("–")
    return facts.number(f"{path}.{name}", "ms")


def agreement(facts: Facts) -> Markup:
    """Return how far the backtest agrees with the session it repeats; nothing when there is none."""
    found = facts.scores.agreement
    if found is None:
        return Markup("")
    path = "scores.agreement"
    columns = (
        Column("", numeric=False),
        Column("fills live"),
        Column("fills here"),
        Column("agreed"),
        Column("missed", hint="the session alone has it"),
        Column("extra", hint="this run alone has it"),
        Column("price, ticks", hint="agreed fills, mean; positive: dearer here"),
        Column("PnL live, USD"),
        Column("PnL here, USD"),
    )
    counts = ("fills_live", "fills_tested", "agreed", "missed", "extra")
    rows = []
    for name, base in [
        ("all", path),
        *((item.name, f"{path}.by_strategy.{k}") for k, item in enumerate(found.by_strategy)),
    ]:
        rows.append(
            [
                text(name),
                *(facts.number(f"{base}.{field}", "count") for field in counts),
                facts.number(f"{base}.price_difference_ticks", "tick_change"),
                facts.number(f"{base}.pnl_live_micro", "micro_usd"),
                facts.number(f"{base}.pnl_tested_micro", "micro_usd"),
            ]
        )
    kinds = ["base"] + [""] * len(found.by_strategy)
    return section(
        "agreement",
        "Beside the session that was traded",
        card(
            "Fills agreed, missed, extra",
            table(columns, rows, name="agreement", row_kinds=kinds),
            wide=True,
            under=_windows(facts),
        ),
        _signals(facts),
        lead=f"Session {found.live}. A fill agrees when its order was of the same market, strategy, outcome and side, "
        f"decided within {found.window_s:g} s.",
    )


def _windows(facts: Facts) -> Markup:
    number = facts.number
    return Markup(
        f"{number('scores.agreement.markets', 'count')} markets in both, "
        f"{number('scores.agreement.markets_live_only', 'count')} only there, "
        f"{number('scores.agreement.markets_tested_only', 'count')} only here; PnL over the "
        f"{number('scores.agreement.markets_settled', 'count')} settled in both. "
        f"Agreed of the session's fills: {number('scores.agreement.agreed_frac', 'frac')}. Fills may differ: the "
        "venue's other traders knew only the session."
    )


def _signals(facts: Facts) -> Markup:
    found = facts.scores.agreement
    assert found is not None
    counts = Markup(
        f"{facts.number('scores.agreement.signals_live', 'count')} there, "
        f"{facts.number('scores.agreement.signals_tested', 'count')} here"
    )
    if found.signals_equal is None:
        return note(Markup(f"Signals before risk: {counts}; not compared, one of the two kept none."))
    if found.signals_equal:
        return note(Markup(f"Signals before risk: identical ({counts})."))
    return note(
        Markup(f"Signals before risk differ ({counts}). First difference: {text(found.first_difference)}"),
        kind="warn",
    )
