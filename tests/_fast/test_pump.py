"""The pump against a plain Python loop over engine and simulated venue: commands, answers and quotes byte for byte."""

import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _fast.pump_world import ALL_KINDS, NS, START_NS, Traffic, World, book_frames, merged, spot_frames
from reference.pump_reference import SlowPump, messages
from scenario import make_spec

from polybot._fast import event as ev
from polybot._fast.event import COMMAND_DTYPE, EVENT_DTYPE, CommandBuffer, EventBuffer
from polybot._fast.pump import Pump

SEEDS = range(5)
PIECE = 150


def event(kind: int, at_ns: int, **fields: Any) -> EventBuffer:
    out = EventBuffer(1)
    out.add(kind, recv_ns=at_ns, market=0, **fields)
    return out


def strike(index: int, value: float, at_ns: int) -> EventBuffer:
    out = EventBuffer(1)
    out.add(ev.EV_STRIKE, recv_ns=at_ns, venue_ns=START_NS, market=index, x=value, i=2)
    return out


def play(seed: int, kind: Any) -> dict[str, Any]:
    """One random session of one or two windows: warm-up, strikes, traffic, a flatten, the first one's end."""
    specs = [make_spec(end_ns=START_NS + (60 + 840 * k) * NS) for k in range(1 + seed % 2)]
    world, traffic = World(kind, seed, specs), Traffic(seed, len(specs))
    pump, end_ns = world.pump, specs[0].end_ns
    while traffic.now_ns < START_NS:
        pump.run(traffic.take(100))
    for index in range(len(specs)):
        pump.tell(strike(index, traffic.price + 20.0, traffic.now_ns))
    while traffic.now_ns < end_ns:
        rows = traffic.take(PIECE)
        cut = int(np.searchsorted(rows["recv_ns"], end_ns))
        pump.run(rows[:cut])
        if seed % 3 == 0 and traffic.now_ns > end_ns - 12 * NS:
            pump.tell(event(ev.EV_OPERATOR, pump.now_ns, i=ev.OP_FLATTEN))
        if cut < len(rows):
            pump.tell(event(ev.EV_MARKET_CLOSE, end_ns))
            pump.run(rows[cut:])
    pump.tell(event(ev.EV_OUTCOME, traffic.now_ns, outcome=seed % 2))
    world.desk.settle(0, seed % 2)
    pump.advance(pump.now_ns + 10 * NS)
    return world.told()


@pytest.fixture(scope="module")
def played() -> Callable[[int], dict[str, Any]]:
    """What the compiled pump makes of a seed; played once."""
    return cache(lambda seed: play(seed, Pump))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_streams_give_the_same_commands_answers_and_quotes_as_a_plain_loop(seed, played):
    fast, slow = played(seed), play(seed, SlowPump)
    for key, value in slow.items():
        assert fast[key] == value, key


def test_the_random_streams_place_rest_fill_cancel_and_refuse(played):
    """What the comparison is worth: every kind of thing happens somewhere in it."""
    found: Counter[str] = Counter()
    for seed in SEEDS:
        told = played(seed)
        commands = np.frombuffer(told["commands"], COMMAND_DTYPE)
        found.update(ev.CommandKind(kind).name for kind in commands["kind"].tolist())
        states = commands["reason"][commands["kind"] == ev.CMD_ORDER]
        found.update(ev.OrderStatus(state).name for state in states.tolist())
        makers = commands["size_frac"][commands["kind"] == ev.CMD_FILL]
        found.update("maker" if value else "taker" for value in makers.tolist())
        found.update(name for name, value in told["counters"].items() if value)
    wanted = (
        "CMD_PLACE CMD_CANCEL CMD_CANCEL_ALL CMD_SIGNAL CMD_FILL CMD_SETTLEMENT CMD_GATE CMD_REFETCH_TICK"
    )
    wanted += (
        " OS_LIVE OS_DELAYED OS_FILLED OS_CANCELED OS_REJECTED OS_PARTIAL maker taker refused_rate_limit"
    )
    assert not [name for name in wanted.split() if not found[name]]


