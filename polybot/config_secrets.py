"""What looks like a secret, by its name or by itself: such a thing is never a setting.

Owns the patterns and the refusals: a command line is shown to everybody by `ps`, and settings are printed by
`--cfg job`, so a secret is refused in both before anything is composed, printed or built; the message names the
key, never the value.  A setting that ends in `_env` or `_file` holds the NAME of a variable or a path and is
allowed.  Called by polybot.cli (words), polybot.compose (the composed tree) and polybot.credentials (which
environment variables to take out).
"""

import re
from collections.abc import Mapping
from typing import Any

from polybot.errors import ConfigError

__all__ = ["FIX", "is_secret_name", "is_secret_value", "refuse_secret_settings", "refuse_secret_word"]

FIX = "put it in a file of mode 0600 or in the environment, never in settings or on a command line"

_SECRET_NAME = re.compile(
    r"private_?key|secret|pass(word|phrase|wd)|api_?key|token|mnemonic|seed_?phrase|credential|relayer_?key",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"(?<![0-9a-zA-Z])(0[xX])?[0-9a-fA-F]{64}(?![0-9a-zA-Z])"  # a private key
    r"|(?<!\d)\d{8,12}:[\w-]{30,}"  # a bot token
    r"|^\s*(?:[a-z]{3,8}\s+){11,23}[a-z]{3,8}\s*$"  # a mnemonic
)
_KEY_BITS = 200  # no honest number of a setting is so large; a key read as a number is
# Names that say secret and hold none: names of variables, paths of files.
_HOLDS_A_NAME = re.compile(r".*(_env|_file|_dir|_directory)", re.IGNORECASE)
_ENV_LOOKUP = re.compile(r"oc\.env:\s*([\w.]+)")
_OVERRIDE = re.compile(r"(?P<sign>\+\+|\+|~)?(?P<key>[^=+~\s][^=]*)(=(?P<value>.*))?", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Whether something of this name would be a secret itself (not the name or the place of one)."""
    return _SECRET_NAME.search(name) is not None and _HOLDS_A_NAME.fullmatch(name) is None


def is_secret_value(value: object) -> bool:
    """Whether a value looks like a private key, a bot token or a mnemonic, whatever it is called."""
    if isinstance(value, int):
        return abs(value).bit_length() >= _KEY_BITS
    return isinstance(value, str) and _SECRET_VALUE.search(value) is not None


def refuse_secret_word(word: str) -> None:
    """Refuse a secret in one word of the command line; raises ConfigError without its value."""
    match = _OVERRIDE.fullmatch(word)
    key, value = (match["key"], match["value"] or "") if match else (word, "")
    name = key.rpartition(".")[2].partition("@")[0]
    if is_secret_name(name) or (is_secret_name(key) and not _HOLDS_A_NAME.fullmatch(name)):
        raise ConfigError(f"{key} looks like a secret: {FIX}")
    _refuse_secret_value(key, value)


def refuse_secret_settings(node: Any, path: str = "") -> None:
    """Refuse a secret anywhere in composed settings (files of --config-dir included); raises ConfigError."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            dotted = f"{path}.{key}" if path else str(key)
            if is_secret_name(str(key)):
                raise ConfigError(f"{dotted} looks like a secret: {FIX}")
            refuse_secret_settings(value, dotted)
    elif isinstance(node, list | tuple):
        for number, item in enumerate(node):
            refuse_secret_settings(item, f"{path}[{number}]")
    else:
        _refuse_secret_value(path, node)


def _refuse_secret_value(key: str, value: object) -> None:
    looked_up = _ENV_LOOKUP.search(value) if isinstance(value, str) else None
    if looked_up and is_secret_name(looked_up[1]):
        raise ConfigError(f"{key} would copy the secret {looked_up[1]} into the settings: give its name")
    if is_secret_value(value):
        raise ConfigError(f"{key}=(hidden) looks like a secret: {FIX}")
