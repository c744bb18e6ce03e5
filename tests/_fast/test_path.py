"""HotPath against the same road in plain Python: what every outlet hears, in which order, whatever breaks."""

from random import Random
from types import SimpleNamespace

import pytest
from scenario import Scenario

from polybot._fast.event import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    CommandBuffer,
    CommandKind,
    EventBuffer,
    EventFlag,
    EventKind,
    OperatorCode,
)
from polybot._fast.path import HotPath, MarketPath
from polybot._fast.ring import CommandRing
from polybot._fast.samples import SampleRing
from polybot._fast.sink import CallableSink
from polybot._fast.tail import InputsTap, MappedTail, Numbering, TapeCounts
from polybot.assembly import build_engine
from polybot.clock import SystemClock
from polybot.config import default_config
from polybot.recording import MONEY_MASK
from polybot.replay.calls import AUX_COMMANDS
from polybot.tape.records import TAIL_HEADER_BYTES, EntryKind, read_tail

NS = 1_000_000_000
SAMPLE_EVERY = 5
SPOT = (EventKind.EV_SPOT_TRADE, EventKind.EV_SPOT_QUOTE)
BOOK = (EventKind.EV_BOOK_SNAPSHOT, EventKind.EV_BOOK_DELTA, EventKind.EV_PUBLIC_QUOTE, EventKind.EV_PUBLIC_TRADE)


class SlowPath:
    """The reference: polybot.runner as it was in Python, one thing after the other."""

    def __init__(self, engine, desk) -> None:
        self.engine, self.desk = engine, desk
        self.waiting, self.spare, self.busy, self.messages = EventBuffer(), EventBuffer(), False, 0

    def feed(self, events) -> None:
        if self.busy:
            self.waiting.extend_from(events)
            return
        self.busy = True
        try:
            self._step(events)
            while len(self.waiting):
                self.waiting, self.spare = self.spare, self.waiting
                self._step(self.spare)
                self.spare.reset()
        except Exception:
            self.spare.reset()
            self.spare.add(EventKind.EV_OPERATOR, recv_ns=self.desk.now_ns(), i=OperatorCode.OP_HALT)
            self._journal(self.spare)
            self.desk.step(self.spare, self.engine.process(self.spare))
            raise
        finally:
            self.spare.reset()
            self.busy = False

    def _journal(self, events) -> None:
        if events.kind_mask() & MONEY_MASK:
            self.desk.events(events)

    def _step(self, events) -> None:
        self.messages += 1
        timed = self.messages % SAMPLE_EVERY == 0
        decoded = self.desk.mono_ns()
        self._journal(events)
        try:
            commands = self.engine.process(events)
        except Exception:
            self.desk.raised(events)
            raise
        if not len(commands) and not timed:
            self.desk.step(events, commands)
            return
        decided = self.desk.mono_ns()
        try:
            self._hand_out(commands, events, decoded, decided)
            if timed:
                self._note_sample(events, decoded, decided)
        finally:
            self.desk.step(events, commands)

    def _hand_out(self, commands, events, decoded, decided) -> None:
        actions = commands.actions()
        if actions & 1:
            self.desk.gateway(commands)
            recv_ns, receipt, wire_ns = self._receipt(events)
            for row in commands.to_numpy():
                if row["kind"] == CommandKind.CMD_PLACE:
                    stamps = (min(receipt, decoded), decoded, decided)
                    self.desk.decision(int(row["order_seq"]), ts_ns=recv_ns, wire_ns=wire_ns, stamps=stamps)
        if actions & 2:
            for row in commands.to_numpy():
                if row["kind"] in (CommandKind.CMD_REFETCH_TICK, CommandKind.CMD_RESYNC_BOOK):
                    self.desk.on_feed_command(int(row["kind"]), int(row["market"]))
        self.desk.commands(commands, decided - decoded)

    def _receipt(self, events):
        mono_ns, recv_ns, venue_ns = self.desk.mono_ns(), events.recv_ns_at(0), events.venue_ns_at(0)
        behind = self.desk.real_s((self.desk.now_ns() - recv_ns) / 1e9)
        return recv_ns, mono_ns - max(0, int(behind * 1e9)), recv_ns - venue_ns if venue_ns else None

    def _note_sample(self, events, decoded, decided) -> None:
        kind = events.kind_at(0) if len(events) else 0
        source = 1 if kind in SPOT else 2 if kind in BOOK else 0
        if source:
            recv_ns, receipt, wire_ns = self._receipt(events)
            at = (max(0, decoded - receipt), decided - decoded, events.market_at(0))
            self.desk.samples.append((source, recv_ns, wire_ns, *at))


