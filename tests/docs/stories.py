"""What a reader does with the documents, page by page: every command line of theirs stands here once, word for word.

Owns the order of the lines and what each must show; the lines no test can carry out are in not_here.py, with reasons.
A line of the documents that is in neither fails a test.  Must not compose lines: they are found here by their text.
Called by test_execution.
"""

import contextlib
import json
import shutil
import signal
import sqlite3
import threading
import urllib.request
from collections.abc import Callable, Mapping

from tests.docs import material
from tests.docs.lines import ROOT, plain
from tests.docs.stage import Stage
from tests.telegram.bot_api import CHAT, TOKEN, BotApi

__all__ = ["NEEDS_SHARED", "STORIES", "Props"]

OPEN = r"INFO +entries open"
STOPPED = r"SUMMARY"
SERVED = r"http://127\.0\.0\.1:\d+/\?token=\S+"
INTERRUPTED = 130  # commands that compute: what is finished is kept
ADDRESS = "http://127.0.0.1:40591"
LOG = "logs/inputs/20261122-175505-b6f152c09b0b29a6"
TAPE = "tapes/btc-updown-5m-1795337100"
STRATEGIES = (ROOT / "docs" / "STRATEGIES.md").read_text()
# Wall seconds a story waits for what another one makes.
PATIENCE_S = 250.0


class Props:
    """What one story makes and others of the same checkout use."""

    def __init__(self) -> None:
        self.is_recorded = threading.Event()


def recorded(stage: Stage, props: Props) -> None:
    """README, TAPE: a window is recorded and another one traded; both to the end."""
    run = stage.start("python -m polybot venue.speed=20 venue.makers=slow venue.seed=4 run.markets=1")
    stage.ends("python -m polybot record cycles=1 venue.speed=20 record.out_dir=tapes", says="done 1")
    stage.finish(run, says="0 differences")
    (log,) = (stage.checkout / "logs" / "inputs").iterdir()
    (tape,) = (stage.checkout / "tapes").glob("btc-updown-5m-*")
    stage.where |= {LOG: f"logs/inputs/{log.name}", TAPE: f"tapes/{tape.name}"}
    (stage.checkout / "archive").mkdir()
    props.is_recorded.set()


def backtested(stage: Stage, props: Props) -> None:
    """README, BACKTEST, ANALYZE: what a researcher does with tapes."""
    assert props.is_recorded.wait(PATIENCE_S), "nothing was recorded"
    stage.ends("python -m polybot backtest tapes=tapes name=first", says="run: runs/first")
    stage.ends("python -m polybot report source=runs/first", says=r"report\.png")
    stage.ends(
        "python -m polybot backtest tapes=logs/inputs/20261122-175505-b6f152c09b0b29a6", says="signals before risk"
    )
    stage.ends("python -m polybot analyze paths=runs by=[day,strategy] sort=-pnl_usd", says="latency_arb")
    stage.ends("python -m polybot analyze paths=runs", says="first")
    stage.ends("python -m polybot analyze", says="session")
    stage.ends(
        "python -m polybot analyze paths=[runs,logs,archive] by=[day,strategy] sort=-pnl_usd", says="latency_arb"
    )
    stage.ends("python -m polybot analyze by=[run,day] output=parquet out_file=days.parquet")
    assert (stage.checkout / "days.parquet").stat().st_size > 0
    # These choose by date and by loss: whether rows are left is the day's affair; 0 says that runs were read.
    stage.ends("python -m polybot analyze by=market run=20261122* max_pnl_usd=-1")
    stage.ends(
        "python -m polybot analyze asset=[btc,eth] interval=15m from_day=2026-11-01 to_day=2026-11-30 by=strategy"
    )
    stage.python(
        "docs/BACKTEST.md: from polybot import api",
        'docs/BACKTEST.md: log = "logs/inputs/20261122-175505-b6f152c09b0b29a6"',
    )
    stage.python('README.md: from polybot import api; api.backtest("tapes").to_pandas("fills")')


def swept(stage: Stage, props: Props) -> None:
    """SWEEPS: grids to the end, a search until it has points."""
    assert props.is_recorded.wait(PATIENCE_S), "nothing was recorded"
    stage.ends(
        "python -m polybot backtest -m risk=conservative,standard strategy.latency_arb.min_edge=0.02,0.03,0.04",
        says="points failed: 0",
    )
    # The same points: all of them are there.
    stage.ends(
        "python -m polybot backtest -m tapes=tapes risk=conservative,standard "
        "strategy.latency_arb.min_edge=0.02,0.03,0.04",
        says="6 of them from before",
    )
    stage.ends("python -m polybot analyze kind=sweep sort=-pnl_usd limit_count=10", says="sweep")
    stage.lives(
        "python -m polybot backtest -m tapes=tapes sweep.search=optuna sweep.trials=50 "
        "strategy.latency_arb.min_edge=0.01:0.05 risk=conservative,standard",
        r"1 of 50 points",
        code=INTERRUPTED,
    )
    stage.lives("python -m polybot backtest", r"tapes?\b", code=INTERRUPTED)


