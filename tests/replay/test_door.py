"""Whatever changes the engine of a live run is logged: through the runner, or through the one door beside it."""

import re
from pathlib import Path

from polybot.replay.calls import EngineDoor, apply_call

PACKAGE = Path(__file__).resolve().parents[2] / "polybot"
# The modules of a process that trades, but for the runner and the door.
LIVE = sorted(
    path
    for path in [*PACKAGE.glob("*.py"), *(PACKAGE / "control").glob("*.py"), *(PACKAGE / "gateway").glob("*.py")]
    if path.name not in ("runner.py", "assembly.py", "api.py") and not path.name.startswith("campaign")
)
CHANGES = re.compile(
    r"\bengine\.(process|open_market|drop_market|restore_order|strategy_slot)\("
    r"|\brisk\.(halt|resume|restore|set_\w+)\("
    r"|\b(look_at|reprice)\("
    r"|\b(engine|risk|flattener|account)\.\w+ [-+]?= "
    r"|\bstrategy\.(enable|disable)\("
)


def test_no_module_of_a_live_run_changes_the_engine_past_runner_and_door():
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in LIVE
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if CHANGES.search(line)
    ]
    assert len(LIVE) > 30
    assert found == []


def test_the_search_finds_what_would_change_an_engine():
    for line in (
        "trader.engine.process(events)",
        "self.engine.risk.halt()",
        "engine.restore_order(1)",
        "look_at(market, spot, now_ns)",
        "self._trader.engine.risk.cash_usd = 5",
    ):
        assert CHANGES.search(line), line


class Noted:
    """A log that keeps what it is told."""

    def __init__(self):
        self.calls = []

    def call(self, name, at_ns, args):
        self.calls.append((name, at_ns, args))


class Halting:
    """As much of an engine as a halt needs."""

    def __init__(self):
        self.risk = self
        self.halts = 0

    def halt(self):
        self.halts += 1


class Clock:
    """Time that stands still."""

    def now_ns(self):
        return 7


def test_an_act_is_done_first_then_logged_and_done_again_by_its_name():
    engine, log = Halting(), Noted()
    EngineDoor(engine, Clock(), log).halt()
    assert (engine.halts, log.calls) == (1, [("halt", 7, {})])
    (name, _, args), = log.calls
    apply_call(engine, name, args)
    assert engine.halts == 2
