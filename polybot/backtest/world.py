"""What tapes there are, which window each is of, and what of it can be used: traded, followed, or refused and why.

Theory of operation.  Manifests are read first, all of them; a tape's events only when its time has come (Reel asks).
A strike is told when it was known here: as the tape has it, or, where the tape only names it, some seconds after the
start; an outcome comes from the manifest alone and is known when the tape says, never before the end.  Nothing is
guessed: a window that lacks what trading it needs is refused with a reason, one without an outcome is not traded.
Must not decide.  Called by reel (open, close) and by run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from polybot._fast.event import EventKind, StrikeSource
from polybot._fast.state import RULES
from polybot.backtest.reel import Strike, Window
from polybot.backtest.source import MARKET, ORACLE, SPOT, Source
from polybot.config import Config, observed_intervals
from polybot.errors import ConfigError, TapeError
from polybot.market.resolution import StrikeCapture
from polybot.market.spec import MarketSpec
from polybot.replay.calls import INPUTS_KIND
from polybot.tape.reader import Tape, find_tapes, open_tape

__all__ = ["TapeWorld", "Title", "traded_intervals"]

NS = 1_000_000_000
DAY_NS = 86_400 * NS
# A strike that a tape names without saying when it came: the oracle's tick is here 1 to 3 s after the start.
STRIKE_KNOWN_S = 5.0
# An outcome that a tape names without saying when it came: the venue publishes it 53 to 90 s after the end.
OUTCOME_KNOWN_S = 90.0
# After the outcome a market stays for the last words on its fills.
LAST_WORDS_S = 5.0
# Numbers of orders: a block per window of each start, shared among the intervals that are traded.
ORDERS_PER_START = 100_000
MAX_WINDOWS = 65_535
LABEL_CHARS = 48

Say = Callable[[str], None]


@dataclass(slots=True)
class Title:
    """One tape as the run's file tells of it."""

    path: Path
    name: str
    label: str
    spec: MarketSpec | None
    first_ns: int
    last_ns: int
    outcome: int | None
    role: str  # traded, observed, prices, "" (not used)
    reason: str = ""  # why it is not used, or not traded
    index: int = -1
    gap_ns: int = 0
    rows: int = 0
    warnings: list[str] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    places: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As run.json has it."""
        return {
            "name": self.name,
            "path": str(self.path),
            "label": self.label,
            "role": self.role,
            "reason": self.reason,
            "market": self.index if self.index >= 0 else None,
            "outcome": self.outcome,
            "events": self.rows,
            "warnings": [*self.warnings, *(f"assumed: {text}" for text in self.assumptions)],
            "missing": self.missing,
            "damage": self.damage,
            "damage_places": self.places,
            "gaps": self.gaps,
        }


def traded_intervals(config: Config) -> tuple[str, ...]:
    """Intervals whose windows are traded: those named, else the run's own."""
    return config.backtest.intervals or (config.interval.name,)


