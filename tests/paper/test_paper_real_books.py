"""Simulated orders on the recorded books of 49 real markets: nothing is filled that was not shown.

The recordings hold full books only, no trades: takers must find what is displayed when their hold ends, and
orders that rest must never be filled at all.
"""

import lzma
import os
import random
from pathlib import Path

import numpy as np
import orjson
import pytest
from execution_scenario import MS, SHARE, spec
from paper.audit import fills_of, judge

from polybot._fast import event as ev
from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.execution import SimExecution
from polybot._fast.scan import DEC_OK

FOLDER = "data/CronosVirus00+polymarket-BTC5min-database/clob_book_frames"
MARKETS = 49
# Three of them as a rule; POLYBOT_HARD=17 tests them all.
TESTED = min(MARKETS, 3 * int(os.environ.get("POLYBOT_HARD", "1")))
EVERY_MS = 900


def recorded(path: Path) -> np.ndarray:
    """All events of one market by the venue's time."""
    rows = []
    for line in lzma.decompress(path.read_bytes()).splitlines():
        frame = line[line.index(b'"raw":') + 6 : -1]
        parsed = orjson.loads(frame)
        rows.append((int(parsed["timestamp"]), frame, parsed["asset_id"], parsed["market"]))
    rows.sort(key=lambda row: row[0])
    tokens = list(dict.fromkeys(row[2] for row in rows))
    decoder, out = ClobDecoder(), ev.EventBuffer()
    decoder.add_market(0, *[token.encode() for token in (*tokens, "0")][:2], rows[0][3].encode())
    for at_ms, frame, _, _ in rows:
        assert decoder.feed(frame, at_ms * MS, out) == DEC_OK
    return out.to_numpy()


def messages(data: np.ndarray) -> list[np.ndarray]:
    ends = np.flatnonzero(data["flags"] & ev.F_END) + 1
    return np.split(data, ends[:-1])


def trade_over(data: np.ndarray, rng: random.Random) -> tuple[SimExecution, np.ndarray]:
    """Take and rest now and then, at and around the touch, on both outcomes."""
    sim = SimExecution(cash_usd=10**6 * SHARE, confirm_ns=5_000 * MS)
    end_ns = int(data["recv_ns"][-1]) + 1
    sim.add_market(0, spec(end_ns=end_ns))
    out, events = ev.EventBuffer(), ev.EventBuffer()
    next_ns, seq = 0, 0
    for message in messages(data):
        events.reset()
        events.extend(message)
        sim.process(events, out)
        now_ns = int(message["recv_ns"][-1])
        if now_ns < next_ns:
            continue
        next_ns = now_ns + EVERY_MS * MS
        outcome, book = rng.randrange(2), sim.market(0).book
        ask, bid = book.best_ask(outcome), book.best_bid(outcome)
        for kind, price in ((ev.FAK, ask + 100 * rng.randrange(3)), (ev.FOK, ask), (ev.GTC, bid)):
            if 100 <= price <= 9_900 and price % 100 == 0:
                seq += 1
                sim.place(
                    0,
                    order_seq=seq,
                    outcome=outcome,
                    side=0,
                    order_type=kind,
                    price_ticks=price,
                    ushares=rng.choice((5, 40, 300, 5_000)) * SHARE,
                    post_only=kind == ev.GTC,
                    arrive_ns=now_ns + 40 * MS,
                )
    sim.advance(end_ns + 1_000 * MS, out)
    return sim, out.to_numpy()


@pytest.mark.parametrize("number", range(TESTED))
def test_every_fill_on_a_recorded_book_was_shown_at_that_instant(shared_dir, number):
    paths = sorted((shared_dir / FOLDER).rglob("*.jsonl.xz"))
    data = recorded(paths[number * MARKETS // TESTED])
    sim, told = trade_over(data, random.Random(number))
    verdict = judge(data, told)
    assert not verdict.problems, verdict.problems[:5]
    assert verdict.takers > 100
    assert verdict.makers == 0
    assert sim.open_orders() == []
    assert sim.counters()["killed"] > 0


def test_the_judge_finds_a_fill_that_was_not_shown(shared_dir):
    data = recorded(sorted((shared_dir / FOLDER).rglob("*.jsonl.xz"))[0])
    _, told = trade_over(data, random.Random(1))
    forged = told.copy()
    first = next(k for k in range(len(told)) if told["kind"][k] == ev.EV_FILL)
    forged["j"][first] += 10**6 * SHARE
    assert len(fills_of(forged)) == len(fills_of(told))
    assert judge(data, forged).problems
