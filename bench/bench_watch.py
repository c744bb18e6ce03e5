"""What watchers cost: one answer in the event loop, however much happened, and one event on the telemetry thread.

The answer is that of a real trader in the middle of a window of the embedded venue, all strategies on, orders, fills
and a position behind it; the ring holds the rest of a burst of 10,000 events.
"""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from bench.interleaved import times_faster
from polybot.config import default_config
from polybot.control.operator import Operator
from polybot.control.wire import encode, parse_request
from polybot.harness import run_virtual
from polybot.telemetry.figures import Figures
from polybot.telemetry.latency import NAMES, LatencyBook
from polybot.telemetry.recent import RecentEvents
from polybot.telemetry.redact import Redactor
from polybot.telemetry.summary_lines import TelemetryHealth
from polybot.telemetry.totals import RunTotals

Budget = Callable[..., float]
NS = 1_000_000_000
START_NS = 1_795_337_000 * NS
LOOK_S = 250.0  # venue seconds after the start: the window is 150 s old
BURST = 10_000
MOST_NS = 1_000_000  # of the loop for one answer
LEAST = 2.0  # times faster than encoding the events in the loop
CURSOR = b'{"do": "watch", "since": "1", "via": "page"}'
WORDS = "ORDER     179538090000005  strike_misalign  Buy 34.06 Down @ 0.57 FAK  CANCELED  matched=34.0526"
FACTS = {
    "order_seq": 179_538_090_000_005,
    "order_id": "0x" + "d8" * 32,
    "outcome": "Down",
    "side": "Buy",
    "price_ticks": 5_700,
    "shares": 34_060_000,
    "order_type": "FAK",
    "state": "CANCELED",
    "matched": 34_052_600,
    "reason": "",
}


def add(recent: RecentEvents) -> None:
    recent.add("order", WORDS, ts_ns=START_NS, slug="btc-updown-5m-1795337100", strategy="strike_misalign", data=FACTS)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """The hand on a trader that was stopped in mid-window, everything of it still in place."""
    recent = RecentEvents(4_096, scrub=str)
    for _ in range(BURST):
        add(recent)
    config = default_config(**{"run.markets": 1, "venue.makers": "slow", "venue.seed": 4})
    result = run_virtual(
        config,
        tmp_path_factory.mktemp("watched"),
        start_ns=START_NS,
        during=[(LOOK_S, lambda trader, _: trader.stop())],
    )
    recent.figures = figures()
    assert result.trader.engine.orders
    assert any(market.priced for market in result.trader.engine.markets.values())
    return Operator(result.trader, identity={"account": "0xa", "session": "s"}, recent=recent)


def figures() -> dict[str, bytes]:
    return dict(Figures().make(measured(), well(), RunTotals(), logs=()))


def measured() -> LatencyBook:
    latency = LatencyBook()
    for name in NAMES:
        for value_ns in range(1_000, 10_000_000, 10_000):
            latency.histogram(name).record(value_ns)
    return latency


def well() -> TelemetryHealth:
    zeros: dict[str, Any] = {field.name: 0 for field in dataclasses.fields(TelemetryHealth)}
    return TelemetryHealth(**{**zeros, "disk_error": ""})


def test_an_answer_without_news(budget: Budget, operator: Operator) -> None:
    budget(lambda: encode(operator.watch(None)), name="watch: an answer without events", median_ns=MOST_NS)


def test_an_answer_as_full_as_it_gets(budget: Budget, operator: Operator) -> None:
    def answer() -> bytes:
        request = parse_request(CURSOR)
        return encode(operator.watch(request.since))

    facts = json.loads(answer())
    assert (len(facts["events"]), facts["events_missed"]) == (500, BURST - 4_096)
    budget(answer, name="watch: an answer with 500 events", median_ns=MOST_NS)


def test_handing_events_on_is_faster_than_encoding_them_in_the_loop(budget: Budget, operator: Operator) -> None:
    budget(lambda: encode(operator.watch(1)), name="watch: 500 events handed on", median_ns=MOST_NS)
    events = json.loads(encode(operator.watch(1)))["events"]
    idle = operator.watch(None)
    ratio = times_faster(
        lambda: encode(operator.watch(1)),
        lambda: json.dumps({**idle, "events": events}, default=str),
        name="watch: 500 events handed on, beside encoding them with json",
        calls=20,
        at_least=LEAST,
    )
    assert ratio >= LEAST


def test_an_event_on_the_telemetry_thread(budget: Budget) -> None:
    scrub = Redactor("0x" + "4c" * 32, "dGhpcyBpcyBhIHNlY3JldCBvZiBhbiBhcGkga2V5Li4=", "a-long-passphrase").scrub
    recent = RecentEvents(4_096, scrub=scrub)
    budget(lambda: add(recent), name="recent: add an event", median_ns=300_000)


def test_figures_once_a_second_on_the_telemetry_thread(budget: Budget) -> None:
    latency, health, totals, made = measured(), well(), RunTotals(), Figures()
    budget(lambda: made.make(latency, health, totals, logs=()), name="figures of a second", median_ns=1_500_000)
