"""Built-in strategies and their settings: one set of names and defaults, from conf/ to the class."""

import ast
import dataclasses
from pathlib import Path
from typing import Any

import pytest

import polybot
from polybot import strategies
from polybot.assembly import build_strategies
from polybot.config import default_config
from polybot.config_strategy import BUILTIN_PARAMS, DEFAULT_STRATEGIES

FAST = Path(polybot.__file__).parent / "_fast"
NAMES = {target.rpartition(".")[2]: name for name, (target, _) in DEFAULT_STRATEGIES.items()}
GIVEN_TO_ALL = {"edge_se_multiple", "enabled"}
MAX_GATES = 10


def keyword_defaults(class_name: str) -> dict[str, Any]:
    """Keyword arguments of the class as its stub declares them (a compiled class shows no signature)."""
    tree = ast.parse((FAST / f"{NAMES[class_name]}.pyi").read_text())
    made = next(
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    )
    pairs = zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True)
    return {arg.arg: ast.literal_eval(default) for arg, default in pairs if default is not None}


@pytest.mark.parametrize("target", BUILTIN_PARAMS)
def test_the_class_has_the_names_and_defaults_of_its_settings(target: str) -> None:
    class_name = target.rpartition(".")[2]
    settings = {field.name: field.default for field in dataclasses.fields(BUILTIN_PARAMS[target])}
    declared = keyword_defaults(class_name)
    assert {key: value for key, value in declared.items() if key not in GIVEN_TO_ALL} == settings
    assert set(declared) >= GIVEN_TO_ALL
    made = getattr(strategies, class_name)()
    for key, value in settings.items():
        if key != "order_type" and hasattr(made, key):  # the compiled class keeps a code for it
            assert getattr(made, key) == value, key


def test_all_are_loaded_by_default_and_the_last_is_off() -> None:
    config = default_config()
    made = build_strategies(config.strategy, config.model, config.risk)
    assert {strategy.name: strategy.enabled for strategy in made} == {
        "latency_arb": True,
        "certainty_capture": True,
        "convexity_fade": True,
        "strike_misalign": True,
        "lp_extreme": True,
        "cross_timeframe": False,
    }
    assert all(0 < len(strategy.gate_names) <= MAX_GATES for strategy in made)
    assert [strategy.name for strategy in made if strategy.passive] == ["lp_extreme"]


def test_their_size_caps_follow_the_risk_table_and_nothing_else_does() -> None:
    standard, scaled = default_config(), default_config(**{"risk.size_cap_scale": 1.5})
    compared = 0
    for before, after in zip(
        build_strategies(standard.strategy, standard.model, standard.risk),
        build_strategies(scaled.strategy, scaled.model, scaled.risk),
        strict=True,
    ):
        for key in standard.strategy[before.name].params:
            old, new = getattr(before, key, None), getattr(after, key, None)
            if key.startswith("size_cap") and key.endswith("_frac"):
                assert new == pytest.approx(1.5 * old)
                compared += 1
            else:
                assert new == old
    assert compared >= 8
