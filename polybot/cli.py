"""The command line: `python -m polybot [COMMAND] [settings]` to a checked Config, then the command.

Owns the grammar, one-line errors, exit codes and the uvloop runner.  Settings are composed and
checked (polybot.compose) before anything connects or is written.  Imports inside functions keep
`--help` quick.  Called by polybot.__main__ and the console script; tests use `load_config`, `main`.

Exit codes: 0 done, 1 failed, 2 wrong command line or setting, 3 no running daemon to talk to, 4 orders may be open,
70 own state contradicts itself, 130 interrupted.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import polybot
from polybot.config import Config
from polybot.config_cache import recall_config
from polybot.config_files import list_choices
from polybot.config_schema import did_you_mean
from polybot.config_secrets import FIX, is_secret_value, refuse_secret_word
from polybot.errors import ConfigError, InvariantBroken, NoDaemon, PolybotError
from polybot.help_text import command_help, has_own_settings

if TYPE_CHECKING:
    from polybot.compose import Composition

__all__ = ["EXIT_CONFIG", "entry_point", "load_config", "main", "normalise"]

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_NO_DAEMON = 3
EXIT_INVARIANT = 70
EXIT_INTERRUPTED = 130
DEFAULT_INTERVAL = "5m"

_FLAGS = ("--cfg", "--config-dir", "--help", "--multirun", "--resolve", "--step", "--version", "--why")
_FLAGS_WITH_VALUE = ("--cfg", "--config-dir")
# Commands whose group of settings has another name.
_GROUPS: Mapping[str, str] = {
    "import": "record", "status": "control", "halt": "control", "resume": "control", "flatten": "control",
    "kill": "control",
}  # fmt: skip
_ANALYZE_SHORT = (
    "paths", "by", "kind", "run", "label", "strategy", "asset", "interval", "market", "outcome", "from_day", "to_day",
    "min_fills", "min_pnl_usd", "max_pnl_usd", "sort", "limit_count", "output", "out_file",
)  # fmt: skip
_BACKTEST_SHORT = (
    "tapes", "out_dir", "name", "cores", "seed", "order_latency_ms", "cancel_latency_ms", "latency_factor", "confirm_s",
    "queue", "extra_ticks", "spot_delay_s", "balance_usd", "sample_s", "flattery", "keep_signals", "days", "intervals",
)  # fmt: skip
# Settings of a command's own group that need no prefix beside it.
_SHORT: Mapping[str, tuple[str, ...]] = {
    "analyze": _ANALYZE_SHORT,
    "backtest": _BACKTEST_SHORT,
    "dashboard": ("port", "watch_ms"),
    "flatten": ("reason", "account", "json"),
    "halt": ("reason", "account", "json"),
    "import": ("source", "source_format", "markets_file", "out_dir"),
    "kill": ("reason", "account", "json"),
    "record": ("cycles", "intervals", "out_dir"),
    "replay": ("source", "step"),
    "report": ("source", "live", "out_dir"),
    "resume": ("reason", "account", "json"),
    "status": ("why", "market", "account", "json"),
    "wallet": ("action", "market", "shares", "confirm"),
}


@dataclass(frozen=True, slots=True)
class _Command:
    """One word of the command line: what it does, and what runs it (returns the exit code)."""

    summary: str
    run: Callable[[Config], int]


@dataclass(frozen=True, slots=True)
class _Request:
    """A parsed command line."""

    command: str
    is_named: bool  # False: the default command, for which no word stood
    overrides: tuple[str, ...]
    flags: Mapping[str, str]


def entry_point() -> None:
    """Run the command line of this process and exit."""
    words = [word for word in sys.argv[1:] if word in _COMMANDS]
    early = _EARLY_ENDS.get(words[0] if words else "run")
    if early is not None:  # a daemon that is told to stop while it still loads has nothing to undo
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, early)
    code = main(sys.argv[1:])
    if early is not None:  # what is left is the interpreter's own end, in which a signal would hide the code
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _stop_early(number: int, frame: FrameType | None) -> None:
    """Until the daemon listens itself."""
    sys.stderr.write("polybot: stopped before it began to trade\n")
    raise SystemExit(0)


def _stop_unrecorded(number: int, frame: FrameType | None) -> None:
    """Until the recorder listens itself."""
    sys.stderr.write("polybot: stopped before it began to record\n")
    raise SystemExit(0)


_EARLY_ENDS = {"run": _stop_early, "record": _stop_unrecorded}


def _keep_code(code: int) -> None:
    """The run is over and `code` its last word: a signal from now on ends the process with it, never with 0."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is _stop_early:
            signal.signal(number, lambda *caught: os._exit(code))


