"""The command line: `python -m polybot [COMMAND] [settings]` to a checked Config, then the command.

Owns the grammar, one-line errors, exit codes and the uvloop runner.  Settings are composed and
checked (polybot.compose) before anything connects or is written.  Imports inside functions keep
`--help` quick.  Called by polybot.__main__ and the console script; tests use `load_config`, `main`.

Exit codes: 0 done, 1 failed, 2 wrong command line or setting, 70 own state contradicts itself,
130 interrupted.
"""

import asyncio
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polybot
from polybot.config import Config
from polybot.config_files import list_choices
from polybot.config_schema import did_you_mean
from polybot.errors import ConfigError, InvariantBroken, PolybotError

if TYPE_CHECKING:
    from polybot.compose import Composition

__all__ = ["EXIT_CONFIG", "entry_point", "load_config", "main", "normalise"]

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_INVARIANT = 70
EXIT_INTERRUPTED = 130
DEFAULT_INTERVAL = "5m"

# A key or an environment variable that would carry a secret; settings ending in _env hold a NAME.
_SECRET_NAME = re.compile(
    r"private_?key|secret|pass(word|phrase)|api_?key|token|mnemonic|seed_?phrase|credential", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"(?<![0-9a-zA-Z])(0x)?[0-9a-fA-F]{64}(?![0-9a-zA-Z])|\b\d{8,10}:[\w-]{30,}")
_ENV_LOOKUP = re.compile(r"oc\.env:\s*([\w.]+)")
_OVERRIDE = re.compile(r"(?P<sign>\+\+|\+|~)?(?P<key>[^=+~\s][^=]*)(=(?P<value>.*))?", re.DOTALL)
_FLAGS = ("--cfg", "--config-dir", "--help", "--resolve", "--version")
_FLAGS_WITH_VALUE = ("--cfg", "--config-dir")


@dataclass(frozen=True, slots=True)
class _Command:
    """One word of the command line: what it does, and what runs it (returns the exit code)."""

    summary: str
    run: Callable[[Config], int]


@dataclass(frozen=True, slots=True)
class _Request:
    """A parsed command line."""

    command: str
    overrides: tuple[str, ...]
    flags: Mapping[str, str]


def entry_point() -> None:
    """Run the command line of this process and exit."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command line; returns the exit code, errors go to stderr in one line."""
    try:
        request = _parse(argv)
        if "--help" in request.flags:
            print(_help_text())
            return 0
        if "--version" in request.flags:
            print(f"polybot {polybot.__version__}")
            return 0
        composition = _compose(request)
        config = composition.config()
        if "--cfg" in request.flags:
            print(composition.yaml(resolve="--resolve" in request.flags), end="")
            return 0
        return _COMMANDS[request.command].run(config)
    except ConfigError as error:
        return _fail(error, EXIT_CONFIG)
    except InvariantBroken as error:
        return _fail(error, EXIT_INVARIANT)
    except PolybotError as error:
        return _fail(error, EXIT_FAILED)
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


def _fail(error: Exception, code: int) -> int:
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
        if word.startswith("-"):
            flag, value = _flag(word, words)
            flags[flag] = value
        elif "=" in word or word.startswith(("~", "+")):
            _refuse_secret(word)
            overrides.append(word)
        elif word in _COMMANDS and not command:
            command = word
        else:
            raise _unknown_word(word, command)
    return _Request(command or "run", normalise(overrides), flags)


def _flag(word: str, rest: list[str]) -> tuple[str, str]:
    """Read one flag and its value, which it takes from `rest`."""
    name, _, value = word.partition("=")
    name = {"-h": "--help", "-c": "--cfg"}.get(name, name)
    if name not in _FLAGS:
        raise ConfigError(f"unknown option {name}{did_you_mean(name, _FLAGS)}")
    if name in _FLAGS_WITH_VALUE and not value:
        if not rest:
            raise ConfigError(f"option {name} needs a value")
        value = rest.pop(0)
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


def _refuse_secret(word: str) -> None:
    """Refuse a secret on the command line (`ps` shows it to everybody); never repeats the value."""
    match = _OVERRIDE.fullmatch(word)
    key, value = (match["key"], match["value"] or "") if match else (word, "")
    name = key.rpartition(".")[2].partition("@")[0]
    if _SECRET_NAME.search(key) and not name.endswith("_env"):
        raise ConfigError(f"{key} looks like a secret: put it in the environment, never on the command line")
    looked_up = _ENV_LOOKUP.search(value)
    if looked_up and _SECRET_NAME.search(looked_up[1]):
        raise ConfigError(f"{key} would copy the secret {looked_up[1]} into the settings: give its name")
    if _SECRET_VALUE.search(value):
        raise ConfigError(f"{key}=(hidden) looks like a secret: put it in the environment")


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
  telemetry.out_dir=logs        the only folder polybot writes to

options:
  --cfg job [--resolve]         print the settings and stop
  --config-dir DIR              a folder with choices of your own (same layout as conf/)
  --help, --version

environment: BANKROLL, MAX_EXPOSURE_FRAC, DAILY_LOSS_HALT, WEEKLY_LOSS_HALT.
exit codes: 0 done, 1 failed, 2 wrong command line or setting, 4 orders may be open, 70 internal contradiction,
            130 interrupted."""


def _compose(request: _Request) -> "Composition":
    from polybot.compose import Composition

    return Composition(request.overrides, _extra_dir(request.flags))


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

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code: int = runner.run(daemon.run(config))
        return code


def _sim(config: Config) -> int:
    """Serve the embedded venue alone."""
    from polybot.sim.process import serve_main

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


_COMMANDS: Mapping[str, _Command] = {
    "run": _Command("trade window after window: discover, connect, trade, settle, repeat", _run),
    "sim": _Command("serve the embedded venue alone on loopback", _sim),
    "campaign": _Command("play many seeded windows in virtual time and judge every strategy", _campaign),
    "fit": _Command("fit the volatility's numbers on recorded data (research.data_dir)", _fit),
    "score": _Command("judge the forecasts on recorded data nothing was fitted on (research.data_dir)", _score),
    "venue-check": _Command("hold the embedded venue against the recorded market", _venue_check),
}