def recorded(shared_dir: Path) -> np.ndarray[Any, Any]:
    """Recorded book frames of one market and recorded spot frames of another day, moved onto the same minutes.

    The oracle is the spot of every whole second, so that there is a price.
    """
    books, spot = book_frames(shared_dir, 300), spot_frames(shared_dir, 14_000)
    spot["recv_ns"] += START_NS - int(spot["recv_ns"][0]) - 90 * NS
    spot["venue_ns"] = np.where(spot["venue_ns"] > 0, spot["recv_ns"] - 2_000_000, 0)
    books["recv_ns"] += START_NS - int(books["recv_ns"][0])
    books["venue_ns"] = books["recv_ns"] - 20_000_000
    trades = spot[spot["kind"] == ev.EV_SPOT_TRADE]
    seconds = np.arange(int(trades["recv_ns"][0]) // NS + 1, int(trades["recv_ns"][-1]) // NS)
    oracle = np.zeros(len(seconds), EVENT_DTYPE)
    oracle["recv_ns"], oracle["venue_ns"] = seconds * NS + NS // 5, seconds * NS
    oracle["kind"], oracle["flags"], oracle["market"] = ev.EV_ORACLE_SPOT, ev.F_END, ev.NO_MARKET
    oracle["x"] = trades["x"][np.searchsorted(trades["recv_ns"], seconds * NS) - 1]
    return merged(spot, books, oracle)


def test_recorded_books_and_spot_give_the_same_commands_as_a_plain_loop(shared_dir: Path) -> None:
    events = recorded(shared_dir)
    first = events["x"][
        np.flatnonzero((events["kind"] == ev.EV_ORACLE_SPOT) & (events["recv_ns"] > START_NS))[0]
    ]
    told = []
    for kind in (Pump, SlowPump):
        world = World(kind, 2, [make_spec()], keep=ALL_KINDS)
        cut = int(np.searchsorted(events["recv_ns"], START_NS + NS))
        world.pump.run(events[:cut])
        world.pump.tell(strike(0, first, int(events["recv_ns"][cut])))
        world.pump.run(events[cut:])
        told.append(world.told())
    assert told[0] == told[1]
    commands = np.frombuffer(told[0]["commands"], COMMAND_DTYPE)
    assert (commands["kind"] == ev.CMD_PLACE).sum() > 0
    assert (commands["kind"] == ev.CMD_CANCEL).sum() > 0


def mixed(seed: int, count: int) -> np.ndarray[Any, Any]:
    """Messages of several runs and of both markets, new grids in the middle of them, levels off the grid."""
    rng, out = random.Random(seed), EventBuffer()
    for k in range(count):
        at = {"recv_ns": START_NS + k * NS // 50, "venue_ns": START_NS + k * NS // 50 - 1_000}
        for left in reversed(range(rng.randrange(1, 6))):
            kind = rng.choices(
                (ev.EV_BOOK_SNAPSHOT, ev.EV_BOOK_LEVEL, ev.EV_BOOK_DELTA, ev.EV_TICK_SIZE), (2, 6, 6, 1)
            )[0]
            at |= {"market": rng.random() < 0.1, "flags": 0 if left or rng.random() < 0.05 else ev.F_END}
            if kind in (ev.EV_BOOK_SNAPSHOT, ev.EV_TICK_SIZE):
                out.add(kind, **at, i=rng.choice((0, 10, 100)))
                continue
            place = {
                "outcome": rng.randrange(2),
                "side": rng.randrange(2),
                "i": rng.randrange(-10, 10_020, 10),
            }
            out.add(kind, **at, **place, j=rng.choice((0, 5, 9, -1)) * 1_000_000, x=-1.0, y=-1.0)
    return out.to_numpy()


@pytest.mark.parametrize("seed", range(4))
def test_the_engine_sees_the_same_books_though_it_shares_them_with_the_venue(seed: int) -> None:
    specs = [make_spec(), make_spec()]
    fast, slow = World(Pump, seed, specs), World(SlowPump, seed, specs)
    rows, seen = mixed(seed, 600), set()
    for k in range(0, len(rows), 7):
        for world in (fast, slow):
            world.pump.run(rows[k : k + 7])
        for index in range(2):
            mine, other = fast.engine.markets[index], slow.engine.markets[index]
            assert mine.book.equals(other.book)
            assert (mine.book.tick_size, mine.book.has_snapshot) == (
                other.book.tick_size,
                other.book.has_snapshot,
            )
            assert mine.stats() == other.stats()
            seen.add(mine.book.content_hash())
    assert len(seen) > 100
    assert fast.told() == slow.told()


def test_cutting_the_stream_between_messages_changes_nothing() -> None:
    whole, cut = Traffic(3, 1).take(1_500), []
    for pieces in (1, 40):
        world = World(Pump, 3, [make_spec()])
        ends = np.flatnonzero(whole["flags"] & ev.F_END) + 1
        edges = [0, *ends[:: len(ends) // pieces][1:].tolist(), len(whole)]
        for first, last in pairwise(edges):
            world.pump.run(whole[first:last])
        world.pump.tell(strike(0, 100_020.0, world.pump.now_ns))
        cut.append(world.told())
    assert cut[0] == cut[1]


def test_a_market_index_of_its_own_is_the_same_as_events_that_carry_it() -> None:
    events = Traffic(5, 1).take(1_200)
    carried = events.copy()
    of_market = (carried["kind"] >= ev.EV_BOOK_SNAPSHOT) & (carried["market"] != ev.NO_MARKET)
    carried["market"][of_market] = 7
    told = []
    for rows, market in ((events, 7), (carried, -1)):
        world = World(Pump, 5, [])
        world.engine.open_market(7, make_spec(), order_seq_base=1)
        world.desk.register_market(7, make_spec())
        world.pump.tell(strike(7, 100_020.0, int(rows["recv_ns"][0])))
        world.pump.run(rows, market=market)
        told.append(world.told())
    assert told[0] == told[1]
    assert len(told[0]["quotes"]) > 0


def test_heartbeats_in_the_data_are_the_same_as_heartbeats_made_here() -> None:
    events = Traffic(6, 1).take(1_000)
    first = (int(events["recv_ns"][0]) // (NS // 10) + 1) * (NS // 10)
    beats = np.zeros((int(events["recv_ns"][-1]) - first) // (NS // 10) + 1, EVENT_DTYPE)
    beats["kind"], beats["market"] = ev.EV_TIMER, ev.NO_MARKET
    beats["recv_ns"] = first + np.arange(len(beats)) * (NS // 10)
    told = []
    for rows, timer_ns in ((events, NS // 10), (merged(events, beats), 0)):
        world = World(Pump, 6, [make_spec()], timer_ns=timer_ns, balance_ns=0)
        world.pump.tell(strike(0, 100_020.0, int(events["recv_ns"][0])))
        world.pump.run(rows)
        told.append(world.told())
    assert told[0]["commands"] == told[1]["commands"]
    assert len(told[0]["commands"]) > 0


def test_what_is_told_from_inside_waits_until_the_commands_are_carried_out() -> None:
    world, events = World(Pump, 1, [make_spec()]), Traffic(1, 1).take(3_000)
    seen: list[bool] = []

    def on_actions(commands: CommandBuffer, now_ns: int) -> None:
        world.desk.execute(commands, now_ns)
        pump.tell(event(ev.EV_OPERATOR, now_ns, i=ev.OP_HALT))
        seen.append(world.engine.risk.halted_manual)

    pump = Pump(world.engine, world.desk.venue, on_actions=on_actions, balance_ns=30 * NS)
    world.desk.serve(pump)
    pump.tell(strike(0, 100_020.0, int(events["recv_ns"][0])))
    pump.run(events)
    assert seen[0] is False
    assert world.engine.risk.halted_manual


def test_running_inside_a_run_is_refused() -> None:
    world = World(Pump, 1, [make_spec()])
    events = Traffic(1, 1).take(400)
    found: list[str] = []

    def on_tick_size(market: int, ticks: int) -> None:
        with pytest.raises(RuntimeError, match="at work"):
            pump.run(events)
        found.append(f"{market} {ticks}")

    pump = Pump(world.engine, world.desk.venue, on_actions=world.desk.execute, on_tick_size=on_tick_size)
    world.desk.serve(pump)
    pump.run(events)
    assert found[0] == "0 100"


def test_an_array_that_holds_no_events_is_refused() -> None:
    pump = World(Pump, 1, []).pump
    with pytest.raises(ValueError, match="no events"):
        pump.run(np.zeros(3, COMMAND_DTYPE))
    with pytest.raises(ValueError, match="contiguous"):
        pump.run(Traffic(1, 1).take(10)[::2])
    with pytest.raises(ValueError, match="no such pump"):
        Pump(pump.engine, pump.venue, on_actions=lambda commands, now_ns: None, timer_ns=-1)


def test_only_the_kinds_asked_for_are_kept_and_taking_empties(tmp_path: Path) -> None:
    world = World(Pump, 2, [make_spec()], keep=1 << int(ev.CMD_DIAGNOSTIC))
    events = Traffic(2, 1).take(800)
    np.save(tmp_path / "events.npy", events)
    mapped = np.load(tmp_path / "events.npy", mmap_mode="r")
    count = world.pump.run(mapped)
    kept = world.pump.take_commands()
    assert set(kept["kind"].tolist()) == {int(ev.CMD_DIAGNOSTIC)}
    assert len(world.pump.take_commands()) == 0
    assert (
        count
        == world.pump.messages
        == sum(1 for rows in messages(events) if rows["kind"][0] <= ev.EV_RESOLVED)
    )


def anonymous_kb() -> int:
    """Memory of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def test_a_mapped_tape_of_many_times_the_buffers_leaves_the_memory_flat(tmp_path: Path) -> None:
    once, copies = Traffic(4, 1).take(1_500), 60
    span_ns = int(once["recv_ns"][-1] - once["recv_ns"][0]) + NS
    with (tmp_path / "events.bin").open("wb") as file:
        for k in range(copies):
            moved = once.copy()
            moved["recv_ns"] += k * span_ns
            moved["venue_ns"] += k * span_ns
            file.write(moved.tobytes())
    events = np.memmap(tmp_path / "events.bin", EVENT_DTYPE, mode="r")
    world = World(Pump, 4, [make_spec(end_ns=START_NS + copies * span_ns)])
    edges = np.arange(0, copies + 1) * len(once)
    used, rows = [], 0
    for first, last in pairwise(edges.tolist()):
        world.pump.run(events[first:last])
        rows += len(world.pump.take_commands()) + len(world.pump.take_quotes())
        used.append(anonymous_kb())
    assert rows > 10_000
    assert len(events) * EVENT_DTYPE.itemsize > 8 << 20
    assert used[-1] - used[len(used) // 4] < 1 << 10