class TapeWorld:
    """All tapes of one run; implements reel.World."""

    def __init__(self, config: Config, *, say: Say) -> None:
        """Read every manifest; raises ConfigError when there is nothing to trade, with what there is instead."""
        self._config = config
        self._say = say
        self._traded = traded_intervals(config)
        self._observed = tuple(name for name in observed_intervals(config) if name not in self._traded)
        self._delay_ns = round(config.backtest.spot_delay_s * NS)
        self._by_index: dict[int, Title] = {}
        self._rivals: set[tuple[int, int, int]] = set()
        self._has: dict[int, Mapping[int, bool]] = {}
        self.unreadable: list[dict[str, str]] = []
        self.titles = self._read(_folders(config.backtest.tapes))
        self._check_any()
        used = [title for title in self.titles if title.role]
        self.span_ns = used[0].first_ns, max(title.last_ns for title in used)

    @property
    def starts_ns(self) -> Sequence[int]:
        """Receive time of the first entry of every tape, in order."""
        return [title.first_ns for title in self.titles]

    def title_of(self, index: int) -> Title:
        """The tape of a window that was opened."""
        return self._by_index[index]

    # -- reel.World -------------------------------------------------------------------------------------------

    def open(self, rank: int) -> tuple[Source | None, Window | None]:
        """Open a tape: what it gives, and the window it is of (None: none, or not used)."""
        title = self.titles[rank]
        if not title.role:
            return None, None
        try:
            tape = open_tape(title.path)
            source = Source(tape, rank=rank, spot_delay_ns=self._delay_ns)
            self._note_damage(title, tape)
            if title.spec is None:
                return source, None
            window = self._window(title, title.spec, tape, source)
        except (OSError, TapeError, ValueError) as error:
            self._refuse(title, f"cannot be read: {error}")
            return None, None
        return (None, None) if window is None else (source, window)

    def close(self, source: Source, rows: int) -> None:
        """A tape was given in full; of its own window so many rows were."""
        self.titles[source.rank].rows = rows

    def rival(self, code: int, taken: Source, left: Source) -> None:
        """Two recordings have the same prices at the same time; those of one are left out, and it is said once."""
        if (code, taken.rank, left.rank) in self._rivals:
            return
        self._rivals.add((code, taken.rank, left.rank))
        what = "spot" if code == SPOT else "oracle"
        text = f"its {what} prices are left out where {self.titles[taken.rank].name} has them too"
        self.titles[left.rank].warnings.append(text)

    # -- manifests --------------------------------------------------------------------------------------------

    def _read(self, folders: Sequence[Path]) -> list[Title]:
        titles = []
        for folder in folders:
            try:
                titles.append(self._title(open_tape(folder)))
            except (OSError, TapeError, KeyError, TypeError) as error:
                self.unreadable.append({"path": str(folder), "reason": str(error)})
                self._say(f"left out: {folder}: {error}")
        titles.sort(key=lambda title: (title.first_ns, title.name, str(title.path)))
        seen: dict[str, Path] = {}
        for title in sorted(titles, key=_worth):
            if title.role and title.spec is not None:
                if title.name in seen:
                    self._refuse(title, f"the same window as {seen[title.name]}")
                seen.setdefault(title.name, title.path)
        return titles

    def _title(self, tape: Tape) -> Title:
        manifest = tape.manifest
        content = manifest["content"]
        title = Title(
            path=tape.path,
            name=tape.name,
            label=_label(manifest),
            spec=tape.spec,
            first_ns=int(content["first_ns"]),
            last_ns=int(content["last_ns"]),
            outcome=tape.outcome,
            role="",
            warnings=[str(text) for text in manifest.get("warnings", ())],
            assumptions=[str(text) for text in manifest.get("assumptions", ())],
            missing=[str(text) for text in manifest.get("missing", ())],
        )
        if manifest["kind"] == INPUTS_KIND:
            title.reason = "inputs of a session: name their folder alone to backtest it"
        else:
            title.role, title.reason = self._role(title, manifest["symbols"])
        return title

    def _role(self, title: Title, symbols: Mapping[str, str]) -> tuple[str, str]:
        """What a tape is used for, or why not, by its manifest alone."""
        asset, spec = self._config.asset, title.spec
        if not title.first_ns:
            return "", "it is empty"
        if spec is None:
            if symbols.get("spot") != asset.spot_symbol:
                return "", f"prices of another asset than asset={asset.name}"
            return "prices", ""
        if spec.asset != asset.name:
            return "", f"a window of asset={spec.asset}, this run is of asset={asset.name}"
        days = self._config.backtest.days
        if days and _day(spec.start_ns) not in days:
            return "", "not of the days asked for"
        if spec.interval in self._traded:
            return "traded", ""
        if spec.interval in self._observed:
            return "observed", ""
        return "", f"a {spec.interval} window, this run trades {', '.join(self._traded)}"

    def _check_any(self) -> None:
        if any(title.role == "traded" for title in self.titles):
            return
        counts: dict[str, int] = {}
        for title in self.titles:
            if title.spec is not None:
                name = f"asset={title.spec.asset} interval={title.spec.interval}"
                counts[name] = counts.get(name, 0) + 1
        there = ", ".join(f"{count} of {name}" for name, count in sorted(counts.items())) or "no windows at all"
        asked = f"asset={self._config.asset.name} and {', '.join(self._traded)}"
        tapes = ", ".join(self._config.backtest.tapes)
        reasons = sorted({title.reason for title in self.titles if title.reason})
        why = f" ({'; '.join(reasons[:3])})" if reasons else ""
        raise ConfigError(f"backtest.tapes={tapes}: no tape of {asked} to trade; there are {there}{why}")

    # -- one window -------------------------------------------------------------------------------------------

    def _window(self, title: Title, spec: MarketSpec, tape: Tape, source: Source) -> Window | None:
        """Say when what is told of a window, or refuse it."""
        title.gap_ns, title.gaps = _gaps(tape, spec, source.holes)
        strike = self._strike(title, spec, tape, source)
        reason = self._lacks(title, spec, source, strike)
        if reason or strike is None:
            self._refuse(title, reason)
            return None
        observed = title.role == "observed"
        if not observed and title.outcome is None:
            title.role, observed = "observed", True
            title.reason = "its outcome is not known: followed and not traded, nothing of it is counted"
            self._say(f"{title.name}: {title.reason}")
        if spec.fees_enabled and spec.fee_rate_ppm is None:
            title.warnings.append("its fees are not known: nothing is taken in it")
        if len(self._by_index) >= MAX_WINDOWS:
            raise TapeError(f"more than {MAX_WINDOWS} windows in one run: choose days with backtest.days")
        title.index = len(self._by_index)
        self._by_index[title.index] = title
        outcome_ns = self._outcome_ns(title, spec, source)
        last_words_ns = round((self._config.backtest.confirm_s + LAST_WORDS_S) * NS)
        return Window(
            index=title.index,
            spec=spec,
            order_seq_base=self._order_seq_base(spec),
            observed=observed,
            strike=strike,
            outcome=None if observed else title.outcome,
            outcome_ns=spec.end_ns if observed else outcome_ns,
            drop_ns=spec.end_ns if observed else outcome_ns + last_words_ns,
        )

    def _lacks(self, title: Title, spec: MarketSpec, source: Source, strike: Strike | None) -> str:
        """Why this window cannot be used, "" when it can."""
        if spec.rule not in RULES:
            return "the rule by which it resolves is not known"
        if not source.has[MARKET] or not len(source.rows_of(int(EventKind.EV_BOOK_SNAPSHOT))):
            return "there are no order books of it on tape"
        if not self._covers(SPOT, title, spec, source):
            return "no tape has spot prices while it ran"
        if spec.rule != "candle" and not self._covers(ORACLE, title, spec, source):
            return "no tape has oracle prices while it ran: nothing could be priced or would be allowed to trade"
        if strike is None:
            return "its strike is not known"
        if strike.known_ns >= spec.end_ns:
            return "its strike was known only after its end"
        return ""

    def _covers(self, code: int, title: Title, spec: MarketSpec, source: Source) -> bool:
        """Has this tape, or another one of that time, such prices?"""
        if source.covers(code, spec.start_ns, spec.end_ns):
            return True
        return any(
            self._other_has(code, rank)
            for rank, other in enumerate(self.titles)
            if other is not title and other.role and other.first_ns < spec.end_ns and other.last_ns > spec.start_ns
        )

    def _other_has(self, code: int, rank: int) -> bool:
        if rank not in self._has:
            try:
                self._has[rank] = Source(open_tape(self.titles[rank].path), rank=rank).has
            except (OSError, TapeError, ValueError):
                self._has[rank] = {}
        return self._has[rank].get(code, False)

    def _strike(self, title: Title, spec: MarketSpec, tape: Tape, source: Source) -> Strike | None:
        """As the tape was told it, as its manifest names it, or as its oracle prices show it."""
        told = source.rows_of(int(EventKind.EV_STRIKE))
        if len(told):
            row = told[0]
            known_ns = max(int(row["recv_ns"]), spec.start_ns)
            return Strike(float(row["x"]), int(row["i"]), int(row["venue_ns"]), float(row["y"]), known_ns)
        named = tape.manifest["strike"]
        if named is not None:
            text = f"when its strike was known is not on tape: {STRIKE_KNOWN_S:g} s after its start is assumed"
            title.warnings.append(text)
            return Strike(
                float(named["value"]),
                int(named.get("source", StrikeSource.STRIKE_UNKNOWN)),
                int(named.get("stamp_ns", spec.start_ns)),
                float(named.get("variance", 0.0)),
                spec.start_ns + round(STRIKE_KNOWN_S * NS),
            )
        return _captured(spec, source, strike_sd=self._config.model.strike_sd_bps * 1e-4)

    def _outcome_ns(self, title: Title, spec: MarketSpec, source: Source) -> int:
        """When the outcome was known here; what a tape tells before the end is not believed."""
        told = source.rows_of(int(EventKind.EV_OUTCOME))
        early = told[told["recv_ns"] < spec.end_ns]
        if len(early):
            title.warnings.append("an outcome stands on the tape before the window's end: not used")
        told = told[told["recv_ns"] >= spec.end_ns]
        if not len(told):
            return spec.end_ns + round(OUTCOME_KNOWN_S * NS)
        if title.outcome is not None and int(told["outcome"][0]) != title.outcome:
            title.warnings.append("the outcome among its events is not the manifest's: the manifest's counts")
        return int(told["recv_ns"][0])

    def _order_seq_base(self, spec: MarketSpec) -> int:
        """As live; windows of several intervals with one start share its numbers."""
        part = ORDERS_PER_START // len(self._traded)
        place = self._traded.index(spec.interval) if spec.interval in self._traded else 0
        return spec.start_ns // NS * ORDERS_PER_START + place * part

    def _note_damage(self, title: Title, tape: Tape) -> None:
        for damage in tape.damages:
            place = {"file": damage.file, "offset": damage.offset, "detail": damage.detail, "lost": damage.lost}
            title.places.append(place)
            title.damage.append(damage.text())
            self._say(f"{title.name}: {damage.text()}; the rest is used")

    def _refuse(self, title: Title, reason: str) -> None:
        title.role, title.reason = "", reason
        self._say(f"{title.name}: not used: {reason}")


