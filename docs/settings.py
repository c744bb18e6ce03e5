"""Makes docs/SETTINGS.md: every setting of conf/ with its default, its meaning and unit, and what other choices say.

Owns the layout of that page; names, values and meanings are those of the yaml files.  Run by `make settings`; a test
compares the page with what this makes.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

__all__ = ["settings_page"]

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
PAGE = ROOT / "docs" / "SETTINGS.md"
DEFAULTS = {
    "asset": "btc",
    "interval": "5m",
    "mode": "live",
    "model/vol": "multi",
    "risk": "standard",
    "venue": "sim",
}
ENVIRONMENT = re.compile(r"\$\{oc\.decode:\$\{oc\.env:(\w+),([^}]*)\}\}")
HEAD = """\
# Settings

Every setting there is, made from the files of `conf/` by `make settings`; a test holds the two together. On the command line: `GROUP.NAME=value`; the choice of a whole group:
`risk=conservative`. A name ends with its unit: `_ns _us _ms _s _h` are times (of the wall where the meaning says so, else of the venue: they differ when `venue.speed` is not 1), `_usd` money, `_frac` a fraction of 1, `_bps` 0.0001,
`_ticks` steps of the 1e-4 price grid, `_shares` shares, `_mb` and `_bytes` sizes. `COMMAND --help` lists a command's own, `--cfg job` prints what a command line comes to. A choice of your own is a
file of the same layout in a folder given by `--config-dir`.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of a yaml file: dotted name, value as text, the remark behind it."""

    name: str
    value: str
    meaning: str


def settings_page() -> str:
    """Return the whole page."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(CONF.rglob("*.yaml")):
        if path.parent != CONF:
            groups.setdefault(path.parent.relative_to(CONF).as_posix(), []).append(path)
    parts = [
        HEAD,
        "\n## run\nOf a run as a whole, in `conf/config.yaml`.\n\n",
        *_table(_settings(CONF / "config.yaml"), {}),
    ]
    for group, paths in sorted(groups.items()):
        if group == "strategy":
            for path in paths:
                parts += [f"\n## strategy={path.stem}\n{_about(path)}", *_table(_settings(path), {})]
            continue
        first = next((path for path in paths if path.stem == DEFAULTS.get(group, "default")), paths[0])
        others = {path.stem: {item.name: item for item in _settings(path)} for path in paths if path != first}
        choices = (
            f"Choices: {', '.join(f'`{group}={path.stem}`' for path in paths)}; the default is `{first.stem}`.\n\n"
        )
        parts += [f"\n## {group}\n{_about(first)}{choices if others else ''}\n".replace("\n\n\n", "\n\n")]
        parts += _table(_settings(first), others)
    return "".join(parts)


def _about(path: Path) -> str:
    """The remark at the head of a file."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line[1:].strip())
    return " ".join(lines) + "\n\n" if lines else ""


def _settings(path: Path) -> list[Setting]:
    """The leaves of one file, in its order."""
    text = path.read_text()
    group = path.parent.relative_to(CONF).as_posix()
    package = re.search(r"^# @package (\S+)", text, re.MULTILINE)
    prefix = package[1] if package else group.replace("/", ".")
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    return list(_leaves(root, "" if prefix in ("_global_", ".") else f"{prefix}.", text.splitlines()))


def _leaves(node: yaml.MappingNode, prefix: str, lines: list[str]) -> list[Setting]:
    found = []
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            found += _leaves(value, f"{name}.", lines)
        elif name != "defaults":
            remark = re.search(r"(?:^|\s)# (.*)$", lines[key.start_mark.line])
            found.append(Setting(name, _text(value), remark[1].strip() if remark else ""))
    return found


def _text(node: yaml.Node) -> str:
    """A value as one writes it on the command line."""
    if isinstance(node, yaml.SequenceNode):
        return "[" + ", ".join(_text(item) for item in node.value) + "]"
    if isinstance(node, yaml.MappingNode):
        return ", ".join(f"{key.value} {_text(value)}" for key, value in node.value)
    value = str(node.value)
    if match := ENVIRONMENT.fullmatch(value):
        return f"{match[2]} (environment: {match[1]})"
    return value or "(empty)"


def _table(settings: list[Setting], others: dict[str, dict[str, Setting]]) -> list[str]:
    """Its lines; `others`: what the other choices of the group say, by choice and name."""
    names = {item.name for item in settings}
    only = {item.name: item for choice in others.values() for item in choice.values() if item.name not in names}
    rows = [*settings, *(Setting(item.name, "", item.meaning) for item in only.values())]
    if not others:
        plain = "| setting | default | meaning |\n|---|---|---|\n"
        return [plain, *(f"| `{item.name}` | {_cell(item.value)} | {_cell(item.meaning)} |\n" for item in rows)]
    head = "| setting | default | meaning | other choices |\n|---|---|---|---|\n"
    return [head, *(_wide(item, others) for item in rows)]


def _wide(item: Setting, others: dict[str, dict[str, Setting]]) -> str:
    differing: dict[str, list[str]] = {}
    for choice, settings in others.items():
        if item.name in settings and settings[item.name].value != item.value:
            differing.setdefault(settings[item.name].value, []).append(choice)
    said = "; ".join(f"{', '.join(choices)}: {value}" for value, choices in differing.items())
    return f"| `{item.name}` | {_cell(item.value or '-')} | {_cell(item.meaning)} | {_cell(said)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(settings_page())
    sys.stdout.write(f"written: {PAGE.relative_to(ROOT)}\n")