def held_out(stage: Stage, _: Props) -> None:
    """BACKTEST, SWEEPS, ANALYZE: recordings of three days, so that two can be held out."""
    for start_s in material.APRIL_DAYS:
        material.book_recording(stage.checkout / "recordings", start_s)
    stage.ends("python -m polybot import source=recordings out_dir=tapes", says="3 markets, 3 with an outcome")
    stage.ends(
        "python -m polybot backtest tapes=tapes name=careful risk=conservative strategy=[latency_arb] "
        "days=[2026-04-15]",
        says="run: runs/careful",
    )
    stage.ends(
        "python -m polybot backtest -m tapes=tapes seed=1,2,3 latency_factor=1,2 sweep.hold_out_days=2",
        says="points failed: 0",
    )
    stage.ends("python -m polybot analyze paths=runs by=strategy", says="latency_arb")


def replayed(stage: Stage, props: Props) -> None:
    """REPLAY, TAPE: the session again, on the terminal and in a notebook."""
    assert props.is_recorded.wait(PATIENCE_S), "nothing was recorded"
    stage.ends("python -m polybot replay source=logs", says="identical")
    stage.ends("python -m polybot replay source=logs/inputs/20261122-175505-b6f152c09b0b29a6", says="identical")
    stage.on_terminal("python -m polybot replay --step source=logs", "SESSION", "q")
    stage.on_terminal("python -m polybot replay --step source=tapes", "TAPE", "q")
    stage.on_terminal(
        "python -m polybot replay source=tapes/btc-updown-5m-1795337100 replay.step=true asset=btc", "TAPE", "q"
    )
    stage.python(
        "docs/REPLAY.md: from polybot.replay import open_inputs",
        "docs/REPLAY.md: from polybot.replay.verify import Player",
    )
    stage.python("docs/TAPE.md: import polybot.tape")
    stage.ends("python -m polybot import source=tapes")


def imported(stage: Stage, _: Props) -> None:
    """README, TAPE, BACKTEST: recordings of other people; an own strategy; what needs recorded data."""
    there = stage.checkout
    day_s = material.APRIL_DAYS[2]
    material.book_recording(there / "recordings", material.APRIL_DAYS[0])
    material.book_recording(there / "books", day_s)
    material.book_recording(there, material.APRIL_DAYS[0])
    material.market_list(there / "markets.jsonl.gz", material.APRIL_DAYS[0])
    new_year_s = 1_735_693_200
    for name, start_s in (
        ("BTCUSDT-trades-2025-01-01.zip", new_year_s),
        ("BTCUSDT-aggTrades-2025-01-01.zip", new_year_s),
        ("BTCUSDT-trades-2026-04-15.zip", day_s),
    ):
        material.trades_zip(there / name, start_s)
    stage.ends("python -m polybot import source=BTCUSDT-trades-2025-01-01.zip", says="1 tapes in tapes")
    stage.ends(
        "python -m polybot import source=BTCUSDT-aggTrades-2025-01-01.zip out_dir=tapes", says="1 tapes in tapes"
    )
    stage.ends("python -m polybot import source=recordings record.out_dir=tapes", says="1 with an outcome")
    stage.ends(
        "python -m polybot import source=btc-updown-5m-1776081900.jsonl.xz markets_file=markets.jsonl.gz",
        says="outcome Up",
    )
    stage.ends(
        "python -m polybot import source=books out_dir=tapes record.assume.spot=BTCUSDT-trades-2026-04-15.zip",
        says="1 with an outcome",
    )
    stage.ends("python -m polybot --cfg job", says="interval")
    if (there.parent / "shared").exists():
        stage.ends("python -m polybot score research.data_dir=../shared/data", says="every promise holds")
        stage.lives("python -m polybot fit research.data_dir=../shared/data", "weights tried", code=INTERRUPTED)
    stage.lives("python -m polybot campaign campaign.windows=400 venue.makers=slow", "results: ", code=INTERRUPTED)
    stage.lives("python -m polybot campaign venue.makers=instant", "results: ", code=INTERRUPTED)
    stage.lives("python -m polybot campaign", "results: ", code=INTERRUPTED)
    stage.lives("python -m polybot venue-check research.windows=40", "40 windows", code=INTERRUPTED)
    stage.lives("python -m polybot venue-check", "200 windows", code=INTERRUPTED)


