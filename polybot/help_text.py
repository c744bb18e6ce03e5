"""What `python -m polybot COMMAND --help` prints: the command and the settings of its own group.

Owns the layout of that text.  Names, defaults and meanings are those of conf/GROUP/default.yaml, read as the text it
is, so that there is no second list of them.  Must not compose settings or import what commands need: help is quick.
Called by polybot.cli.
"""

import re
import textwrap
from collections.abc import Collection, Iterator

from polybot.config_files import conf_dir

__all__ = ["command_help", "has_own_settings"]

_LINE = re.compile(r"( *)(\w+):(?: +(?!#)(\S.*?))?(?: +# (.*))?")
_INDENT = 6  # columns before a meaning
_WIDTH = 110  # columns


def has_own_settings(group: str) -> bool:
    """Tell whether conf/ holds one group of settings with that name."""
    return (conf_dir() / group / "default.yaml").is_file()


def command_help(command: str, summary: str, *, group: str, short: Collection[str]) -> str:
    """Return the help of a command whose settings are conf/GROUP/default.yaml; `short`: those that need no prefix."""
    settings = list(_settings(group))
    first = [_entry(name, item) for name, *item in settings if name in short]
    others = [_entry(f"{group}.{name}", item) for name, *item in settings if name not in short]
    parts = [f"usage: python -m polybot {command} [key=value ...] [options]\n\n{summary}"]
    if first:
        parts.append(f"settings, with their defaults ({group}.NAME=... is the same):\n" + "\n".join(first))
    if others:
        parts.append(f"further settings of the group {group}:\n" + "\n".join(others))
    parts.append("all commands, choices and options: python -m polybot --help; every setting: --cfg job")
    return "\n\n".join(parts)


def _settings(group: str) -> Iterator[tuple[str, str, str]]:
    """Yield dotted name, default and meaning of each setting, in the order of the file."""
    parent = ""
    for line in (conf_dir() / group / "default.yaml").read_text(encoding="utf-8").splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        indent, name, value, meaning = match[1], match[2], match[3], match[4] or ""
        if not indent:
            parent = ""
        if value is None:
            parent = f"{name}."
            continue
        yield f"{parent}{name}", value, meaning


def _entry(name: str, item: list[str]) -> str:
    value, meaning = item
    text = textwrap.fill(meaning, _WIDTH, initial_indent=" " * _INDENT, subsequent_indent=" " * _INDENT)
    return f"  {name}={value}\n{text}" if meaning else f"  {name}={value}"
