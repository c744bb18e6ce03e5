"""Engine and whole path against the design's absolute budgets: receive, evaluate, received to dispatched.

receive: bytes of one frame through the feed into state, both built-in strategies asked, nothing fires.
evaluate: one event through the engine.  received to dispatched: bytes of a frame that makes an order, up to
the order in the gateway's hands (signing is bench_signing's).
"""

from scenario import NS, Scenario

from bench.one_event import BATCH, book_change, repeated, spot_trade
from polybot._fast.certainty_capture import CertaintyCapture
from polybot._fast.event import CommandBuffer, EventBuffer, EventKind
from polybot._fast.latency_arb import LatencyArb
from polybot.clock import wall_clock
from polybot.config import FeedsConfig
from polybot.feeds.binance import SpotFeed
from polybot.feeds.polymarket import MarketFeed
from polybot.runner import Runner
from polybot.telemetry.inbox import TelemetryInbox

RECEIVE_NS = 50_000
EVALUATE_NS = 10_000
DISPATCH_NS = 50_000


def ready(*, fires=False):
    """A live market at 20 s; with `fires` every trade makes an order."""
    strategies = [CertaintyCapture(), LatencyArb(require_move=not fires, edge_se_multiple=0.0)]
    scenario = Scenario(strategies)
    scenario.risk.set_limits(
        1, per_trade_frac=1e-9 if not fires else 0.02, total_frac=1.0, cooldown_ns=0, max_orders=1 << 30
    )
    scenario.warm(bid=4_900 if not fires else 3_900, ask=5_000 if not fires else 4_000)
    return scenario


def wire(scenario, gateway):
    inbox = TelemetryInbox()
    runner = Runner(
        scenario.engine,
        clock=wall_clock(),
        inbox=inbox,
        gateway=gateway,
        on_feed_command=lambda kind, market: None,
    )
    return runner, inbox


def trade_frames(count, first_id, stamps_us=None):
    template = (
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,'
        '"p":"100000.5%d000000","q":"0.00100000","T":%d,"m":true,"M":true}}'
    )
    stamps_us = stamps_us or [1_790_000_120_000_000 + k for k in range(count)]
    return [(template % (us, first_id + k, k % 10, us)).encode() for k, us in enumerate(stamps_us)]


def test_one_spot_trade_through_the_engine(budget):
    scenario = ready()
    events = spot_trade(scenario, 20.5)
    assert len(scenario.engine.process(events)) == 0
    assert scenario.market.block_reason == 0
    run = repeated(scenario.engine, events)
    budget(run, name="evaluate: spot trade, both strategies on", median_ns=EVALUATE_NS, inner=BATCH)


def test_one_book_delta_through_the_engine(budget):
    scenario = ready()
    events = book_change(scenario, 20.5)
    run = repeated(scenario.engine, events)
    budget(run, name="evaluate: book change, both strategies on", median_ns=EVALUATE_NS, inner=BATCH)


def test_a_trade_frame_from_bytes_to_state(budget):
    scenario = ready()
    runner, _ = wire(scenario, lambda commands: None)
    feed = SpotFeed(("ws://spot",), "BTCUSDT", FeedsConfig(), sink=runner.feed)
    feed.on_open(lambda text: None, scenario.at(20.0))
    state = {"next": 1}
    recv_ns = scenario.at(20.5)

    def run():
        frames = trade_frames(BATCH, state["next"])
        state["next"] += BATCH
        for frame in frames:
            feed.on_payload(frame, recv_ns)

    budget(run, name="receive: trade frame to state", median_ns=RECEIVE_NS, inner=BATCH)
    assert scenario.spot.trades > BATCH


def test_a_book_frame_from_bytes_to_state(budget):
    scenario = ready()
    runner, _ = wire(scenario, lambda commands: None)
    feed = MarketFeed("ws://market", FeedsConfig(), sink=runner.feed)
    feed.add_market(0, scenario.spec)
    feed.on_open(lambda text: None, scenario.at(20.0))
    levels = ",".join(f'{{"price":"0.{k:02d}","size":"{100 + k}"}}' for k in range(1, 49))
    asks = ",".join(f'{{"price":"0.{k:02d}","size":"{100 + k}"}}' for k in range(99, 50, -1))
    frame = (
        f'{{"market":"{scenario.spec.condition_id}","asset_id":"{scenario.spec.token_up}","timestamp":"1790000120500","hash":"ab",'
        f'"bids":[{levels}],"asks":[{asks}],"event_type":"book"}}'
    ).encode()
    recv_ns = scenario.at(20.5)

    def run():
        for _ in range(20):
            feed.on_payload(frame, recv_ns)

    budget(run, name="receive: book frame, 97 levels, to state", median_ns=RECEIVE_NS, inner=20)
    assert scenario.market.best_bid(0) == 4_800


def test_a_trade_frame_from_bytes_to_an_order_in_the_gateways_hands(budget):
    placed = []

    def gateway(commands: CommandBuffer) -> None:
        placed.append(len(commands))

    scenario = ready(fires=True)
    runner, _ = wire(scenario, gateway)
    feed = SpotFeed(("ws://spot",), "BTCUSDT", FeedsConfig(), sink=runner.feed)
    feed.on_open(lambda text: None, scenario.at(20.0))
    state = {"next": 1, "recv_ns": scenario.at(20.5), "seq": 1_000}
    cancel = EventBuffer()

    def run():
        steps = [state["recv_ns"] + k * NS // 5 for k in range(1, 11)]
        frames = trade_frames(10, state["next"], [ns // 1_000 for ns in steps])
        state["next"] += 10
        for frame, recv_ns in zip(frames, steps, strict=True):
            state["recv_ns"] = recv_ns
            scenario.oracle((state["recv_ns"] - scenario.spec.start_ns) / NS, 100_000.0)
            scenario.book(
                (state["recv_ns"] - scenario.spec.start_ns) / NS, [(3_900, 1_000)], [(4_000, 1_000)]
            )
            scenario.go()
            feed.on_payload(frame, state["recv_ns"])
            cancel.reset()
            cancel.add(EventKind.EV_ORDER_UPDATE, recv_ns=state["recv_ns"], seq=state["seq"], i=8, j=0)
            state["seq"] += 1
            scenario.engine.process(cancel)
        if state["recv_ns"] > scenario.at(200.0):
            state["recv_ns"] = scenario.at(20.5)

    budget(
        run,
        name="received to dispatched (with the test's own book and oracle events)",
        median_ns=DISPATCH_NS,
        inner=10,
    )
    assert len(placed) > 10