def started(stage: Stage, _: Props) -> None:
    """README, TAPE, REPLAY: endless or slow runs and recordings, until their sign of life."""
    material.spot_frames(stage.checkout / "recorded_btcusdt.gz", material.APRIL_DAYS[0])
    material.own_strategy(stage.checkout, STRATEGIES)
    stage.lives("python -m polybot +interval=5m risk=conservative", OPEN)
    stage.lives("python -m polybot interval=15m asset=eth run.markets=4", OPEN)
    stage.lives("python -m polybot venue.makers=instant run.markets=2 telemetry.console=plain", OPEN)
    stage.lives("python -m polybot venue.tape=recorded_btcusdt.gz run.markets=1", OPEN)
    stage.lives("python -m polybot risk.bankroll_usd=500 risk.daily_loss_halt_frac=0.02", OPEN)
    stage.lives("python -m polybot strategy=[certainty_capture] strategy.certainty_capture.min_edge=0.03", OPEN)
    stage.lives("python -m polybot --config-dir my_conf strategy=[latency_arb,mine]", r"mine +1\.00%[\s\S]*" + OPEN)
    stage.lives("python -m polybot strategy=[latency_arb,example] venue.makers=slow run.markets=1", OPEN)
    stage.lives("python -m polybot mode=paper venue.makers=slow run.markets=1", "PAPER: location check: not blocked")
    stage.lives("python -m polybot run replay.record=false", OPEN)


def recorders(stage: Stage, _: Props) -> None:
    """README, TAPE: recordings that take long, until they say what comes in."""
    stage.lives("python -m polybot record cycles=3 intervals=[5m,15m] venue.speed=20", "record: spot")
    stage.lives("python -m polybot record cycles=3 venue.speed=20", "record: spot")
    stage.lives("python -m polybot record cycles=3", "record: spot")
    stage.lives("python -m polybot record cycles=0 intervals=[5m,15m,1h] asset=btc", "record: spot")


def looked_at(stage: Stage, _: Props) -> None:
    """README, DOCTOR: what a run needs, before it begins."""
    stage.ends(".venv/bin/python -m polybot doctor", says=r"ready: \d+ checks")
    assert json.loads(stage.ends("python -m polybot doctor doctor.json=true"))["ready"] is True


def phoned(stage: Stage, _: Props) -> None:
    """TELEGRAM: the set-up, with a Bot API server of the tests in the place of Telegram's."""
    with BotApi() as telegram:
        stage.also = f"telegram.api_url={telegram.url}"
        stage.together("read -rs T", '(umask 077; printf %s "$T" > bot_token)', feed=f"{TOKEN}\n")
        stage.variables["TELEGRAM_BOT_TOKEN_FILE"] = "bot_token"
        telegram.say("hello")
        stage.ends("python -m polybot telegram telegram.check=true", code=1, says=rf"found TELEGRAM_CHAT_ID={CHAT} ")
        stage.variables["TELEGRAM_CHAT_ID"] = str(CHAT)
        stage.ends("python -m polybot telegram telegram.check=true", says=rf"ok +commands are taken from {CHAT}")
        daemon = stage.start("python -m polybot telegram.enabled=true", says=OPEN)
        telegram.wait_for_text("[SIM]")
        telegram.say("/status")
        telegram.wait_for_text("BTC 5m")
        stage.interrupt(daemon, says=STOPPED)
        telegram.wait_for_text("stopped with no order open")
        asked = telegram.calls["setMyCommands"]
        alone = stage.start("python -m polybot telegram", says=f"telegram companion: chat {CHAT}")
        telegram.wait_for(lambda: telegram.calls["setMyCommands"] > asked)  # what was said before is not answered
        telegram.say("/help")
        telegram.wait_for_text("/positions")
        stage.interrupt(alone)
        stage.also = ""
        stage.ends("python -m polybot telegram --help", says=r"telegram\.noise\.halt")


def shown(stage: Stage, _: Props) -> None:
    """ARCHITECTURE, DASHBOARD: the page, served beside a daemon."""
    daemon = stage.start("python -m polybot", says=OPEN)
    page = stage.start("python -m polybot dashboard")
    address = stage.shows(page, SERVED)[0]
    assert b"<html" in _browse(address).lower()
    stage.interrupt(page)
    stage.lives("python -m polybot dashboard port=0", SERVED)
    stage.lives("python -m polybot dashboard run.state_dir=state watch_ms=1000", SERVED)
    stage.interrupt(daemon, says=STOPPED)


