"""A venue and daemons as real processes, for campaigns that stop and kill them: start, listen, end, compare.

The venue serves alone (`polybot sim`); daemons join it one after another, all on one account, and trade all the
time: the product's strategies and two that never stop (sweep_strategies).  Every line a daemon says is stamped with
the monotonic clock.  What is true is asked of the venue's ledger and of the files dead processes left.
"""

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from child_process import PATIENCE_S, Process
from pauses import LOOP_S, loop_s, stolen_s, used_s
from runs import QUIET

from polybot._fast.event import TradeStatus
from polybot._fast.keccak import keccak_256
from polybot.journal.check import compare_journal
from polybot.journal.journal import LEDGER_NAME
from polybot.journal.ledger import Ledger
from polybot.journal.ledger_thread import catch_up
from polybot.journal.reader import read_journal, recover
from polybot.journal.records import Intent, MarketDrop
from polybot.journal.recovery import Fold, RecoveredMarket
from polybot.replay.inputs import find_inputs, open_inputs
from polybot.replay.verify import verify
from polybot.sim.ledger import Row, read_ledger

__all__ = ["HARD", "Daemon", "Desk", "SimVenue", "Start", "check_dead_books", "desk", "open_orders", "start_words"]

ROOT = Path(__file__).resolve().parent.parent
HARD = int(os.environ.get("POLYBOT_HARD", "1"))
READY = "entries open"
START_S = PATIENCE_S
KEY_MASK = (1 << 52) - 1
FAILED = int(TradeStatus.TS_FAILED)
# Orders all the time, small ones, and no limit of risk that would end them.
BUSY = {
    "strategy": "[latency_arb,certainty_capture,convexity_fade,lp_extreme,churn,rester]",
    "risk.bankroll_usd": "20000",
    "risk.max_exposure_frac": "0.25",
    "risk.daily_loss_halt_frac": "1.0",
    "risk.weekly_loss_halt_frac": "1.0",
    "telemetry.console": "plain",
}
# A thin world that moves often enough for an order every tenth of a venue second.
WORLD = {
    **QUIET,
    "venue.makers": "slow",
    "venue.balance_usd": 1_000_000,
    "venue.world.spot.trades_per_s": 6.0,
    "venue.world.spot.bursts_per_s": 4.0,
    "venue.world.makers.count": 2,
    "venue.world.makers.requote_ms": 400,
    "venue.world.makers.refresh_ms": 800,
    "venue.world.makers.deep_levels": 0,
    "venue.world.takers.noise_per_s": 2.0,
}
ROW = "{per_trade_frac: 0.001, total_frac: 0.1, cooldown_ms: %d, max_orders_per_market: 100000}"
STRATEGY = """# @package _global_
strategy:
  {name}: {{_target_: sweep_strategies.{kind}, enabled: true}}
risk:
  strategies:
    {name}: {row}
"""
# A venue that starts shortly before midnight, so that a day ends while its daemons trade.
LATE_VENUE = """
import sys
import polybot.sim.child as child
from polybot.sim.opening import WorldOpening
from polybot.cli import load_config
DAY_NS = 86_400_000_000_000
def opening(venue, interval, now_ns):
    start_ns = (now_ns // DAY_NS + 1) * DAY_NS - {before_s} * 1_000_000_000
    return WorldOpening(start_ns - int(venue.lead_s * 1e9), start_ns)
child.opening = opening
sys.exit(child.serve_main(load_config(sys.argv[1:])))
"""


def environment(cache: Path, **more: str) -> dict[str, str]:
    """As a user's, with compiled modules kept where the campaign can throw them away."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {
        **kept,
        "PYTHONPATH": paths,
        "PYTHONPYCACHEPREFIX": str(cache),
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        **more,
    }


class SimVenue(Process):
    """`polybot sim`, with its address and its ledger."""

    def __init__(
        self, folder: Path, cache: Path, *, speed: int, seed: int, before_midnight_s: int = 0
    ) -> None:
        folder.mkdir(parents=True)
        settings = {**WORLD, "venue.speed": speed, "venue.seed": seed}
        all_words = [f"{key}={value}" for key, value in settings.items()]
        arguments = ["-m", "polybot", "sim", *all_words]
        if before_midnight_s:
            arguments = ["-c", LATE_VENUE.format(before_s=before_midnight_s), *all_words]
        super().__init__(folder, arguments, environment(cache))
        self.wait_for("stop it")
        said = self.text()
        self.url = re.search(r"venue\.attach=(\S+)", said)[1]  # type: ignore[index]
        self.ledger = folder / re.search(r"ledger=(\S+)", said)[1]  # type: ignore[index]
        self.session = re.search(r"session (\w+)", said)[1]  # type: ignore[index]

    def rows(self) -> list[Row]:
        """What the venue has written so far."""
        return read_ledger(self.ledger)


class Daemon(Process):
    """One daemon on the venue's own account."""

    def __init__(self, folder: Path, arguments: list[str], env: Mapping[str, str], *, venue: SimVenue) -> None:
        self._venue = venue
        self._stolen_before_s, self._venue_before_s = stolen_s(), used_s(venue.pid)[1]
        super().__init__(folder, arguments, env)

    def is_ready(self, limit_s: float = START_S) -> "Start":
        """Wait until it may trade."""
        wall_s = self.wait_for(READY, limit_s)[0] - self.begun
        cpu_s, queued_s = used_s(self.pid)
        waited = max(0.0, wall_s - cpu_s - queued_s) / wall_s  # the part of the time in which it could wait for answers
        queued_s += waited * (used_s(self._venue.pid)[1] - self._venue_before_s) + stolen_s() - self._stolen_before_s
        return Start(wall_s, queued_s, cpu_s, max(1.0, loop_s() / LOOP_S))

    def is_ready_or_gone(self, limit_s: float = START_S) -> "Start | None":
        """As is_ready; None when it died before."""
        try:
            return self.is_ready(limit_s)
        except (AssertionError, FileNotFoundError):
            with suppress(subprocess.TimeoutExpired):  # its pipe closes a moment before it can be waited for
                self.popen.wait(20.0)
                return None
            raise

    def listens(self) -> None:
        """Wait until it catches SIGTERM: before, the interpreter itself is still loading."""
        path = Path(f"/proc/{self.popen.pid}/status")
        while True:
            caught = re.search(r"SigCgt:\s+(\w+)", path.read_text())
            if caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
                return
            assert self.popen.poll() is None, self.text()
            os.sched_yield()


