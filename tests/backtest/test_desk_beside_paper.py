"""The pump with its desk beside the gateway of mode=paper: on what one paper run was given they do the very same."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from between import stand_between
from runs import QUIET, configure, run

from polybot._fast import event as ev
from polybot._fast.event import CommandBuffer, EventBuffer
from polybot._fast.sink import EventSink
from polybot.assembly import build_engine
from polybot.backtest.desk import Desk, DeskSettings
from polybot.config import Config, ModeConfig
from polybot.errors import ConfigError
from polybot.market.spec import MarketSpec

EAGER = {"min_abs_z": 0.3, "max_ask_usd": 0.5, "min_edge": 0.005, "life_s": 30.0, "cancel_edge": -0.5}
ALL_KINDS = sum(1 << int(kind) for kind in ev.CommandKind)
NS_PER_MS = 1_000_000
SEED = 9


def eager() -> Config:
    """A quiet world with late makers, where S5 rests and the others take; simulated fills."""
    changes = {**QUIET, **{f"strategy.lp_extreme.{key}": value for key, value in EAGER.items()}}
    changes |= {"venue.makers": "slow", "venue.seed": SEED, "model.edge_se_multiple": 0.0}
    config = configure(**{key.replace(".", "__"): value for key, value in changes.items()})
    return replace(config, mode=ModeConfig(name="paper"))


@dataclass
class Session:
    """What a paper run's engine was given and what it answered."""

    config: Config
    specs: dict[int, MarketSpec] = field(default_factory=dict)
    events: list[np.ndarray] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)

    def attach(self, trader: Any, venue: Any) -> None:
        register, note = trader.gateway.register_market, trader.inbox.commands

        def on_feed(events: EventBuffer, feed: EventSink) -> None:
            self.events.append(events.to_numpy().copy())
            feed(events)

        def on_register(index: int, spec: MarketSpec) -> None:
            self.specs[index] = spec
            register(index, spec)

        def on_commands(commands: CommandBuffer, *more: int) -> None:
            self.commands.append(commands.to_bytes())
            note(commands, *more)

        stand_between(trader, on_feed)
        trader.gateway.register_market = on_register
        trader.inbox.commands = on_commands

    def given(self) -> np.ndarray:
        """Everything but the fate of our orders."""
        rows = np.concatenate(self.events)
        return np.ascontiguousarray(rows[~_is_news(rows)])

    def news(self) -> np.ndarray:
        """The fate of our orders, as the engine was told of it."""
        rows = np.concatenate(self.events)
        return rows[_is_news(rows)]


def _is_news(rows: np.ndarray) -> np.ndarray:
    return (rows["kind"] == ev.EV_ORDER_UPDATE) | (rows["kind"] == ev.EV_FILL)


def without_keys(commands: np.ndarray) -> np.ndarray:
    """A fill's key names the trade: paper's are derived from its session, the desk's are counted."""
    commands = commands.copy()
    commands["confidence"][commands["kind"] == ev.CMD_FILL] = 0.0
    return commands


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    found = Session(eager())
    run(tmp_path_factory.mktemp("paper"), found.config, prepare=found.attach)
    return found


class Retold:
    """The same session through pump and desk."""

    def __init__(self, session: Session, events: np.ndarray, *, timer_ns: int = 0, **changes: Any) -> None:
        config = session.config
        usual = DeskSettings(
            balance_usd=config.paper.balance_usd,
            order_latency_ms=(config.paper.order_latency_ms,),
            cancel_latency_ms=(config.paper.cancel_latency_ms,),
            confirm_s=config.paper.confirm_s,
            queue=config.paper.queue,
            extra_ticks=config.paper.extra_ticks,
            post_only=config.gateway.post_only,
            place_per_s=config.gateway.place_per_s,
            place_burst=config.gateway.place_burst,
        )
        self.desk, self.engine = Desk(replace(usual, **changes)), build_engine(config)
        self.told: list[np.ndarray] = []
        for index, spec in session.specs.items():
            self.engine.open_market(index, spec, order_seq_base=int(session.news()["seq"].min()))
            self.desk.register_market(index, spec)
        note = self.desk.on_told
        self.desk.on_told = lambda told: (self.told.append(told.to_numpy().copy()), note(told))
        self.pump = self.desk.build_pump(self.engine, keep=ALL_KINDS, timer_ns=timer_ns, balance_ns=0)
        self.pump.run(events)

    def news(self) -> np.ndarray:
        return np.concatenate(self.told)