def _folders(tapes: Sequence[str]) -> list[Path]:
    """Every tape below the folders named, each once; raises ConfigError for one that is not there or has none."""
    found: dict[Path, None] = {}
    for name in tapes:
        folder = Path(name)
        if not folder.is_dir():
            raise ConfigError(f"backtest.tapes={name} is not allowed: must be a folder that is there")
        paths = find_tapes(folder)
        if not paths:
            raise ConfigError(f"backtest.tapes={name} is not allowed: no tape in it (record or import makes them)")
        found.update(dict.fromkeys(paths))
    return list(found)


def _worth(title: Title) -> tuple[bool, bool, int, str]:
    """Of several tapes of one window the first by this is used: traded, whole, reaching farthest."""
    return title.role != "traded", bool(title.damage), -title.last_ns, str(title.path)


def _label(manifest: Mapping[str, Any]) -> str:
    """Where a tape is from, in some words."""
    source = manifest["source"]
    words = [str(source.get("label", ""))]
    if source.get("simulated"):
        words.append("simulated venue")
    elif source.get("venue"):
        words.append(str(source["venue"]))
    return ", ".join(word for word in words if word)[:LABEL_CHARS]


def _day(ns: int) -> str:
    return datetime.fromtimestamp(ns // NS, UTC).strftime("%Y-%m-%d")


def _gaps(tape: Tape, spec: MarketSpec, holes: Sequence[tuple[int, int]]) -> tuple[int, list[str]]:
    """Time inside the window without some feed's data, and the gaps in words; damage where its holes are."""
    spans, words = [], []
    told = [(gap.feed, gap.cause, gap.from_ns, gap.to_ns) for gap in tape.gaps if gap.cause != "damage"]
    dropped = [(from_ns, to_ns) for _, cause, from_ns, to_ns in told if cause == "dropped"]
    for hole in holes:
        if not any(from_ns <= hole[1] and to_ns >= hole[0] for from_ns, to_ns in dropped):
            told.append(("all", "damage", *hole))
    for feed, cause, from_ns, to_ns in told:
        words.append(f"{feed}: {cause}, {(to_ns - from_ns) / NS:.3f} s from {from_ns}")
        first, last = max(from_ns, spec.start_ns), min(to_ns, spec.end_ns)
        if last > first:
            spans.append((first, last))
    total, reached = 0, 0
    for first, last in sorted(spans):
        total += max(0, last - max(first, reached))
        reached = max(reached, last)
    return total, words


def _captured(spec: MarketSpec, source: Source, *, strike_sd: float) -> Strike | None:
    """The strike as a live window would have taken it from these oracle prices, None: it could not."""
    capture = StrikeCapture(spec, strike_sd=strike_sd)
    rows = source.rows_of(int(EventKind.EV_ORACLE_SPOT), int(EventKind.EV_ORACLE_TWAP))
    near = np.abs(rows["venue_ns"] - spec.start_ns) < 5 * NS
    for row in rows[near]:
        strike = capture.on_oracle_tick(
            int(row["kind"]),
            float(row["x"]),
            int(row["venue_ns"]),
            int(row["recv_ns"]),
            window_s=int(row["y"]) if row["kind"] == EventKind.EV_ORACLE_TWAP else 0,
            sequenced=row["seq"] != 0,
        )
        if strike is not None:
            known_ns = max(int(row["recv_ns"]), spec.start_ns)
            return Strike(strike.value, int(strike.source), strike.stamp_ns, strike.variance, known_ns)
    return None