class Desk:
    """All outlets in one, and a clock that moves on with every reading; what is heard is noted in order."""

    def __init__(self, rng: Random, at_ns: int) -> None:
        self.heard: list[tuple] = []
        self.samples: list[tuple] = []
        self.path = None
        self._rng, self._ns, self._mono = rng, at_ns, 5 * NS

    def now_ns(self) -> int:
        return self._ns

    def mono_ns(self) -> int:
        self._mono += 100
        return self._mono

    def real_s(self, seconds: float) -> float:
        return seconds / 4.0

    def move_to(self, ns: int) -> None:
        self._ns = ns + 1_000

    def gateway(self, commands) -> None:
        self.heard.append(("gateway", commands.to_bytes()))
        for row in commands.to_numpy():
            if row["kind"] == CommandKind.CMD_PLACE:  # refused at once: it must wait its turn
                refusal = EventBuffer()
                refusal.add(
                    EventKind.EV_ORDER_UPDATE,
                    recv_ns=self._ns,
                    seq=int(row["order_seq"]),
                    i=10,
                    flags=EventFlag.F_LOCAL,
                )
                self.path.feed(refusal)
                self.heard.append(("told", int(row["order_seq"])))
        self._maybe_break("gateway")

    def on_feed_command(self, kind, market) -> None:
        self.heard.append(("feed", kind, market))
        self._maybe_break("feed")

    def commands(self, commands, eval_ns=0) -> None:
        self.heard.append(("telemetry", commands.to_bytes(), eval_ns))
        self._maybe_break("telemetry")

    def decision(self, order_seq, **fields) -> None:
        self.heard.append(("decision", order_seq, fields))

    def events(self, events) -> None:
        self.heard.append(("journal", events.to_bytes()))

    def step(self, events, commands, aux=0) -> None:
        self.heard.append(("log", events.to_bytes(), commands.to_bytes()))

    def raised(self, events) -> None:
        self.heard.append(("raised", events.to_bytes()))

    def _maybe_break(self, where: str) -> None:
        if self._rng.random() < 0.01:
            raise RuntimeError(where)


class Flaky:
    """An engine that raises now and then, before it has done anything."""

    def __init__(self, engine, rng: Random) -> None:
        self._engine, self._rng = engine, rng

    def process(self, events):
        if self._rng.random() < 0.01:
            raise ValueError("the engine")
        return self._engine.process(events)


def build(engine, desk, **changed) -> HotPath:
    given = {
        "clock": desk,
        "stamp": None,
        "gateway": desk.gateway,
        "on_feed_command": desk.on_feed_command,
        "inbox": desk,
        "ring": None,
        "samples": SampleRing(),
        "journal": desk,
        "journal_kinds": MONEY_MASK,
        "inputs": desk,
        "tap": None,
        "sample_every": SAMPLE_EVERY,
    }
    return HotPath(engine, **(given | changed))


def world() -> Scenario:
    """A market where every trade makes an order and orders may be many."""
    from polybot._fast.certainty_capture import CertaintyCapture
    from polybot._fast.latency_arb import LatencyArb

    scenario = Scenario([CertaintyCapture(), LatencyArb(require_move=False, edge_se_multiple=0.0)])
    scenario.risk.set_limits(1, per_trade_frac=0.02, total_frac=1.0, cooldown_ns=0, max_orders=1 << 30)
    scenario.warm(bid=3_900, ask=4_000)
    return scenario


def stream(rng: Random, scenario: Scenario, count: int):
    """(time, events) of random batches around a live market."""
    at_ns = scenario.at(20.5)
    for _ in range(count):
        at_ns += rng.randrange(1, 20_000_000)
        events = EventBuffer()
        for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
            one_event(events, rng, at_ns)
        yield at_ns, events


