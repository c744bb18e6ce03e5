"""The producer's end of telemetry: what the shell tells, cheaply, from the event loop's thread.

Owns two queues: the ring of command records, and notes, side facts that no command carries (market
metadata, strike, order hashes, stages, outcomes).  Every method only queues; nothing here blocks, logs,
formats or touches a file.  Notes about money and lifecycle are kept up to a named maximum; samples and
once-a-second facts are dropped beyond theirs; both are counted.  Called by the runner, the gateway's
on_stage hook and the daemon; emptied by TelemetryWriter.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from polybot._fast.event import CommandBuffer, Special
from polybot._fast.ring import CommandRing
from polybot._fast.samples import SampleRing
from polybot.market.spec import MarketSpec

__all__ = [
    "Decision",
    "EventSample",
    "FeedAges",
    "MarketCounts",
    "MarketFinished",
    "MarketMarked",
    "MarketOpened",
    "MarketRefusal",
    "Milestone",
    "Note",
    "Notice",
    "Notify",
    "OrderHash",
    "OrderReason",
    "OutcomeKnown",
    "Second",
    "Stage",
    "StrikeCaptured",
    "TelemetryInbox",
]

# Notes waiting for the writer; one market makes about a thousand in its whole life.
KEPT_NOTES_MAX = 1 << 17
LOOSE_NOTES_MAX = 1 << 14
NO_MARKET = int(Special.NO_MARKET)
SOURCES = ("", "binance", "pm")  # by _fast.samples.SOURCE_*


class MarketOpened(NamedTuple):
    market: int
    spec: MarketSpec
    now_ns: int
    is_resumed: bool


class StrikeCaptured(NamedTuple):
    market: int
    strike: float
    source: int
    stamp_ns: int
    verified: bool
    now_ns: int


class MarketMarked(NamedTuple):
    market: int
    outcome: int
    now_ns: int


class OutcomeKnown(NamedTuple):
    market: int
    outcome: int
    source: str
    now_ns: int


class MarketCounts(NamedTuple):
    market: int
    counts: Mapping[str, Any]
    now_ns: int
    is_final: bool


class MarketFinished(NamedTuple):
    market: int
    now_ns: int


class MarketRefusal(NamedTuple):
    slug: str
    code: str
    detail: str
    now_ns: int


class OrderHash(NamedTuple):
    order_seq: int
    order_id: str


class OrderReason(NamedTuple):
    order_seq: int
    text: str


class Stage(NamedTuple):
    stage: str
    order_seq: int
    mono_ns: int


class Decision(NamedTuple):
    order_seq: int
    ts_ns: int
    wire_ns: int | None
    stamps: tuple[int, int, int]


class EventSample(NamedTuple):
    source: str
    ts_ns: int
    wire_ns: int | None
    decode_ns: int
    decide_ns: int
    market: int


class Second(NamedTuple):
    market: int
    now_ns: int
    spot_fresh: bool
    book_fresh: bool
    spot: float
    fair: float
    bid_ticks: int
    ask_ticks: int


class FeedAges(NamedTuple):
    ages_s: dict[str, float]


class Notice(NamedTuple):
    level: str
    text: str
    now_ns: int
    kind: str
    data: Mapping[str, Any]


class Milestone(NamedTuple):
    kind: str
    text: str
    now_ns: int
    data: Mapping[str, Any]


Note = (
    MarketOpened
    | StrikeCaptured
    | MarketMarked
    | OutcomeKnown
    | MarketCounts
    | MarketFinished
    | MarketRefusal
    | OrderHash
    | OrderReason
    | Stage
    | Decision
    | EventSample
    | Second
    | FeedAges
    | Notice
    | Milestone
)


class Notify(Protocol):
    """How a line reaches the operator; `kind` and `data` are for programs that watch (telemetry.recent)."""

    def __call__(
        self, level: str, text: str, *, kind: str = "notice", data: Mapping[str, Any] | None = None
    ) -> None: ...


class TelemetryInbox:
    """Everything a producer may tell telemetry."""

    def __init__(self, ring: CommandRing | None = None) -> None:
        self.ring = ring if ring is not None else CommandRing()
        self.samples = SampleRing()  # from C; `sample` is for those who tell one from Python
        self._dropped = 0
        self.lost = 0
        self._notes: deque[Note] = deque()

    @property
    def dropped(self) -> int:
        """Samples and once-a-second facts that found no room."""
        return self._dropped + self.samples.dropped

    def commands(self, buffer: CommandBuffer, eval_ns: int = 0) -> None:
        """Records of one engine call; eval_ns is how long that call took (0: not measured)."""
        self.ring.push_all(buffer, eval_ns)

    def market_opened(self, market: int, spec: MarketSpec, *, now_ns: int, is_resumed: bool = False) -> None:
        """A market got its index; before any record that carries it.  Resumed: an earlier process traded it."""
        self._keep(MarketOpened(market, spec, now_ns, is_resumed))

    def strike_captured(
        self, market: int, strike: float, *, source: int, stamp_ns: int, now_ns: int, verified: bool = False
    ) -> None:
        """The strike, its StrikeSource, the stamp of its price; again when verified or corrected."""
        self._keep(StrikeCaptured(market, strike, source, stamp_ns, verified, now_ns))

    def market_marked(self, market: int, outcome: int, *, now_ns: int) -> None:
        """The outcome by our own oracle record, before the venue has said anything."""
        self._keep(MarketMarked(market, outcome, now_ns))

    def outcome_known(self, market: int, outcome: int, *, source: str, now_ns: int) -> None:
        """The outcome as the venue published it."""
        self._keep(OutcomeKnown(market, outcome, source, now_ns))

    def market_counts(
        self, market: int, counts: Mapping[str, Any], *, now_ns: int, is_final: bool = False
    ) -> None:
        """The engine's own counts of a market (control.why); final: no signal of it comes after them."""
        self._keep(MarketCounts(market, counts, now_ns, is_final))

    def market_finished(self, market: int, *, now_ns: int) -> None:
        """Nothing more is expected of this market: write its summary. After its settlement commands."""
        self._keep(MarketFinished(market, now_ns))

    def market_refused(self, slug: str, code: str, detail: str, *, now_ns: int) -> None:
        """A market polybot will not trade, and why."""
        self._keep(MarketRefusal(slug, code, detail, now_ns))

    def order_hash(self, order_seq: int, order_id: str) -> None:
        """The venue's id of an order."""
        self._keep(OrderHash(order_seq, order_id))

    def order_reason(self, order_seq: int, text: str) -> None:
        """What the venue said when it refused or cancelled an order."""
        self._keep(OrderReason(order_seq, text))

    def notice(
        self,
        level: str,
        text: str,
        *,
        now_ns: int,
        kind: str = "notice",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """A line for the operator (halt, feed lost or back, mismatch); level as in logs, kind as in recent.KINDS."""
        self._keep(Notice(level, text, now_ns, kind, data or {}))

    def milestone(self, kind: str, text: str, *, now_ns: int, data: Mapping[str, Any]) -> None:
        """The run begins (start) or is over (stop, after everything else): for watchers only, no line."""
        self._keep(Milestone(kind, text, now_ns, data))

    def on_stage(self, stage: str, order_seq: int, mono_ns: int) -> None:
        """One latency stage of an order, raw monotonic ns (the gateway's hook)."""
        self._keep(Stage(stage, order_seq, mono_ns))

    def decision(
        self, order_seq: int, *, ts_ns: int, wire_ns: int | None, stamps: tuple[int, int, int]
    ) -> None:
        """An order before the gateway: monotonic ns of (receipt, decoded, decided); wire_ns as in sample."""
        self._keep(Decision(order_seq, ts_ns, wire_ns, stamps))

    def sample(
        self,
        source: str,
        *,
        ts_ns: int,
        wire_ns: int | None,
        decode_ns: int,
        decide_ns: int,
        market: int = NO_MARKET,
    ) -> None:
        """One sampled event of `binance` or `pm`; wire_ns: receipt minus its own stamp (None: no stamp)."""
        self._offer(EventSample(source, ts_ns, wire_ns, decode_ns, decide_ns, market))

    def second(
        self,
        market: int,
        *,
        now_ns: int,
        spot_fresh: bool,
        book_fresh: bool,
        spot: float = float("nan"),
        fair: float = float("nan"),
        bid_ticks: int = -1,
        ask_ticks: int = -1,
    ) -> None:
        """Once a second per live market: freshness for the coverage; numbers (of Up) for the status line."""
        self._offer(Second(market, now_ns, spot_fresh, book_fresh, spot, fair, bid_ticks, ask_ticks))

    def feed_ages(self, ages_s: Mapping[str, float]) -> None:
        """Seconds since the last data of each feed; before each diagnostic."""
        self._offer(FeedAges(dict(ages_s)))

    def take(self) -> list[Note]:
        """All notes and then all samples queued so far, each oldest first (consumer only).

        Samples are taken before the notes: the opening of the market that a sample is of comes with it or came earlier.
        """
        samples, notes = self.samples.take(), self._notes
        found: list[Note] = [notes.popleft() for _ in range(len(notes))]
        found += [EventSample(SOURCES[taken[0]], *taken[1:]) for taken in samples]
        return found

    def _keep(self, note: Note) -> None:
        if len(self._notes) >= KEPT_NOTES_MAX:
            self.lost += 1
            return
        self._notes.append(note)

    def _offer(self, note: Note) -> None:
        if len(self._notes) >= LOOSE_NOTES_MAX:
            self._dropped += 1
            return
        self._notes.append(note)