def test_orders_fills_and_every_command_are_those_of_the_paper_gateway(session: Session) -> None:
    retold = Retold(session, session.given())
    expected, news = session.news(), retold.news()
    expected = expected[expected["flags"] & ev.F_LOCAL == 0]
    for name in ("recv_ns", "venue_ns", "kind", "market", "outcome", "side", "flags", "seq", "x", "i", "j"):
        assert news[name].tolist() == expected[name].tolist(), name
    commands = np.frombuffer(b"".join(session.commands), ev.COMMAND_DTYPE)
    ours = retold.pump.take_commands()
    ours = ours[ours["decided_ns"] >= commands["decided_ns"][0]]  # there it had no market before
    assert without_keys(ours).tobytes() == without_keys(commands).tobytes()
    assert len(ours) > 1_000
    assert (news["kind"] == ev.EV_FILL).sum() >= 10
    assert (news["flags"] & ev.F_MAKER != 0).sum() >= 1


def test_with_heartbeats_made_by_the_pump_the_orders_and_fills_stay_the_same(session: Session) -> None:
    given = session.given()
    retold = Retold(session, given[given["kind"] != ev.EV_TIMER], timer_ns=100 * NS_PER_MS)
    expected, news = session.news(), retold.news()
    expected = expected[expected["flags"] & ev.F_LOCAL == 0]
    for name in ("kind", "outcome", "side", "seq", "x", "i", "j"):
        assert news[name].tolist() == expected[name].tolist(), name
    apart_ns = np.abs(news["recv_ns"] - expected["recv_ns"])
    assert apart_ns.max() < NS_PER_MS


def test_latencies_are_drawn_by_order_number_and_told_with_the_answer(session: Session) -> None:
    given = session.given()
    wide = {"order_latency_ms": (10.0, 40.0, 500.0)}
    first, again = Retold(session, given, **wide), Retold(session, given, **wide)
    late, other = Retold(session, given, latency_factor=2.0, **wide), Retold(session, given, seed=5, **wide)
    rows, slower = first.desk.latency(), late.desk.latency()
    assert rows.tobytes() == again.desk.latency().tobytes()
    assert rows.tobytes() != other.desk.latency().tobytes()
    took = rows["arrived_ns"] - rows["decided_ns"]
    assert ((took >= 10 * NS_PER_MS) & (took <= 500 * NS_PER_MS)).all()
    assert len(set(took.tolist())) == len(took)
    assert (rows["told_ns"] >= rows["arrived_ns"]).all()
    assert rows["order_seq"][0] == slower["order_seq"][0]
    assert abs(slower["arrived_ns"][0] - slower["decided_ns"][0] - 2 * took[0]) <= 1


def test_a_table_that_falls_or_is_negative_is_refused() -> None:
    usual = {"balance_usd": 1.0, "cancel_latency_ms": (1.0,), "place_per_s": 1.0, "place_burst": 1}
    for wrong in ((), (3.0, 2.0), (-1.0, 2.0)):
        with pytest.raises(ConfigError, match="quantiles"):
            Desk(DeskSettings(order_latency_ms=wrong, **usual))
    with pytest.raises(ConfigError, match="latency_factor"):
        Desk(DeskSettings(order_latency_ms=(1.0,), latency_factor=-1.0, **usual))
