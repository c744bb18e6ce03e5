"""Every setting of conf/ has its meaning beside it and its row in docs/SETTINGS.md, which is up to date."""

import importlib.util
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import yaml

from polybot.config import config_to_mapping, default_config
from polybot.config_files import conf_dir, list_choices
from tests.docs.lines import ROOT

PAGE = (ROOT / "docs" / "SETTINGS.md").read_text()
ROWS = {
    row[0].strip("`"): row[1:]
    for row in (re.split(r" ?(?<!\\)\| ?", line)[1:-1] for line in PAGE.splitlines() if line.startswith("| `"))
}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """docs/settings.py, which makes the page."""
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "docs" / "settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    __import__("sys").modules["settings_page"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_conf_says_now(maker: ModuleType) -> None:
    """When this fails: make settings."""
    assert maker.settings_page() == PAGE


def names(node: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from names(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix


def test_every_setting_of_the_program_has_a_row_with_a_meaning() -> None:
    """By the program's own list, not by conf: a setting without a file would be missing on the page."""
    wanted = {
        re.sub(r"^(risk\.strategies\.\w+)\.\w+$", r"\1", name) for name in names(config_to_mapping(default_config()))
    }
    assert len(wanted) > 500
    assert sorted(wanted - set(ROWS)) == []
    assert [name for name in wanted if not ROWS[name][1]] == []


@pytest.mark.parametrize(
    "path", sorted(conf_dir().rglob("*.yaml")), ids=lambda path: path.relative_to(conf_dir()).as_posix()
)
def test_every_key_of_every_file_is_on_the_page(path: Any) -> None:
    keys = {name.rpartition(".")[2] for name in names(yaml.safe_load(path.read_text()))}
    group = path.parent.relative_to(conf_dir()).as_posix()
    known = {part for name in ROWS for part in name.split(".")} | {"defaults"}
    inside_rows = {"per_trade_frac", "total_frac", "cooldown_ms", "max_orders_per_market"}
    assert keys - known - inside_rows == set()
    assert group == "." or f"## {group}" in PAGE


def test_every_choice_is_named() -> None:
    for group, choices in list_choices().items():
        for choice in choices if choices != ["default"] else ():
            assert f"`{group}={choice}`" in PAGE or f"## {group}={choice}" in PAGE