def one_event(events, rng: Random, at_ns: int) -> None:
    kind = rng.choice((1, 1, 1, 2, 7, 7, 8, 14, 15, 20, 21, 22))
    end = {"recv_ns": at_ns, "flags": EventFlag.F_END, "venue_ns": rng.choice((0, at_ns - 3_000))}
    if kind == EventKind.EV_SPOT_TRADE:
        events.add(kind, x=100_001.0 + rng.random(), y=0.01, **end)
    elif kind == EventKind.EV_BOOK_DELTA:
        side = rng.randrange(2)
        ticks = rng.choice((3_800, 3_900) if side == 0 else (4_000, 4_050, 4_100))
        events.add(kind, market=0, side=side, i=ticks, j=rng.choice((5_000_000, 900_000_000)), x=-1, y=-1, **end)
    elif kind == EventKind.EV_PUBLIC_QUOTE:
        events.add(kind, market=rng.choice((0, 9)), x=3_900, y=rng.choice((4_000, 4_400)), **end)
    elif kind == EventKind.EV_OPERATOR:
        events.add(kind, recv_ns=at_ns, i=rng.choice((OperatorCode.OP_RESUME,) * 3 + (OperatorCode.OP_FLATTEN,)))
    else:
        events.add(kind, recv_ns=at_ns, x=100_000.0, y=100_002.0, j=10**9, i=0)


def play(seed: int, make) -> tuple[Desk, list[str]]:
    """One random run; `make(engine, desk, scenario)` gives the path."""
    rng, scenario = Random(seed), world()
    desk = Desk(Random(seed + 1), scenario.at(20.5))
    desk.path = make(Flaky(scenario.engine, Random(seed + 2)), desk)
    broken = []
    for at_ns, events in stream(rng, scenario, 400):
        desk.move_to(at_ns)
        try:
            desk.path.feed(events)
        except (RuntimeError, ValueError) as error:
            broken.append(str(error))
    return desk, broken


@pytest.mark.parametrize("seed", range(6))
def test_every_outlet_hears_the_same_in_the_same_order_as_in_plain_python(seed) -> None:
    slow, slow_broken = play(seed, SlowPath)
    samples = SampleRing()
    fast, fast_broken = play(seed, lambda engine, desk: build(engine, desk, samples=samples))
    assert fast.heard == slow.heard
    assert fast_broken == slow_broken
    assert samples.take() == slow.samples


def test_the_random_runs_reach_everything_that_is_compared() -> None:
    heard, broken = set(), set()
    for seed in range(6):
        desk, failed = play(seed, SlowPath)
        heard |= {one[0] for one in desk.heard} | ({"sample"} if desk.samples else set())
        broken |= set(failed)
    assert heard == {"gateway", "told", "decision", "feed", "telemetry", "journal", "log", "raised", "sample"}
    assert {"gateway", "telemetry", "the engine"} <= broken


def test_what_raised_at_an_outlet_halts_and_the_next_batch_is_taken_again() -> None:
    scenario = world()
    desk = Desk(Random(1), scenario.at(20.5))

    def broken(commands) -> None:
        raise RuntimeError("the wire")

    path = desk.path = build(scenario.engine, desk, gateway=broken)
    trade = next(events for _, events in stream(Random(3), scenario, 50) if events.kind_mask() == 2)
    with pytest.raises(RuntimeError, match="the wire"):
        path.feed(trade)
    assert scenario.engine.risk.halted_manual
    assert [one[0] for one in desk.heard] == ["log", "journal", "log"]
    path.feed(trade)
    assert desk.heard[-1][0] == "log"
    assert path.messages == 2


def test_with_its_c_ends_log_and_telemetry_hold_what_the_outlets_of_python_hear() -> None:
    """Ring, tap and stamp instead of inbox, recorder and clock: the same records come out of them."""
    ring, space, counts, silent = play_all(is_c=True)
    heard = play_all(is_c=False)[3].heard
    assert [one for one in silent.heard if one[0] == "telemetry" or (one[0] == "log" and one[1])] == []
    rows = [one for one in heard if one[0] == "telemetry"]
    assert ring.drain(1 << 16)[0] == b"".join(kept_of(one[1]) for one in rows)
    damages: list = []
    entries = read_tail(bytes(space), file="tail", damages=damages, number=1)
    assert damages == []
    expected = []
    for _, events, commands in (one for one in heard if one[0] == "log" and one[1]):
        expected.append((EntryKind.EVENTS, AUX_COMMANDS if commands else 0, events))
        expected += [(EntryKind.COMMANDS, 0, commands)] if commands else []
    assert [(one.kind, one.aux, one.payload) for one in entries] == expected
    assert [one.seq for one in entries] == list(range(1, len(entries) + 1))
    assert counts.entries == len(entries) > 500


