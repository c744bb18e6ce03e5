"""A real daemon beside a venue that floods it, and what its own inputs log says of every frame of the floods.

`Overload` starts both processes, orders floods, waits for the daemon's own counters, and reads its memory.  `read`
then judges from the log what nobody's word is taken for: which trade ids and which numbered book changes reached the
engine, how old each was when it was read, when the last one was applied, and how old the newest data was at each order.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polybot._fast.event import COMMAND_DTYPE, EVENT_DTYPE, CommandKind, EventFlag, EventKind, Outcome, Side
from polybot._fast.risk import Denial
from polybot.control.address import sockets
from polybot.feeds.tally import FAULTS
from polybot.replay.inputs import find_inputs, open_inputs
from tests.child_process import PATIENCE_S, Process
from tests.load_venue import FAR_TICKS

__all__ = ["Flood", "Limits", "Overload", "Seen", "faults", "read"]

ROOT = Path(__file__).resolve().parent.parent
NS = 1_000_000_000
LOOK_S = 0.1  # wall, between two questions
OPEN_S = 400.0  # wall: on a slow machine the first window may be missed, then the next one is waited for
TOO_OLD = (Denial.CLOCK_SKEW, Denial.STALE_SPOT, Denial.STALE_BOOK, Denial.STALE_ORACLE)
VENUE = ("venue.makers=slow", "venue.seed=4", "venue.lead_s=10")
REFUSED = FAULTS | {"duplicates", "stale_quotes", "unsupported", "slow_used"}
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Flood:
    """What the venue says it sent; times are venue ns, which run as fast as the wall."""

    trades: int
    books: int
    first_id: int
    last_id: int
    first_book: int  # micro-shares of the first numbered change; each next one has one more
    began_ns: int
    last_ns: int  # when the last trade was made
    took_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one flood."""

    missing_trades: int
    repeated_trades: int
    missing_books: int
    age_ms_p50: float  # of trades, when the daemon read them: made to read
    age_ms_p99: float
    age_ms_max: float
    drained_s: float  # from the last trade's making to a moment at which it surely was applied
    orders: int  # decided while the flood was under way
    order_age_s: float  # of the newest trade in hand when an order was decided, the worst; 0.0 without orders
    too_old: int  # signals denied because data were too old


