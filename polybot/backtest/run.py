"""One backtest: tapes, or the inputs of a session, through the engine that trades live, into a Result.

Theory of operation: say what there is (world, session), play it (play), write the folder.  One engine, one account and
one clock, that of receipt, over all tapes.  The same settings, tapes and seed give the same tables byte for byte.
Must not decide what is traded or filled.  Called by the command `backtest`, jobs (sweeps, flattery), api and programs.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polybot.backtest.play import Backtest, Progress, desk_settings, timing
from polybot.backtest.reel import Reel
from polybot.backtest.result import Result, ResultWriter
from polybot.backtest.session import backtest_session, session_of, stamp_name
from polybot.backtest.world import TapeWorld
from polybot.clock import wall_clock
from polybot.config import Config

__all__ = ["Progress", "desk_settings", "run_backtest", "stamp_name"]

Say = Callable[[str], None]


def run_backtest(
    config: Config,
    *,
    folder: Path | None = None,
    variant: Mapping[str, Any] | None = None,
    say: Say | None = None,
    watch: Callable[[Progress], None] | None = None,
    is_stopping: Callable[[], bool] | None = None,
) -> Result:
    """Run the tapes of config.backtest and write the run's folder; returns what is in it.

    Where the tapes are the inputs log of a session, strategies, risk and model are set as they were then.
    `folder` replaces `<out_dir>/<name>`; `variant` says in run.json what was changed for this run; `say` gets lines
    about what is left out, `watch` how far it is; once `is_stopping` says so, what is done by then is kept.
    Raises ConfigError when there is nothing to trade, TapeError when the folder is there already.
    """
    log = session_of(config.backtest.tapes)
    if log is not None:
        return backtest_session(
            log, folder, settings=config.backtest, variant=variant, watch=watch, is_stopping=is_stopping or _never
        )
    clock = wall_clock()
    began_ns = clock.mono_ns()
    place = folder or Path(config.backtest.out_dir) / (config.backtest.name or stamp_name())
    world = TapeWorld(config, say=say or _say_nothing)
    with ResultWriter(place) as writer:
        run = Backtest(config, world, writer)
        stopped = run.go(Reel(world), watch=watch, is_stopping=is_stopping or _never)
        info = run.info(state="interrupted" if stopped else "complete", variant=variant or {})
        return writer.finish({**info, **timing(clock.mono_ns() - began_ns, run.messages)})


def _say_nothing(text: str) -> None:
    """Nobody listens."""


def _never() -> bool:
    return False