def kept_of(raw: bytes) -> bytes:
    """The telemetry records among commands."""
    ring = CommandRing()
    ring.push_bytes(raw)
    return ring.drain(1 << 16)[0]


def play_all(*, is_c: bool) -> tuple[CommandRing, bytearray, TapeCounts, Desk]:
    """One stream in which nothing breaks, through C ends or through a desk in Python."""
    scenario, rng = world(), Random(11)
    desk = Desk(SimpleNamespace(random=lambda: 1.0), scenario.at(20.5))
    ring, space, tap = CommandRing(), bytearray(1 << 22), InputsTap(1 << 20)
    counts = TapeCounts(Numbering())
    counts.follow(MappedTail(space, 1, TAIL_HEADER_BYTES))
    tap.follow(counts)
    stamp = SystemClock(epoch_ns=scenario.at(20.5), mono_anchor_ns=0).stamp()
    desk.path = build(scenario.engine, desk, **({"ring": ring, "tap": tap, "stamp": stamp} if is_c else {}))
    for at_ns, events in stream(rng, scenario, 600):
        desk.move_to(at_ns)
        desk.path.feed(events)
    return ring, space, counts, desk


def test_without_journal_and_log_a_batch_goes_through_and_is_counted() -> None:
    engine = build_engine(default_config())
    desk = Desk(Random(1), NS)
    path = build(engine, desk, journal=None, inputs=None)
    events = EventBuffer()
    events.add(EventKind.EV_OPERATOR, recv_ns=NS, i=OperatorCode.OP_HALT)
    path(events)
    assert (path.messages, desk.heard, engine.risk.halted_manual) == (1, [], True)


def test_a_stand_in_for_the_engine_must_answer_with_commands() -> None:
    desk = Desk(Random(1), NS)
    path = build(SimpleNamespace(process=lambda events: CommandBuffer()), desk, journal=None)
    path.feed(EventBuffer())
    assert [one[0] for one in desk.heard] == ["log"]
    path = build(SimpleNamespace(process=lambda events: 7), desk, journal=None)
    with pytest.raises(TypeError):
        path.feed(EventBuffer())


def test_a_markets_way_lets_the_gateway_look_first_and_tells_of_each_new_tick_size_once() -> None:
    scenario, order = world(), []

    def engine(events) -> None:
        order.append("engine")
        scenario.engine.process(events)

    def path(market: int, before) -> MarketPath:
        return MarketPath(
            CallableSink(engine),
            scenario.engine,
            market,
            before=before,
            on_tick_size=lambda index, ticks: order.append((index, ticks)),
        )

    def tick_size(ticks: int) -> EventBuffer:
        events = EventBuffer()
        events.add(EventKind.EV_TICK_SIZE, market=0, recv_ns=scenario.at(21.0), i=ticks, flags=EventFlag.F_END)
        return events

    way = path(0, lambda events: order.append("gateway"))
    way.feed(EventBuffer())
    assert order == ["gateway", "engine", (0, 100)]  # as the market began
    way.feed(EventBuffer())
    way.feed(tick_size(10))
    way.feed(tick_size(10))
    assert order[3:] == ["gateway", "engine"] * 2 + [(0, 10)] + ["gateway", "engine"]
    order.clear()
    path(5, None).feed(tick_size(100))  # of a market the engine does not know
    assert order == ["engine"]


def test_a_tick_size_whose_telling_raised_is_told_again_with_the_next_batch() -> None:
    scenario, told = world(), []

    def on_tick_size(index: int, ticks: int) -> None:
        told.append((index, ticks))
        if len(told) == 1:
            raise ValueError("not now")

    way = MarketPath(
        CallableSink(scenario.engine.process), scenario.engine, 0, before=None, on_tick_size=on_tick_size
    )
    with pytest.raises(ValueError, match="not now"):
        way.feed(EventBuffer())
    way.feed(EventBuffer())
    way.feed(EventBuffer())
    assert told == [(0, 100)] * 2


def test_records_have_the_sizes_the_log_counts_with() -> None:
    assert (EVENT_DTYPE.itemsize, COMMAND_DTYPE.itemsize) == (64, 128)
