"""The three lines of a notebook: a tape as arrays and a DataFrame, a backtest, its tables."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tape.real_books import SAMPLE, import_sample

from polybot import api
from polybot.backtest.result import TABLES
from polybot.errors import ConfigError, TapeError


@pytest.fixture(scope="module")
def tape(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_sample(shared_dir, tmp_path_factory.mktemp("api"), count=1)[0]


def test_importing_the_api_imports_neither_numpy_nor_the_core() -> None:
    code = "import sys, polybot.api; print([n for n in ('numpy', 'hydra', 'polybot._fast.event') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_tape_is_arrays_and_frames(tape: Path) -> None:
    opened = api.open_tape(tape)
    books = opened.to_pandas("book")
    assert len(books) == SAMPLE[0].frames
    assert {"recv_ns", "bid_price_1", "ask_price_1"} <= set(books.columns)
    assert isinstance(opened.events, np.ndarray)
    with pytest.raises(TapeError, match="is not a tape"):
        api.open_tape(tape.parent)


def test_a_backtest_is_three_lines_and_its_tables_are_data_frames(tape: Path, tmp_path: Path) -> None:
    said: list[str] = []
    result = api.backtest(tape, f"backtest.out_dir={tmp_path}", "backtest.name=first", say=said.append)
    markets = result.to_pandas("markets")
    assert markets["slug"].tolist() == [SAMPLE[0].slug]
    assert markets["outcome"].tolist() == [SAMPLE[0].outcome]
    assert "real books; spot implied from mids, circular" in result.info["label"]
    again = api.open_result(tmp_path / "first")
    for name in TABLES:
        assert again.to_pandas(name).equals(result.to_pandas(name))
        assert list(again.to_pandas(name).columns) == list(TABLES[name].names or ())
    with pytest.raises(TapeError, match="is not"):
        api.open_result(tmp_path)
    with pytest.raises(ConfigError, match="unknown setting"):
        api.backtest([tape], "risk.no_such=1")


def test_what_is_no_log_is_refused(tape: Path) -> None:
    with pytest.raises(TapeError):
        api.replay(tape)
