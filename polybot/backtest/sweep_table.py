"""What a sweep's rows say: a table, and what the best of so many points is worth.

Owns the figures that are made of a point's PnL by market: sums with their bootstrap interval, the days held out, and
the joint bootstrap of all points (White 2000, "A reality check for data snooping", Econometrica 68): markets are drawn
with replacement, the same for every point; how far the luckiest point then lies above its own sum is how far luck
alone lifts the best of so many.  Choosing never sees the days held out.
Must not run points.  Called by polybot.backtest.sweep and search.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polybot.analyze.frame import Frame
from polybot.backtest.bootstrap import resampled_sums, sum_intervals
from polybot.config_sweep import Metric, SweepConfig

__all__ = ["LEAST", "Markets", "figures_of", "note_lines", "short_names", "sweep_frame"]

USD = 1e6
LEAST: tuple[Metric, ...] = ("drawdown_usd", "brier_model", "log_loss_model")
# Figures of a point that are taken as they are.
PLAIN = (
    "markets",
    "traded",
    "fills",
    "fees_usd",
    "drawdown_usd",
    "brier_model",
    "brier_mid",
    "log_loss_model",
)

Row = Mapping[str, Any]
Markets = Mapping[str, Sequence[Mapping[str, str]]]  # by the name a row gives
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Split:
    """PnL by market of one point, USD: the days that choose, and those held out."""

    names: NDArray[np.str_]  # of the markets on the days that choose
    chosen: Floats
    held_out: Floats


def figures_of(row: Row, markets: Markets, settings: SweepConfig) -> dict[str, Any]:
    """The figures of one point that depend on the sweep's settings, and the plain ones; all None after an error."""
    if row["error"]:
        return dict.fromkeys(_names(settings))
    split = _split(row, markets, _held_out(markets, settings))
    interval = sum_intervals(split.chosen[:, None], draws=settings.draws_count, seed=settings.seed)[0]
    found = {
        "pnl_usd": float(split.chosen.sum()),
        "pnl_low_usd": interval.low,
        "pnl_high_usd": interval.high,
        **{name: row["figures"][name] for name in PLAIN},
    }
    if settings.hold_out_days:
        found["held_out_usd"] = float(split.held_out.sum())
        found["held_out_markets"] = len(split.held_out)
    return {name: found[name] for name in _names(settings)}


def sweep_frame(rows: Sequence[Row], markets: Markets, settings: SweepConfig) -> Frame:
    """One line per point, the best first: its settings, its figures, how long it took."""
    keys = tuple(dict.fromkeys(key for row in rows for key in row["point"]))
    names = (*keys, *_names(settings), "elapsed_s", "error", "digest")
    lines = []
    for row in rows:
        figures = figures_of(row, markets, settings)
        values = (row["point"].get(key) for key in keys)
        lines.append((*values, *figures.values(), row["elapsed_s"], row["error"], row["digest"]))
    return Frame(names, lines).sorted_by(settings.metric, descending=settings.metric not in LEAST)


def note_lines(rows: Sequence[Row], markets: Markets, settings: SweepConfig) -> list[str]:
    """In words: of how many points the best is the best, and what that is worth."""
    good = [row for row in rows if not row["error"]]
    if not good:
        return ["no point has a result"]
    held = _held_out(markets, settings)
    splits = [_split(row, markets, held) for row in good]
    sums = [float(split.chosen.sum()) for split in splits]
    best = int(np.argmax(sums))
    low, high = (figures_of(good[best], markets, settings)[name] for name in ("pnl_low_usd", "pnl_high_usd"))
    lines = [
        f"most PnL of {len(good)} points: {sums[best]:+.2f} USD with {_point_words(good[best]['point'])}; "
        + (f"95 % by market {low:+.2f} to {high:+.2f}, as if it were the only point" if low is not None else
           "fewer than two markets, no interval")
    ]  # fmt: skip
    lines += _joint_lines(good, splits, sums, settings)
    if settings.hold_out_days:
        held_out = splits[best].held_out
        lines.append(
            f"on the {settings.hold_out_days} days held out the same point made {held_out.sum():+.2f} USD "
            f"in {len(held_out)} markets: nothing was chosen by them, until you choose by this line"
        )
    else:
        lines.append(
            "no days were held out (sweep.hold_out_days): the best was chosen and measured on the same data"
        )
    return lines


def short_names(frame: Frame) -> Frame:
    """The same table with the last parts of its settings' names, where they stay different."""
    shorts = [name.rpartition(".")[2].lstrip("+") for name in frame.names]
    names = tuple(
        short if shorts.count(short) == 1 else name for name, short in zip(frame.names, shorts, strict=True)
    )
    return Frame(names, frame.rows)


# -- parts ------------------------------------------------------------------------------------------


def _names(settings: SweepConfig) -> tuple[str, ...]:
    held_out = ("held_out_usd", "held_out_markets") if settings.hold_out_days else ()
    return ("pnl_usd", "pnl_low_usd", "pnl_high_usd", *held_out, *PLAIN)


def _held_out(markets: Markets, settings: SweepConfig) -> frozenset[str]:
    """The last so many UTC days on which a market began that settled under any point."""
    days = sorted({market["day"] for items in markets.values() for market in items})
    return frozenset(days[-settings.hold_out_days :] if settings.hold_out_days else ())


def _split(row: Row, markets: Markets, held: frozenset[str]) -> _Split:
    names = np.array([market["market"] for market in markets[row["markets"]]], dtype=np.str_)
    pnl = np.asarray(row["pnl_micro"], dtype=np.float64) / USD
    held_out = np.array([market["day"] in held for market in markets[row["markets"]]], dtype=np.bool_)
    return _Split(names[~held_out], pnl[~held_out], pnl[held_out])


def _aligned(splits: Sequence[_Split]) -> tuple[Floats, int]:
    """(PnL of the days that choose, markets x points; how many of those markets some point has not).

    A market that is not settled under a point, because its halts kept it out, made and lost nothing there.
    """
    names = np.unique(np.concatenate([split.names for split in splits]))
    table = np.zeros((len(names), len(splits)))
    there = np.zeros((len(names), len(splits)), dtype=np.bool_)
    for column, split in enumerate(splits):
        at = np.searchsorted(names, split.names)
        np.add.at(table[:, column], at, split.chosen)
        there[at, column] = True
    return table, int((~there.all(axis=1)).sum())


def _joint_lines(
    rows: Sequence[Row], splits: Sequence[_Split], sums: Sequence[float], settings: SweepConfig
) -> list[str]:
    """The deflated view; needs the same markets under every point."""
    if len(rows) < 2:
        return []
    table, partly = _aligned(splits)
    if len(table) < 2:
        return []
    drawn = resampled_sums(table, draws=settings.draws_count, seed=settings.seed)
    luck = (drawn - np.asarray(sums)).max(axis=1)
    chance = float((luck >= max(sums)).mean())
    lines = [
        f"the best of {len(rows)} points is flattering: with these markets luck alone lifts it by {luck.mean():.2f} "
        f"USD on average (95 %: up to {np.quantile(luck, 0.95):.2f}); less that: {max(sums) - luck.mean():+.2f} USD",
        f"chance that the best of {len(rows)} points without any edge makes as much: {chance:.3f} "
        f"(joint bootstrap by market, {settings.draws_count} draws, seed {settings.seed})",
    ]
    if not table.any():
        lines = ["no point made or lost anything on the days that choose"]
    if partly:
        lines.append(
            f"{partly} of {len(table)} markets are not settled under every point: they count as 0 there"
        )
    return lines


def _point_words(point: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in point.items()) or "no settings of its own"
