"""The page that `make bench-readme` writes: every line of the gates, what is missing, the sections and the machine."""

from pathlib import Path

import pytest

from bench import readme
from bench.gate_table import GateLine, Ledger

LINES = [
    GateLine("P2", "trade | typed", "ok", "x", 4.4, 4.0, True, 1.3, planted=0.5),
    GateLine("P4", "order", "ok", "ns", 300.0, 500.0, scale=1.2, planted=900.0),
    GateLine("P8", "peer clob", "skipped", reason="peer clob is not installed"),
]


def test_page_shows_every_line_with_limit_measurement_and_plant() -> None:
    text = readme.page(LINES, ["P5 was not run"], ["- a machine"], ["## Whole process\nsome text\n"])
    rows = [line for line in text.splitlines() if line.startswith("| P")]
    assert rows == [
        "| P2 | trade ∣ typed | at least 4 x | 4.4 x | 91% | 0.5 x | ok |",
        "| P4 | order | at most 500 ns | 300 ns | 50% | 900 ns | ok |",
        "| P8 | peer clob |  | peer clob is not installed |  |  | skipped |",
    ]
    assert "2 ok, 0 RED, 1 skipped, 0 reported; 0 of the ok needed the slack." in text
    assert "**Missing: P5 was not run.**" in text
    assert "- a machine" in text
    assert "## Whole process\nsome text" in text


def test_page_is_written_from_the_last_figures_and_a_section_that_fails_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger()
    for line in LINES:
        ledger.add(line)
    ledger.write(tmp_path / "gates.json")
    (tmp_path / "good_section.py").write_text("def section(*, is_short):\n    return '## Good\\nfine'\n")
    (tmp_path / "bad_section.py").write_text("def section(*, is_short):\n    raise OSError('no such tool')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    monkeypatch.setattr(readme, "PAGE", tmp_path / "README.md")
    monkeypatch.setattr(readme, "FIGURES", tmp_path / "gates.json")
    monkeypatch.setattr(readme, "SECTIONS", ("good_section",))
    assert readme.main(["--again"]) == 0
    assert "## Good\nfine" in (tmp_path / "README.md").read_text()
    monkeypatch.setattr(readme, "SECTIONS", ("bad_section", "good_section"))
    assert readme.main(["--again"]) == 1
    text = (tmp_path / "README.md").read_text()
    assert "Could not be measured: OSError: no such tool" in text
    assert "## Good\nfine" in text
    assert "bad_section failed" in capsys.readouterr().out


def test_machine_names_processor_peers_and_load() -> None:
    text = "\n".join(readme.Machine().lines())
    assert "cores" in text
    assert "CPython 3." in text
    assert "nautilus_trader 1.231.0" in text
    assert "load of the last minute" in text