class Overload:
    """Use as a context: venue and daemon run in `folder`; settings go to the daemon."""

    def __init__(self, folder: Path, *settings: str, begin: Sequence[str] = (sys.executable,)) -> None:
        self.folder = folder
        self.floods: list[Flood] = []
        self.refused: dict[str, int] = {}  # counts of the spot and market feeds that stand for faults, after a flood
        self._settings = settings
        self._begin = begin
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
        self._processes: list[Process] = []

    def __enter__(self) -> "Overload":
        script = str(ROOT / "tests" / "load_venue.py")
        try:
            self._venue = Process(self.folder, [script, json.dumps(VENUE)], self._env, is_told=True)
            self._processes.append(self._venue)
            _, line = self._venue.wait_for('"ready"')
            arguments = ["-m", "polybot", f"venue.attach={json.loads(line)['url']}", "run.markets=1", *self._settings]
            self.daemon = Process(self.folder, arguments, self._env, begin=self._begin)
            self._processes.append(self.daemon)
            self._wait_open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Both processes are gone, whatever they did."""
        for process in self._processes:
            process.close()

    @property
    def venue_pid(self) -> int:
        """The flooding process."""
        return self._venue.pid

    def begin_flood(self, **order: float) -> None:
        """Order a flood (load_venue.Flood) and do not wait for it."""
        self._venue.tell(json.dumps(order))

    def end_flood(self) -> Flood:
        """Wait until everything of the flood was sent."""
        _, line = self._venue.wait_for('"first_id"', after=1 + len(self.floods))
        self.floods.append(Flood(**json.loads(line)))
        return self.floods[-1]

    def flood(self, **order: float) -> Flood:
        """One flood; returns when the daemon has counted all trades that were sent."""
        before = self.counter("spot", "trades")
        self.begin_flood(**order)
        flood = self.end_flood()
        self._until(lambda: self.counter("spot", "trades") >= before + flood.trades, PATIENCE_S)
        counters = self.watch()["counters"]
        named = {f"{feed}.{name}": count for feed in ("spot", "market") for name, count in counters[feed].items()}
        self.refused = {name: count for name, count in named.items() if count and name.partition(".")[2] in REFUSED}
        return flood

    def stop(self) -> int:
        """End the daemon in order; returns its exit code."""
        self.daemon.signal(15)
        return self.daemon.end()[0]

    def counter(self, feed: str, name: str) -> int:
        """One of the daemon's own counts."""
        count: int = self.watch()["counters"][feed][name]
        return count

    def rss_kb(self) -> int:
        """Memory of the daemon that no file stands behind, in KiB."""
        for line in Path(f"/proc/{self.daemon.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
        raise AssertionError("the kernel does not say RssAnon")

    def cpu_s(self) -> float:
        """CPU seconds of the daemon so far, all its threads, the kernel's work for it included."""
        words = Path(f"/proc/{self.daemon.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def watch(self) -> Answer:
        """What the daemon tells a watcher; {} while it does not listen."""
        for path in sockets(self.folder / "state"):
            folder = os.open(path.parent, os.O_PATH)  # a socket's own path may be longer than the kernel takes
            try:
                with suppress(ConnectionError), socket.socket(socket.AF_UNIX) as line:
                    line.settimeout(PATIENCE_S)
                    line.connect(f"/proc/self/fd/{folder}/{path.name}")
                    line.sendall(b'{"do": "watch", "since": "", "via": "test"}\n')
                    with line.makefile("rb") as file:
                        told: Answer = json.loads(file.readline())
                        assert told["ok"], told
                        return told
            finally:
                os.close(folder)
        return {}

    def _wait_open(self) -> None:
        """Until the window has its strike, a price, and nothing that keeps it from trading."""

        def is_open() -> bool:
            markets = self.watch().get("markets", [])
            return any(one["strike"] and one["fair_up"] is not None and not one["blocked"] for one in markets)

        self._until(is_open, OPEN_S)

    def _until(self, is_so: Callable[[], bool], limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while not is_so():
            assert self.daemon.lives_for(LOOK_S), self.daemon.text()[-3_000:]
            assert time.monotonic() < deadline, f"not within {limit_s} s\n{self.daemon.text()[-3_000:]}"


@dataclass(frozen=True, slots=True)
class _Log:
    """The log in arrays: every event with the number of its batch, every command likewise."""

    events: NDArray[np.void]
    batch: NDArray[np.int64]
    commands: NDArray[np.void]
    command_batch: NDArray[np.int64]


def read(folder: Path, floods: Sequence[Flood]) -> list[Seen]:
    """Judge each flood from the only inputs log below a folder, which must be without a hole."""
    log = _load(folder)
    trades = _rows(log, EventKind.EV_SPOT_TRADE)
    trades = trades[log.events[trades]["flags"] & EventFlag.F_SNAPSHOT == 0]
    return [_seen(log, trades, flood) for flood in floods]


def _load(folder: Path) -> _Log:
    (path,) = find_inputs(folder / "logs")
    log = open_inputs(path)
    given, answers = [], []
    for turn in log.turns():
        given.append(np.frombuffer(turn.events, EVENT_DTYPE))
        answers.append(np.frombuffer(turn.commands or b"", COMMAND_DTYPE))
    assert log.is_ended, f"the inputs log is not complete: {log.ending}"
    return _Log(np.concatenate(given), _numbers(given), np.concatenate(answers), _numbers(answers))


def _numbers(pieces: Sequence[NDArray[np.void]]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])


def _rows(log: _Log, kind: int) -> NDArray[np.int64]:
    return np.flatnonzero(log.events["kind"] == kind)


def _seen(log: _Log, trades: NDArray[np.int64], flood: Flood) -> Seen:
    ids = log.events["seq"][trades]
    mine = trades[(ids >= flood.first_id) & (ids <= flood.last_id)]
    ids, counts = np.unique(log.events["seq"][mine], return_counts=True)
    ages_ms = (log.events["recv_ns"][mine] - log.events["venue_ns"][mine]) / 1e6
    applied_ns = _next_moment(log, int(mine[-1]))
    orders, order_age_s = _orders(log, trades, flood.began_ns, applied_ns)
    return Seen(
        missing_trades=flood.last_id - flood.first_id + 1 - len(ids),
        repeated_trades=int((counts - 1).sum()),
        missing_books=flood.books - _books(log, flood),
        age_ms_p50=float(np.percentile(ages_ms, 50)),
        age_ms_p99=float(np.percentile(ages_ms, 99)),
        age_ms_max=float(ages_ms.max()),
        drained_s=(applied_ns - flood.last_ns) / NS,
        orders=orders,
        order_age_s=order_age_s,
        too_old=_denied(log, flood.began_ns, applied_ns),
    )


def _next_moment(log: _Log, row: int) -> int:
    """When something later than this event was read: by then it had been applied."""
    later = np.flatnonzero(log.batch > log.batch[row])
    return int(log.events["recv_ns"][later[0]]) if len(later) else int(log.events["recv_ns"][row])


def _books(log: _Log, flood: Flood) -> int:
    """How many of the numbered changes came, each counted once."""
    rows = log.events[_rows(log, EventKind.EV_BOOK_DELTA)]
    is_far = (rows["outcome"] == Outcome.UP) & (rows["side"] == Side.BUY) & (rows["i"] == FAR_TICKS)
    sizes = rows["j"][is_far & (rows["recv_ns"] >= flood.began_ns)]
    numbered = sizes[(sizes >= flood.first_book) & (sizes < flood.first_book + flood.books)]
    return len(np.unique(numbered))


def _orders(log: _Log, trades: NDArray[np.int64], from_ns: int, to_ns: int) -> tuple[int, float]:
    """(orders decided between two moments, the worst age of the newest trade in hand at one of them)."""
    ages = []
    for batch in log.command_batch[log.commands["kind"] == CommandKind.CMD_PLACE]:
        own = np.flatnonzero(log.batch == batch)
        decided_ns = int(log.events["recv_ns"][own[-1]])
        if from_ns <= decided_ns <= to_ns:
            newest = trades[np.searchsorted(trades, own[-1], side="right") - 1]
            ages.append((decided_ns - int(log.events["venue_ns"][newest])) / NS)
    return len(ages), max(ages, default=0.0)


def _denied(log: _Log, from_ns: int, to_ns: int) -> int:
    signals = log.commands[log.commands["kind"] == CommandKind.CMD_SIGNAL]
    inside = signals[(signals["decided_ns"] >= from_ns) & (signals["decided_ns"] <= to_ns)]
    return int(np.isin(inside["reason"], TOO_OLD).sum())



@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold of every flood, and of memory over all of them."""

    drained_s: float = 1.0  # the backlog is worked off so soon after the last trade was made
    order_age_s: float = 1.0  # risk.max_clock_skew_s: no order on a trade older than this
    growth_kb: int = 16_384  # of memory, from after the first flood to after the last


def faults(seen: Sequence[Seen], rss_kb: Sequence[int], limits: Limits) -> dict[str, str]:
    """What broke which promise, by promise; `rss_kb` holds the memory after each flood."""
    found = {}
    lost = [(one.missing_trades, one.repeated_trades, one.missing_books) for one in seen]
    if any(map(any, lost)):
        found["loss"] = f"(trades missing, trades twice, book changes missing) per flood: {lost}"
    drained = [one.drained_s for one in seen]
    if max(drained) >= limits.drained_s:
        found["backlog"] = f"worked off so many s after the last trade: {drained}"
    ages = [one.order_age_s for one in seen]
    if max(ages) > limits.order_age_s:
        found["old"] = f"orders decided on trades so many s old: {ages}"
    if rss_kb[-1] - rss_kb[0] > limits.growth_kb:
        found["memory"] = f"KiB after each flood: {rss_kb}"
    return found