def main(argv: Sequence[str]) -> int:
    """Run one command line; returns the exit code, errors go to stderr in one line."""
    try:
        request = _parse(argv)
        if "--help" in request.flags:
            print(_help_of(request.command) if request.is_named else _help_text())
            return 0
        if "--version" in request.flags:
            print(f"polybot {polybot.__version__}")
            return 0
        if "--multirun" in request.flags:
            return _multirun(request)
        if "--cfg" in request.flags:
            composition = _compose(request)
            composition.config()
            print(composition.yaml(resolve="--resolve" in request.flags), end="")
            return 0
        return _COMMANDS[request.command].run(_config(request))
    except ConfigError as error:
        return _fail(error, EXIT_CONFIG)
    except NoDaemon as error:
        return _fail(error, EXIT_NO_DAEMON)
    except InvariantBroken as error:
        return _fail(error, EXIT_INVARIANT)
    except PolybotError as error:
        return _fail(error, EXIT_FAILED)
    except OSError as error:  # a folder that cannot be written, a port in use
        return _fail(f"{type(error).__name__}: {error}", EXIT_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def load_config(overrides: Sequence[str] = ()) -> Config:
    """Compose conf/ with overrides as on the command line; raises ConfigError."""
    return _compose(_parse(overrides)).config()


def normalise(overrides: Sequence[str]) -> tuple[str, ...]:
    """Make `interval=5m`, `+interval=5m` and none the same: exactly one `+interval=`.

    Hydra accepts only one of the three, whatever the defaults list says.
    """
    others = [text for text in overrides if not re.match(r"\+{0,2}interval=", text)]
    chosen = [text for text in overrides if re.match(r"\+{0,2}interval=", text)]
    if len(chosen) > 1:
        raise ConfigError(f"interval is given {len(chosen)} times: {' '.join(chosen)}")
    value = chosen[0].partition("=")[2] if chosen else DEFAULT_INTERVAL
    return (f"+interval={value}", *others)


def _fail(error: Exception | str, code: int) -> int:
    print(f"polybot: error: {error}", file=sys.stderr)
    return code


# -- grammar ----------------------------------------------------------------------------------------


def _parse(argv: Sequence[str]) -> _Request:
    """Split the words into command, settings and flags; raises ConfigError."""
    command = ""
    overrides: list[str] = []
    flags: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if "=" not in word and is_secret_value(word):
            raise ConfigError(f"a word of the command line (hidden) looks like a secret: {FIX}")
        if word.startswith("-"):
            flag, value = _flag(word, words)
            flags[flag] = value
        elif "=" in word or word.startswith(("~", "+")):
            refuse_secret_word(word)
            overrides.append(word)
        elif word in _COMMANDS and not command:
            command = word
        else:
            raise _unknown_word(word, command)
    if "--step" in flags:
        if command != "replay":
            raise ConfigError("--step belongs to the command replay: replay --step source=FOLDER")
        overrides.append("step=true")
    if "--why" in flags:
        if command != "status":
            raise ConfigError("--why belongs to the command status: status --why")
        overrides.append("control.why=true")
    return _Request(command or "run", bool(command), normalise([_in_full(command, word) for word in overrides]), flags)


def _in_full(command: str, word: str) -> str:
    """Write out a setting that a command lets be written short: `wallet action=redeem` is wallet.action."""
    group = _GROUPS.get(command, command)
    return f"{group}.{word}" if word.partition("=")[0] in _SHORT.get(command, ()) else word


def _flag(word: str, rest: list[str]) -> tuple[str, str]:
    """Read one flag and its value, which it takes from `rest`."""
    name, _, value = word.partition("=")
    name = {"-h": "--help", "-c": "--cfg", "-m": "--multirun"}.get(name, name)
    if name not in _FLAGS:
        raise ConfigError(f"unknown option {name}{did_you_mean(name, _FLAGS)}")
    if name in _FLAGS_WITH_VALUE and not value:
        if not rest:
            raise ConfigError(f"option {name} needs a value")
        value = rest.pop(0)
    if is_secret_value(value):
        raise ConfigError(f"{name} (hidden) looks like a secret: {FIX}")
    if name == "--cfg" and value != "job":
        raise ConfigError(f"--cfg={value} is not allowed: must be job")
    return name, value


def _unknown_word(word: str, command: str) -> ConfigError:
    if command:
        return ConfigError(f"unexpected word {word} after {command}: settings are key=value")
    choices = list_choices().get(word)
    if choices:
        return ConfigError(f"{word} needs a value: {word}=... with one of {', '.join(choices)}")
    near = did_you_mean(word, _COMMANDS)
    return ConfigError(f"unknown command {word}: commands are {', '.join(_COMMANDS)}{near}")


def _help_of(command: str) -> str:
    """Return the help of one command: of those with settings of their own these, of the others the whole."""
    group = _GROUPS.get(command, command)
    if not has_own_settings(group) or command == "run":
        return _help_text()
    return command_help(command, _COMMANDS[command].summary, group=group, short=_SHORT.get(command, ()))


def _help_text() -> str:
    groups = "\n".join(f"  {name + '=':<16}{' '.join(choices)}" for name, choices in list_choices().items())
    commands = "\n".join(f"  {name:<16}{item.summary}" for name, item in _COMMANDS.items())
    return f"""\
usage: python -m polybot [COMMAND] [key=value ...] [options]

commands (run when none is given):
{commands}

choices:
{groups}

often used settings (all of them: --cfg job):
  run.markets=3                 stop after three windows (0: endless)
  risk.bankroll_usd=500         capital base of the risk table
  venue.speed=30                embedded venue: 30 venue seconds per second
  venue.makers=slow             embedded venue: instant, lagged or slow quotes
  venue.seed=7                  embedded venue: same seed, same behaviour
  telemetry.out_dir=logs        where logs and CSV files go
  run.state_dir=state           where the money journal lives, and what the commands above look for a daemon in

options:
  --cfg job [--resolve]         print the settings and stop
  -m, --multirun                backtest only: key=a,b,c runs every combination (docs/SWEEPS.md)
  --config-dir DIR              a folder with choices of your own (same layout as conf/)
  --step                        replay only: step through the markets of source=FOLDER on the terminal
  --why                         status only: why there was no trade (control.market=SLUG: in one window, live or over)
  --help, --version             COMMAND --help lists the settings of that command

environment: BANKROLL, MAX_EXPOSURE_FRAC, DAILY_LOSS_HALT, WEEKLY_LOSS_HALT; keys: docs/OPERATIONS.md, Keys.
exit codes: 0 done, 1 failed, 2 wrong command line or setting, 3 no running daemon, 4 orders may be open,
            70 internal contradiction, 130 interrupted."""


def _compose(request: _Request) -> "Composition":
    from polybot.compose import Composition

    return Composition(request.overrides, _extra_dir(request.flags))


def _config(request: _Request) -> Config:
    """The checked settings; those of a run are kept, it must be ready soon."""
    if request.command != "run":
        return _compose(request).config()
    return recall_config(request.overrides, _extra_dir(request.flags), lambda: _compose(request).config())


def _extra_dir(flags: Mapping[str, str]) -> Path | None:
    if "--config-dir" not in flags:
        return None
    folder = Path(flags["--config-dir"]).expanduser().resolve()
    if not folder.is_dir():
        raise ConfigError(f"--config-dir={flags['--config-dir']} is not allowed: must be a folder")
    if str(folder) not in sys.path:  # a strategy's module may lie beside its settings; last: it hides nothing
        sys.path.append(str(folder))
    return folder


# -- commands ---------------------------------------------------------------------------------------


def _run(config: Config) -> int:
    """Trade window after window."""
    import uvloop

    from polybot import daemon
    from polybot.credentials.process import harden_process

    harden_process()
    async def run() -> int:
        code = EXIT_FAILED
        try:
            code = await daemon.run(config)
        finally:
            _keep_code(code)
        return code

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def _sim(config: Config) -> int:
    """Serve the embedded venue alone."""
    from polybot.sim.child import serve_main

    code: int = serve_main(config)
    return code


def _campaign(config: Config) -> int:
    """Play many seeded windows in virtual time and judge every strategy."""
    from polybot import campaign

    return campaign.run(config)


def _fit(config: Config) -> int:
    """Fit the volatility's numbers on recorded data."""
    from polybot.research import fit

    return fit.run(config)


def _score(config: Config) -> int:
    """Judge the forecasts on recorded data."""
    from polybot.research import score

    return score.run(config)


def _venue_check(config: Config) -> int:
    """Hold the embedded venue against the recorded market."""
    from polybot.research import venue_check

    return venue_check.run(config)


def _control(verb: str) -> Callable[[Config], int]:
    """One command of the control socket."""

    def ask(config: Config) -> int:
        from polybot.control import client

        code: int = client.run(config, verb)
        return code

    return ask


def _dashboard(config: Config) -> int:
    """Show the daemons that run in a browser."""
    import uvloop

    from polybot.telemetry.dashboard import serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code: int = runner.run(serving.run_alone(config))
        return code


def _telegram(config: Config) -> int:
    """Alerts to a phone and commands from it, beside a daemon that runs."""
    from polybot.telemetry.telegram import command

    code: int = command.run(config)
    return code


def _wallet(config: Config) -> int:
    """Show the account, or carry out one confirmed transaction."""
    from polybot.credentials.process import harden_process
    from polybot.wallet import command

    harden_process()
    code: int = asyncio.run(command.run(config))
    return code


def _doctor(config: Config) -> int:
    """Look at everything a run needs."""
    import uvloop

    from polybot.credentials.process import harden_process
    from polybot.doctor import command

    harden_process()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code: int = runner.run(command.run(config))
        return code


def _backtest(config: Config) -> int:
    """Run the strategies over tapes."""
    from polybot.backtest import command

    code: int = command.run(config)
    return code


def _multirun(request: _Request) -> int:
    """Run a command line that stands for many backtests."""
    from polybot import multirun

    if request.command != "backtest":
        raise ConfigError(f"--multirun is for backtest, not for {request.command}")
    extra_dir = _extra_dir(request.flags)
    if "--cfg" in request.flags:
        print(multirun.settings_yaml(request.overrides, extra_dir, resolve="--resolve" in request.flags), end="")
        return 0
    code: int = multirun.run(request.overrides, extra_dir)
    return code


def _analyze(config: Config) -> int:
    """Put many runs into one table."""
    from polybot.analyze import command

    code: int = command.run(config.analyze)
    return code


def _record(config: Config) -> int:
    """Record live feeds on tapes."""
    import uvloop

    from polybot.tape import record

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code: int = runner.run(record.run(config))
        return code


def _replay(config: Config) -> int:
    """Run logged inputs again and compare every command."""
    from polybot.replay import command

    code: int = command.run(config)
    return code


def _report(config: Config) -> int:
    """Make the page of a run."""
    from polybot.report import command

    code: int = command.run(config)
    return code


def _import(config: Config) -> int:
    """Turn recordings made elsewhere into tapes."""
    from polybot.tape.importers import import_configured

    code: int = import_configured(config)
    return code


_COMMANDS: Mapping[str, _Command] = {
    "run": _Command("trade window after window: discover, connect, trade, settle, repeat", _run),
    "status": _Command("running daemon: what it does, holds and waits for (control.json=true)", _control("status")),
    "halt": _Command("running daemon: no new orders, cancel what rests; kept over a restart", _control("halt")),
    "resume": _Command("running daemon: lift a manual halt", _control("resume")),
    "flatten": _Command("running daemon: halt, cancel all, sell what is held", _control("flatten")),
    "kill": _Command("running daemon: halt, cancel all, stop; a restart stays halted", _control("kill")),
    "doctor": _Command("look at everything a run needs; each failure names its fix (doctor.json=true)", _doctor),
    "dashboard": _Command("serve a page that shows running daemons in a browser of this machine", _dashboard),
    "sim": _Command("serve the embedded venue alone on loopback", _sim),
    "record": _Command("live feeds to tapes, without trading (cycles=3: three windows of each interval)", _record),
    "replay": _Command("run a logged session again, every command compared byte for byte (source=FOLDER)", _replay),
    "report": _Command("a run as one HTML page and a picture (source=runs/NAME)", _report),
    "import": _Command("recordings made elsewhere to tapes (source=FILE or FOLDER)", _import),
    "analyze": _Command("one table over many runs, sweeps and sessions (by=[day,strategy] sort=-pnl_usd)", _analyze),
    "backtest": _Command("the strategies over recorded windows, fills simulated (tapes=FOLDER)", _backtest),
    "campaign": _Command("play many seeded windows in virtual time and judge every strategy", _campaign),
    "telegram": _Command("alerts to a phone, commands from it (telegram.check=true: test the set-up)", _telegram),
    "fit": _Command("fit the volatility's numbers on recorded data (research.data_dir)", _fit),
    "score": _Command("judge the forecasts on recorded data nothing was fitted on (research.data_dir)", _score),
    "wallet": _Command("show balances; with action=approve, redeem or merge: one confirmed transaction", _wallet),
    "venue-check": _Command("hold the embedded venue against the recorded market", _venue_check),
}