def _browse(address: str) -> bytes:
    """As a browser does: the token becomes a cookie, and the page comes without it."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), urllib.request.ProxyHandler({}))
    with browser.open(address) as answer:
        return bytes(answer.read())


def attached(stage: Stage, _: Props) -> None:
    """README, OPERATIONS, VENUE: the embedded venue alone, and who joins it."""
    venue = stage.start("python -m polybot sim venue.speed=20 venue.seed=4")
    stage.where[ADDRESS] = stage.shows(venue, r"venue\.attach=(http\S+)")[1]
    stage.lives("python -m polybot venue.attach=http://127.0.0.1:40591 run.markets=1", OPEN)
    stage.ends("python -m polybot wallet venue.attach=http://127.0.0.1:40591", says="collateral")
    _ask_ledger(
        stage,
        """sqlite3 state/*/ledger.sqlite "SELECT date(day * 86400, 'unixepoch'), strategy, usd / 1e6 FROM pnl\"""",
    )
    stage.lives("python -m polybot record venue.attach=http://127.0.0.1:40591", "record: spot")
    stage.interrupt(venue)
    stage.lives("python -m polybot sim", "stop it:  Ctrl-C")
    stage.ends("install -m 600 /dev/null key && cat > key", feed=f"0x{'4c' * 32}\n")
    assert (stage.checkout / "key").stat().st_mode & 0o777 == 0o600


def _ask_ledger(stage: Stage, line: str) -> None:
    """By the program of the line; where it is not installed, what it asks by Python's own sqlite3."""
    if shutil.which("sqlite3"):
        stage.ends(line)
        return
    (ledger,) = (stage.checkout / "state").glob("*/ledger.sqlite")
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        connection.execute(line.split('"')[1]).fetchall()
    stage.done[plain(line)] = ""


def finished(stage: Stage, _: Props) -> None:
    """PAPER, STRATEGIES: short runs to their end, with the comparison of the books behind it."""
    material.own_strategy(stage.checkout, STRATEGIES)
    stage.ends(
        "python -m polybot mode=paper venue.speed=30 venue.makers=slow run.markets=1",
        says=r"the embedded venue saw 0 orders of ours",
    )
    stage.ends(
        "python -m polybot --config-dir my_conf strategy=[latency_arb,mine] venue.speed=30 venue.makers=slow "
        "run.markets=1",
        says="0 differences",
    )
    stage.lives("python -m polybot strategy=[latency_arb,example] venue.speed=30 venue.makers=slow run.markets=1", OPEN)


def made(stage: Stage, _: Props) -> None:
    """README, OPERATIONS, DEVELOPMENT: make, with everything built."""
    stage.ends("make help", says="make run")
    stage.ends("make build")
    stage.ends("make extras")
    daemon = stage.start("make run")
    address = stage.shows(daemon, r"dashboard +(http://127\.0\.0\.1:\d+/\?token=\S+)")[1]
    assert b"<html" in _browse(address).lower()
    stage.ends(".venv/bin/python -m polybot status", says="entries +open")
    stage.ends(".venv/bin/python -m polybot status --why", says="why not")
    stage.ends(".venv/bin/python -m polybot halt control.reason=news", says="halted: no new orders")
    stage.ends(".venv/bin/python -m polybot resume")
    stage.ends(".venv/bin/python -m polybot kill run.state_dir=state")
    stage.finish(daemon, says=STOPPED)
    daemon = stage.start('make run ARGS="run.markets=12 venue.speed=5"', says=OPEN)
    assert json.loads(stage.ends(".venv/bin/python -m polybot status control.json=true"))
    stage.ends(".venv/bin/python -m polybot.healthcheck state")
    stage.ends(".venv/bin/python -m polybot flatten")
    stage.ends(".venv/bin/python -m polybot kill")
    stage.finish(daemon, says=STOPPED)
    stage.where["<run.state_dir>"] = "state"
    daemon = stage.start(".venv/bin/python -m polybot telemetry.console=plain > run.txt", says=OPEN, watch="run.txt")
    stage.ends("touch <run.state_dir>/KILL")
    stage.finish(daemon)
    (stage.checkout / "state" / "KILL").unlink()
    run = stage.start('make run ARGS="venue.seed=5"', says=OPEN)
    # make waits for the run's end and says "Interrupt" itself.
    stage.interrupt(run, code=-signal.SIGINT, says=STOPPED)
    stage.ends("make demo", says="0 differences")
    stage.ends(".venv/bin/python -m polybot status --why control.market=btc-updown-5m-", says="nearest miss ")
    assert json.loads(stage.ends(".venv/bin/python -m polybot status --why control.market=btc- control.json=true"))


STORIES: Mapping[str, tuple[Callable[[Stage, Props], None], ...]] = {
    "tapes": (recorded, backtested, swept, replayed),
    "days": (held_out,),
    "make": (made,),
    "runs": (started,),
    "recorders": (recorders,),
    "venue": (attached,),
    "doctor": (looked_at,),
    "telegram": (phoned,),
    "dashboard": (shown,),
    "imports": (imported,),
    "ends": (finished,),
}
NEEDS_SHARED = frozenset(
    (
        "python -m polybot score research.data_dir=../shared/data",
        "python -m polybot fit research.data_dir=../shared/data",
    )
)
