"""Was the model right: calibration, scores by time left, edge predicted against realised, markouts.

Owns these sections' order and words; a score of too few samples is not shown.  Must not compute.
Called by polybot.report.page.
"""

from collections.abc import Sequence

from polybot.backtest.score_tree import Bin, CalibrationSlice, Markout
from polybot.report.drawings import (
    both_widths,
    draw_edges,
    draw_markouts,
    draw_reliability,
    draw_scores_by_tau,
)
from polybot.report.facts import Facts
from polybot.report.markup import Column, Markup, Span, card, details, grid, join, section, table, text

__all__ = ["calibration", "fills_judged"]


def calibration(facts: Facts) -> Markup:
    """Return how model and market mid fared as forecasts of the outcome, by time left."""
    slices = facts.scores.calibration
    parts: list[Markup] = []
    shown = [part for part in slices if part.markets >= facts.least]
    if facts.pictures and shown:
        timed = [part for part in shown if part.tau_s is not None]
        whole = next((part for part in shown if part.tau_s is None), shown[0])
        pictures = [
            card(
                f"Calibration, {whole.label} samples"
                if whole.tau_s is None
                else f"Calibration, {whole.label} left",
                draw_reliability("reliability", whole),
                caption="On the dashed line is right. Bars: 95 %, by market.",
            )
        ]
        if timed:
            pictures.append(
                card(
                    "Brier score",
                    draw_scores_by_tau("brier", timed, field="brier", title="Brier score"),
                    caption="Lower is better.",
                )
            )
            pictures.append(
                card(
                    "Log-loss",
                    draw_scores_by_tau("logloss", timed, field="log_loss", title="log-loss, nats"),
                    caption="Lower is better.",
                )
            )
        parts.append(grid(*pictures))
    parts.append(
        card("Forecasts of the outcome by time left", _slices_table(facts), wide=True, caption=_CAPTION)
    )
    tables = [
        join([Markup(f"<h3>{text(part.label)}</h3>"), _bins_table(facts, index, part)])
        for index, part in enumerate(slices)
        if part.n
    ]
    if tables:
        parts.append(
            details("Reliability tables, every time left", Markup(f"<div class='card'>{join(tables)}</div>"))
        )
    return section(
        "calibration",
        "Was the model right",
        *parts,
        lead="Model and market mid on the same samples, against what happened. The mid is the one to beat.",
    )


_CAPTION = (
    "One sample a market at each time left, so markets count alike; the row of all samples repeats each market many "
    "times, and its n is not a number of independent cases. Difference: log-loss of the model minus that of the mid; "
    "below zero the model was better."
)


def _slices_table(facts: Facts) -> Markup:
    columns = (
        Column("time left", numeric=False),
        Column("n"),
        Column("markets"),
        Column("Brier, model"),
        Column("Brier, mid"),
        Column("log-loss, model"),
        Column("log-loss, mid"),
        Column("difference", hint="log-loss of the model minus that of the mid"),
        Column("its 95 % interval"),
        Column("no model", hint="samples without the model's probability"),
        Column("no mid", hint="samples with one side of the book empty"),
    )
    rows: list[list[Markup | Span]] = []
    for index, part in enumerate(facts.scores.calibration):
        path = f"scores.calibration.{index}"
        rows.append(
            [
                text(part.label),
                facts.number(f"{path}.n", "count"),
                facts.number(f"{path}.markets", "count"),
                *_slice_scores(facts, path, part),
                facts.number(f"{path}.model_unknown", "count"),
                facts.number(f"{path}.mid_unknown", "count"),
            ]
        )
    return table(columns, rows, name="calibration", empty="no samples of settled markets")


def _slice_scores(facts: Facts, path: str, part: CalibrationSlice) -> list[Markup | Span]:
    if part.markets < facts.least:
        return [Span(facts.too_few(f"{path}.markets"), 6)]
    scores = ("brier_model", "brier_mid", "log_loss_model", "log_loss_mid")
    cells: list[Markup | Span] = [facts.number(f"{path}.{field}", "score") for field in scores]
    if part.difference is None:
        return [*cells, text("–"), text("–")]
    return [
        *cells,
        facts.number(f"{path}.difference.value", "score_change"),
        facts.interval(f"{path}.difference", "score_change"),
    ]


def _bins_table(facts: Facts, index: int, part: CalibrationSlice) -> Markup:
    columns = (
        Column("forecast of Up", numeric=False),
        Column("model: n"),
        Column("mean forecast"),
        Column("ended Up"),
        Column("mid: n"),
        Column("mean forecast"),
        Column("ended Up"),
    )
    rows = []
    for k, item in enumerate(part.model):
        other = part.mid[k] if k < len(part.mid) else None
        row = [
            text(f"{item.low:g} to {item.high:g}"),
            *_bin_cells(facts, f"scores.calibration.{index}.model.{k}", item),
        ]
        row += _bin_cells(facts, f"scores.calibration.{index}.mid.{k}", other)
        rows.append(row)
    return table(columns, rows, name=f"bins-{index}")


