"""The inputs log on the loop: one copy into a mapped tail per batch, after the orders left; and a replay's speed.

A spot trade costs the loop under 50 us from bytes to state: the log's copy may add a tenth of that.  The parts are made
and packed by the recorder's own thread meanwhile, as in a daemon.
"""

from bench.bench_engine import ready
from bench.one_event import BATCH, spot_trade
from polybot._fast.event import CommandBuffer, EventBuffer, EventKind
from polybot.clock import wall_clock
from polybot.config import default_config
from polybot.replay.inputs import open_inputs
from polybot.replay.recorder import InputsRecorder
from polybot.replay.verify import verify

STEP_NS = 5_000  # one event, no command
ANSWERED_NS = 10_000  # one event and the three commands of an order
CALL_NS = 30_000
TURN_NS = 40_000  # replay: one timer, read, given and compared
TURNS = 5_000


def recorder(folder):
    """A recorder as a daemon has it, with tails that hold a whole bench: the thread cannot keep up with a loop."""
    config = default_config(**{"telemetry.out_dir": str(folder), "replay.keep_free_mb": 0, "replay.tail_mb": 64})
    return InputsRecorder(config, wall_clock(), name="bench")


def test_one_event_into_the_log(budget, tmp_path):
    log, nothing = recorder(tmp_path), CommandBuffer()
    events = spot_trade(ready(), 20.5)

    def run():
        for _ in range(BATCH):
            log.step(events, nothing)

    budget(run, name="inputs log: one event", median_ns=STEP_NS, inner=BATCH)
    assert log.dropped == 0
    log.close()
    log.wait()


def test_one_event_with_an_order_into_the_log(budget, tmp_path):
    log, scenario = recorder(tmp_path), ready(fires=True)
    events = spot_trade(scenario, 20.5)
    commands = scenario.engine.process(events)
    assert len(commands) >= 2

    def run():
        for _ in range(BATCH):
            log.step(events, commands)

    budget(run, name="inputs log: one event that made an order", median_ns=ANSWERED_NS, inner=BATCH)
    assert log.dropped == 0
    log.close()
    log.wait()


def test_one_call_into_the_log(budget, tmp_path):
    log = recorder(tmp_path)
    budget(lambda: log.call("drop_market", 1, {"index": 3}), name="inputs log: one call", median_ns=CALL_NS)
    log.close()
    log.wait()


def test_a_replay_of_many_timers(budget, tmp_path):
    log, nothing, events = recorder(tmp_path), CommandBuffer(), EventBuffer()
    for number in range(TURNS):
        events.reset()
        events.add(EventKind.EV_TIMER, recv_ns=1 + number)  # long before any diagnostic is due
        log.step(events, nothing)
    log.close()
    log.wait()
    written = open_inputs(log.path)
    assert verify(written).steps in (0, TURNS)
    budget(lambda: verify(written), name="replay: one step", median_ns=TURN_NS, inner=TURNS)
