"""A tape as columns, csv, Parquet and DataFrame: the same values everywhere, optional libraries asked for by name."""

import csv
import io
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from tape.recording import record, recorder_config

import polybot.tape
from polybot._fast.event import EVENT_DTYPE, EventKind
from polybot.errors import TapeError
from polybot.tape.reader import Tape


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    folder = tmp_path_factory.mktemp("tape")
    record(recorder_config(), folder)
    return polybot.tape.open(polybot.tape.find_tapes(folder)[0])


def test_every_view_goes_to_parquet_and_comes_back_equal(tape: Tape, tmp_path: Path) -> None:
    made = tape.to_parquet(tmp_path)
    assert [path.stem for path in made] == ["events", "frames", "trades", "quotes", "oracle", "prints", "book"]
    for path in made:
        view = tape.columns(path.stem)
        table = parquet.read_table(path)
        assert table.column_names == list(view)
        for name, column in view.items():
            if column.dtype.kind == "f":
                assert np.array_equal(table[name].to_numpy(), column, equal_nan=True)
            else:
                assert table[name].to_pylist() == column.tolist()


def test_csv_views_hold_every_trade_quote_print_and_book(tape: Tape, tmp_path: Path) -> None:
    made = tape.to_csv(tmp_path)
    assert [path.name for path in made] == ["binance.csv", "polymarket.csv", "book.csv", "market_info.json"]
    rows = {path.stem: list(csv.DictReader(io.StringIO(path.read_text()))) for path in made[:3]}
    trades = [row for row in rows["binance"] if row["type"] == "trade"]
    assert [float(row["price"]) for row in trades] == tape.columns("trades")["price"].tolist()
    quotes = [row for row in rows["binance"] if row["type"] == "quote"]
    assert [float(row["bid"]) for row in quotes] == tape.columns("quotes")["bid"].tolist()
    assert [int(row["recv_ns"]) for row in rows["binance"]] == sorted(int(row["recv_ns"]) for row in rows["binance"])
    prints = [row for row in rows["polymarket"] if row["type"] == "trade"]
    assert [float(row["price"]) for row in prints] == tape.columns("prints")["price"].tolist()
    (strike,) = [row for row in rows["polymarket"] if row["type"] == "strike"]
    assert float(strike["price"]) == tape.strike
    assert len(rows["book"]) == len(tape.columns("book")["recv_ns"])
    assert json.loads(made[3].read_text())["name"] == tape.name


def test_the_book_view_has_the_best_bids_the_venue_told_with_its_changes(tape: Tape) -> None:
    view = tape.columns("book")
    changes = tape.events[tape.events["kind"] == EventKind.EV_BOOK_DELTA]
    told = changes[(changes["x"] >= 0) & (changes["outcome"] == 0)]
    at = np.searchsorted(view["recv_ns"], told["recv_ns"], side="right") - 1
    best = np.nan_to_num(view["bid_price_1"][at] * 10_000)  # the venue says 0 for an empty side
    assert len(told) > 1_000
    assert np.allclose(best, told["x"])


def test_columns_of_events_are_those_of_the_records(tape: Tape) -> None:
    view = tape.columns("events")
    assert tuple(view) == EVENT_DTYPE.names
    assert all(np.array_equal(view[name], tape.events[name], equal_nan=view[name].dtype.kind == "f") for name in view)
    with pytest.raises(TapeError, match="nonsense is no view of a tape: views are events, frames"):
        tape.columns("nonsense")


def test_pandas_gets_the_columns_when_it_is_there(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("pandas")
    module.DataFrame = dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", module)
    assert list(tape.to_pandas("trades")) == list(tape.columns("trades"))


@pytest.mark.parametrize(("name", "how"), [("pandas", "pip install pandas"), ("pyarrow", "make extras")])
def test_without_an_optional_library_the_way_to_it_is_told(
    tape: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TapeError, match=how):
        tape.to_pandas() if name == "pandas" else tape.to_parquet(tmp_path)