@dataclass(frozen=True, slots=True)
class Start:
    """From exec to `entries open`: wall seconds, and the daemon's own CPU time.

    `queued_s` of them it, or the venue whose answers it waits for, stood in the queue for a core, or the host gave
    the cores to others.  `slowness` is how much longer a core took right then for a loop that it runs in LOOP_S
    when nobody shares it.
    """

    wall_s: float
    queued_s: float
    cpu_s: float
    slowness: float

    @property
    def judged_s(self) -> float:
        """What is polybot's own: neither a busy machine's queue nor its slower cores are."""
        return (self.wall_s - self.queued_s) / self.slowness


def start_words(starts: list[Start]) -> str:
    """The distribution, for people."""
    words = []
    for name in ("wall_s", "queued_s", "cpu_s", "slowness", "judged_s"):
        values = sorted(getattr(start, name) for start in starts)
        p50, p90 = values[len(values) // 2], values[len(values) * 9 // 10]
        words.append(f"{name} p50 {p50:.2f} p90 {p90:.2f} max {values[-1]:.2f}")
    return f"{len(starts)} starts: {'; '.join(words)}"


@dataclass(slots=True)
class Desk:
    """One venue and the folder in which one daemon after another trades on it."""

    folder: Path
    venue: SimVenue
    cache: Path
    words: list[str]
    started: list[Daemon] = field(default_factory=list)

    def start(self, *more: str, **environ: str) -> Daemon:
        """Begin the next daemon."""
        arguments = ["-m", "polybot", f"venue.attach={self.venue.url}", *self.words, *more]
        daemon = Daemon(self.folder, arguments, environment(self.cache, **environ), venue=self.venue)
        self.started.append(daemon)
        return daemon

    @property
    def journal(self) -> Path:
        """The only journal there is."""
        (folder,) = [path.parent for path in (self.folder / "state").glob(f"*/{LEDGER_NAME}")]
        return folder

    @property
    def account(self) -> str:
        """The account that trades."""
        (name,) = {str(row["account"]) for row in self.venue.rows() if row["k"] == "account"}
        return name

    def compare(self) -> str:
        """All three books when nobody is trading: "" when they are equal to the micro-unit."""
        catch_up(self.journal, self.journal / LEDGER_NAME)
        report = compare_journal(self.venue.rows(), self.journal, self.journal / LEDGER_NAME, account=self.account)
        return "" if report.is_ok else report.text()

    def left_unknown(self) -> int:
        """Orders of which the journal cannot say that they ended: intents of killed processes, in running windows."""
        found = recover(self.journal)
        return 0 if found is None else len(found.state.open_orders())

    def replay_logs(self) -> tuple[int, list[str]]:
        """Play every inputs log again, however its process ended: (commands compared, what was not equal)."""
        verdicts = [verify(open_inputs(path)) for path in find_inputs(self.folder / "logs")]
        return sum(one.commands for one in verdicts), [one.text() for one in verdicts if not one.is_identical]

    def is_sealed(self) -> bool:
        """Did the last process end its journal in order, with nothing open?"""
        found = recover(self.journal)
        return found is not None and found.finding is None and found.state.is_clean and not found.state.open_orders()


@contextmanager
def desk(folder: Path, *, speed: int, seed: int, cooldown_ms: int = 100, before_midnight_s: int = 0) -> Iterator[Desk]:
    """A venue and a folder for daemons; everything is gone afterwards."""
    cache = folder / "pyc"
    conf = folder / "conf" / "strategy"
    conf.mkdir(parents=True)
    for name, kind in (("churn", "Churn"), ("rester", "Rester")):
        (conf / f"{name}.yaml").write_text(STRATEGY.format(name=name, kind=kind, row=ROW % cooldown_ms))
    work = folder / "work"
    work.mkdir()
    words = ["--config-dir", str(folder / "conf"), *[f"{key}={value}" for key, value in BUSY.items()]]
    venue = SimVenue(folder / "venue", cache, speed=speed, seed=seed, before_midnight_s=before_midnight_s)
    made = Desk(work, venue, cache, words)
    try:
        yield made
    finally:
        for process in (*made.started, venue):
            process.close()


def open_orders(rows: list[Row], account: str) -> list[str]:
    """Ids of the orders that rest or are held at the venue."""
    ended = {row["id"] for row in rows if row["k"] == "end"}
    return [row["id"] for row in rows if row["k"] == "order" and row["account"] == account and row["id"] not in ended]


def _legs(rows: list[Row], account: str) -> dict[tuple[int, str], tuple[int, int, int]]:
    """(key, order id) -> (price, micro-shares, signed cost with fee) of every fill of one account."""
    found = {}
    for row in rows:
        for role in ("taker", "maker") if row["k"] == "leg" else ():
            if row[role] == account:
                order_id = row[f"{role}_order"]
                digest = keccak_256(f"{row['trade']}|{order_id}|{row['leg']}".encode())
                usd = row[f"{role}_usd"] * (1 if row[f"{role}_side"] == 0 else -1)
                usd += row["fee"] if role == "taker" else 0
                key = int.from_bytes(digest[:8], "big") & KEY_MASK
                found[key, order_id] = (row[f"{role}_price"], row["ushares"], usd)
    return found


def check_dead_books(desk: Desk, rows_before_start: list[Row]) -> list[str]:
    """What a killed process left, against the venue: all differences.

    Everything the venue had done before a process that became ready was started must be in the journal (what is done
    later may still be on its way when the process dies); everything in the journal is at the venue, to the
    micro-unit; no intent was accepted twice; SQLite holds nothing that the journal has not.
    """
    rows, account = desk.venue.rows(), desk.account
    found: list[str] = []
    intents: Counter[str] = Counter()
    fold, booked = Fold(), {}
    for item in read_journal(desk.journal):
        if isinstance(item.record, Intent) and not item.is_restated:
            intents[item.record.order_id] += 1
        if isinstance(item.record, MarketDrop) and item.record.index in fold.state.markets:
            booked.update(_fills_of(fold.state.markets[item.record.index]))
        fold.apply(item)
    for market in fold.state.markets.values():
        booked.update(_fills_of(market))
    accepted = Counter(row["id"] for row in rows if row["k"] == "order" and row["account"] == account)
    found += [f"order {name}: accepted {n} times" for name, n in accepted.items() if n != 1]
    found += [f"order {name}: {n} intents" for name, n in intents.items() if n != 1]
    found += [f"order {name}: accepted, no intent" for name in accepted.keys() - intents.keys()]
    venue = _legs(rows, account)
    for name, figures in booked.items():
        if venue.get(name) != figures:
            found.append(f"fill {name}: {figures} in the journal, {venue.get(name)} at the venue")
    lost = _legs(rows_before_start, account).keys() - booked.keys()
    found += [f"fill {name}: before the start, not in the journal" for name in lost]
    return found + _check_sqlite(desk, booked)


def _fills_of(market: RecoveredMarket) -> dict[tuple[int, str], tuple[int, int, int]]:
    """Every fill of one recovered market that is not void."""
    return {
        (trade.key, order.intent.order_id): (trade.price_ticks, trade.ushares, trade.usd)
        for order in market.orders.values()
        for trade in order.trades.values()
        if trade.status != FAILED
    }


def _check_sqlite(desk: Desk, booked: Mapping[tuple[int, str], tuple[int, int, int]]) -> list[str]:
    """A copy of the SQLite file as it lies there, then brought up to the journal."""
    copy = desk.folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(desk.journal, copy)
    found = []
    for what in ("as left", "caught up"):
        if what == "caught up":
            catch_up(copy, copy / LEDGER_NAME)
        ledger = Ledger(copy / LEDGER_NAME)
        content = ledger.content()
        ledger.close()
        ids = {row[0]: row[10] for row in content["orders"]}
        fills = {(int(str(row[1])), str(ids[row[0]])): (row[4], row[5], row[7]) for row in content["fills"]}
        void = {(int(str(row[1])), str(ids[row[0]])) for row in content["fills"] if row[2] == FAILED}
        wrong = [name for name, figures in fills.items() if name not in void and booked.get(name) != figures]
        found += [f"fill {name}: SQLite ({what}) {fills[name]}, journal {booked.get(name)}" for name in wrong]
        if what == "caught up":
            found += [f"fill {name}: not in SQLite" for name in booked.keys() - fills.keys()]
    return found
