"""Which command lines the documents have: each is carried out by a story, or listed with the reason why not."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from polybot.cli import main
from tests.docs.lines import ROOT, command_lines, is_command, plain, python_pieces
from tests.docs.not_here import DOCKER, NOT_HERE, RAY, REAL_VENUE, SERVICE, SUITE

HERE = Path(__file__).parent
TEXTS = {
    plain(node.value)
    for node in ast.walk(ast.parse((HERE / "stories.py").read_text()))
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
}


def test_every_command_line_is_carried_out_or_listed_with_a_reason() -> None:
    unknown = [str(line) for line in command_lines() if plain(line.text) not in TEXTS and line.text not in NOT_HERE]
    assert unknown == []


def test_nothing_is_both_carried_out_and_listed_and_nothing_listed_is_gone() -> None:
    assert {plain(text) for text in NOT_HERE} & TEXTS == set()
    assert set(NOT_HERE) - {line.text for line in command_lines()} == set()
    assert all(NOT_HERE.values())


def test_every_line_of_the_stories_stands_in_the_documents() -> None:
    known = {plain(line.text) for line in command_lines()}
    assert sorted(text for text in TEXTS if is_command(text) and " " in text and text not in known) == []


def test_every_piece_of_python_is_carried_out() -> None:
    assert {title for title in python_pieces() if not title.startswith("docs/STRATEGIES.md")} == {
        text for text in TEXTS if re.match(r"[\w/]+\.md: ", text)
    }


@pytest.mark.parametrize("text", [
    "make run", "python -m polybot status", "X=1 .venv/bin/python -m polybot", "sudo systemctl daemon-reload",
])  # fmt: skip
def test_what_begins_with_a_program_is_a_command_line(text: str) -> None:
    assert is_command(text)


@pytest.mark.parametrize(
    "text", ["polybot.tape.open(folder)", "10:00 BTC", "open orders", "risk standard: bankroll", "import x"]
)
def test_output_and_python_are_none(text: str) -> None:
    assert not is_command(text)


def test_enough_lines_are_found() -> None:
    lines = command_lines()
    assert len({line.text for line in lines}) >= 110
    assert ("README.md", "make run") in {(line.page, line.text) for line in lines}


# -- what can be said of the listed ones ------------------------------------------------------------


def test_listed_make_lines_name_targets_that_are_there() -> None:
    """`make -n` prints what it would do."""
    targets = {match[1] for text in NOT_HERE if (match := re.search(r"\bmake ([a-z]+)$", text))}
    assert {"test", "bench", "clean", "lock"} <= targets
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_files_that_listed_lines_name_are_there() -> None:
    named = {
        word for text in NOT_HERE for word in text.split() if re.fullmatch(r"(tests|docs|deploy)/[\w./-]+", word)
    }
    assert len(named) >= 4
    assert [word for word in named if not (ROOT / word).exists()] == []


def test_settings_of_listed_lines_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Composed and checked as the command would, also those that only a service manager or an engine starts."""
    monkeypatch.chdir(tmp_path)
    composed = 0
    for text in NOT_HERE:
        words = re.search(r"(?:python -m polybot|POLYBOT_ARGS=)([^'|>]*)", text)
        if words and NOT_HERE[text] in (SERVICE, DOCKER, REAL_VENUE):
            assert main([*words[1].replace("0x...", "0").split(), "--cfg", "job"]) == 0, text
            composed += 1
    assert composed >= 8


def test_the_test_that_carries_out_the_lines_of_a_cluster_reads_them_from_the_page() -> None:
    text = (ROOT / "tests" / "backtest" / "test_sweep_process.py").read_text()
    assert "SWEEPS.md" in text
    for line, reason in NOT_HERE.items():
        if reason == RAY:
            assert line.split()[0] in text
    assert SUITE in NOT_HERE.values()