def _bin_cells(facts: Facts, path: str, item: Bin | None) -> list[Markup]:
    if item is None:
        return [text("–")] * 3
    if not item.n:
        return [facts.number(f"{path}.n", "count"), text("–"), text("–")]
    return [
        facts.number(f"{path}.n", "count"),
        facts.number(f"{path}.mean_p", "probability"),
        facts.number(f"{path}.share_up", "probability"),
    ]


def fills_judged(facts: Facts) -> Markup:
    """Return markouts of every strategy, and edge predicted against realised."""
    traded = [item for item in facts.scores.strategies if item.fills >= facts.least]
    edges = [item for item in facts.scores.all.edges if item.fills >= facts.least]
    parts: list[Markup] = []
    if facts.pictures and traded:
        pictures = [
            card(
                "Markouts by strategy",
                both_widths(draw_markouts, "markouts", traded),
                caption="Bars: 95 %, by market. Below zero the fill was dear.",
            )
        ]
        if any(item.predicted_usd is not None and item.realised_usd is not None for item in edges):
            pictures.append(
                card(
                    "Edge predicted, edge realised",
                    both_widths(draw_edges, "edges", edges),
                    caption="All strategies. On the dashed line the model kept its word.",
                )
            )
        parts.append(grid(*pictures))
    parts.append(
        card(
            "Markouts, cents a share after the fee",
            _markout_table(facts),
            wide=True,
            caption=_MARKOUT_CAPTION,
        )
    )
    parts.append(
        card("Edge predicted and realised, cents a share after the fee", _edge_table(facts), wide=True)
    )
    return section(
        "fills",
        "Were the fills good",
        *parts,
        lead="What a bought share was worth a little later, and at the end, minus what it cost.",
    )


_MARKOUT_CAPTION = (
    "Mean over shares, standard error by market in brackets, n fills. "
    "The mid is unknown with an empty side and after the end."
)


def _markout_table(facts: Facts) -> Markup:
    horizons = [item.horizon for item in facts.scores.all.markouts]
    columns = (Column("strategy", numeric=False), *(Column(title) for title in horizons))
    paths = [f"scores.strategies.{index}" for index in range(len(facts.scores.strategies))]
    rows = []
    for path in [*paths, "scores.all"]:
        found: Sequence[Markout] = facts.value(path).markouts
        cells = [_markout_cell(facts, f"{path}.markouts.{k}", item) for k, item in enumerate(found)]
        rows.append([text(facts.value(path).name), *cells])
    return table(columns, rows, name="markouts", row_kinds=[""] * len(paths) + ["total"])


def _markout_cell(facts: Facts, path: str, item: Markout) -> Markup:
    if not item.fills:
        return text("–")
    mean = facts.number(f"{path}.mean_net_usd", "cents", n=item.fills)
    if item.fills < facts.least:
        return mean
    error = f" (± {facts.number(f'{path}.error_usd', 'cents_error')})" if item.error_usd is not None else ""
    return Markup(f"{mean}{error}<br><small>n = {facts.number(f'{path}.fills', 'count')}</small>")


def _edge_table(facts: Facts) -> Markup:
    columns = (
        Column("edge promised", numeric=False),
        Column("fills"),
        Column("markets"),
        Column("shares"),
        Column("predicted"),
        Column("realised"),
        Column("standard error", hint="of realised, clustered by market"),
    )
    rows: list[list[Markup | Span]] = []
    for index, item in enumerate(facts.scores.all.edges):
        path = f"scores.all.edges.{index}"
        if not item.fills:
            continue
        rows.append(
            [
                text(_bounds(item.low_usd, item.high_usd)),
                facts.number(f"{path}.fills", "count"),
                facts.number(f"{path}.markets", "count"),
                facts.number(f"{path}.shares_micro", "micro_shares"),
                *_edge_scores(facts, path, enough=item.fills >= facts.least),
            ]
        )
    return table(columns, rows, name="edges", empty="no fill of a settled market")


def _edge_scores(facts: Facts, path: str, *, enough: bool) -> list[Markup | Span]:
    if not enough:
        return [Span(facts.too_few(f"{path}.fills"), 3)]
    return [
        facts.number(f"{path}.predicted_usd", "cents"),
        facts.number(f"{path}.realised_usd", "cents"),
        facts.number(f"{path}.error_usd", "cents_error"),
    ]


def _bounds(low: float | None, high: float | None) -> str:
    if low is None:
        return "not known" if high is None else f"below {100 * high:g} c"
    return f"{100 * low:g} c and more" if high is None else f"{100 * low:g} to {100 * high:g} c"
