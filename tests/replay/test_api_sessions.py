"""What a notebook does with a session: replay it, read it as a run, backtest it, hold the two together."""

from pathlib import Path

from polybot import api
from polybot.harness import VirtualRun


def test_a_session_in_a_notebook(lived: VirtualRun, tmp_path: Path) -> None:
    verdict = api.replay(lived.inputs[1])
    assert verdict.is_identical, verdict.text()
    live = api.session(lived.inputs[1], tmp_path / "live")
    tested = api.backtest_session(lived.inputs[1], tmp_path / "tested")
    assert live.to_pandas("signals").columns.tolist() == tested.to_pandas("signals").columns.tolist()
    found = api.compare(live, tested)
    assert found.signals_equal, found
    assert api.open_result(tmp_path / "tested").info["totals"] == tested.info["totals"]
