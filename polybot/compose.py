"""Compose conf/ and overrides with hydra into a checked Config; every refusal is one line.

Owns hydra and omegaconf: no other module imports them.  Writes nothing, starts no logging, leaves
no hydra state behind that the next composition would see.  Called by polybot.cli.
"""

import copy
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from polybot.config import Config, config_from_mapping
from polybot.config_files import conf_dir, list_choices
from polybot.config_schema import did_you_mean
from polybot.config_secrets import refuse_secret_settings
from polybot.errors import ConfigError

__all__ = ["ENVIRONMENT", "Composition", "swept_values"]

# Environment variables that conf/risk/ reads.
ENVIRONMENT = ("BANKROLL", "MAX_EXPOSURE_FRAC", "DAILY_LOSS_HALT", "WEEKLY_LOSS_HALT")
_UNKNOWN_KEY = re.compile(r"(?:Could not override|Could not delete from config\.|Key) '([\w@./-]+)'")
_SEVERAL = re.compile(r"Ambiguous value for argument '([^']*)'")


class Composition:
    """conf/ with overrides: as yaml for the operator, as Config for the program.

    Overrides are hydra's (`key=value`, `+key=value`, `~key`), in order; extra_dir holds more choices.
    Raises ConfigError when hydra cannot compose them.
    """

    def __init__(
        self, overrides: Sequence[str], extra_dir: Path | None = None, *, node: Any = None
    ) -> None:
        self._overrides = tuple(overrides)
        self._extra_dir = extra_dir
        self._node = self._compose() if node is None else node

    def yaml(self, *, resolve: bool) -> str:
        """Return the settings as yaml; resolve replaces interpolations by their values."""
        return OmegaConf.to_yaml(self._node, resolve=resolve)

    def config(self) -> Config:
        """Resolve, check and build; raises ConfigError, for a secret before anything of it is shown."""
        refuse_secret_settings(OmegaConf.to_container(self._node, resolve=False))
        try:
            mapping = OmegaConf.to_container(self._node, resolve=True)
        except OmegaConfBaseException as error:
            key = getattr(error, "full_key", None) or "a setting"
            raise ConfigError(f"{key} cannot be resolved: {_first_line(error)}{_environment()}") from None
        assert isinstance(mapping, dict)
        refuse_secret_settings(mapping)
        return config_from_mapping({str(key): value for key, value in mapping.items()})

    def varied(self, values: Sequence[str]) -> "Composition":
        """The same with more overrides behind the others, which choose of no group: ten times quicker than anew."""
        overrides = (*self._overrides, *values)
        node = copy.deepcopy(self._node)
        try:
            for item in OverridesParser.create().parse_overrides(list(values)):
                if item.type is not OverrideType.CHANGE:
                    return Composition(overrides, self._extra_dir)
                OmegaConf.update(node, item.key_or_group, item.value(), merge=True)
        except (HydraException, OmegaConfBaseException):
            return Composition(overrides, self._extra_dir)  # which says what is wrong with it
        return Composition(overrides, self._extra_dir, node=node)

    def _compose(self) -> Any:
        try:
            return _compose(self._overrides, self._extra_dir)
        except OverrideParseException as error:
            raise ConfigError(f"cannot read {error.override}: {_first_line(error)}") from None
        except MissingConfigException as error:
            raise self._missing_choice(str(error.missing_cfg_file or "")) from None
        except (HydraException, OmegaConfBaseException) as error:
            key = _UNKNOWN_KEY.search(str(error))
            several = _SEVERAL.search(str(error))
            if several is not None:
                name, _, values = several[1].partition("=")
                how = f"a list is written {name}=[{values}]; several runs need backtest -m"
                raise ConfigError(f"{several[1]}: {how}") from None
            if key is None:
                raise ConfigError(_first_line(error)) from None
            raise self._unknown_key(key[1]) from None

    def _missing_choice(self, path: str) -> ConfigError:
        """Say which choice of which group does not exist."""
        group, _, word = path.removesuffix(".yaml").rpartition("/")
        choices = list_choices(self._extra_dir).get(group, [])
        if not choices:
            return self._unknown_key(group or word)
        return ConfigError(
            f"{group}={word} is not allowed: must be one of {', '.join(choices)}{did_you_mean(word, choices)}"
        )

    def _unknown_key(self, key: str) -> ConfigError:
        """Suggest the nearest setting or group that exists with the choices made."""
        groups = list_choices(self._extra_dir)
        choices = [text for text in self._overrides if text.lstrip("+").partition("=")[0] in groups]
        plain = OmegaConf.to_container(_compose(choices, self._extra_dir), resolve=False)
        near = did_you_mean(key, [*_dotted(plain), *groups])
        made = [text for text in choices if text.partition("=")[0] == key.partition(".")[0]]
        where = f" with {made[0]}" if made else ""
        return ConfigError(f"unknown setting {key}{where}{near or '; --cfg job lists all settings'}")


def swept_values(overrides: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return every override that lists several values (`key=a,b,c`, `range(...)`) with those values, in order.

    As hydra's own sweeper reads them: brackets and quotes hold a value together.  Raises ConfigError.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise ConfigError(f"cannot read {error.override}: {_first_line(error)}") from None
    found: dict[str, tuple[str, ...]] = {}
    for item in parsed:
        if item.is_sweep_override():
            if not item.is_discrete_sweep():
                raise ConfigError(f"cannot read {item.input_line}: give a list a,b,c (or low:high for a search)")
            found[item.get_key_element()] = tuple(item.sweep_string_iterator())
    return found


def _compose(overrides: Sequence[str], extra_dir: Path | None) -> Any:
    search = [f"hydra.searchpath=[file://{extra_dir}]"] if extra_dir else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), job_name="polybot", version_base="1.3"):
        return compose("config", overrides=[*search, *overrides])


def _dotted(node: Any, path: str = "") -> Iterable[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        dotted = f"{path}.{key}" if path else str(key)
        yield dotted
        yield from _dotted(value, dotted)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _environment() -> str:
    """Name the environment variables that feed settings, when one is set."""
    names = [name for name in ENVIRONMENT if name in os.environ]
    return f" (set in the environment: {', '.join(names)})" if names else ""
