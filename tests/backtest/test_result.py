"""A run's folder: written whole or not at all, read back exactly, refused when it is not what it says."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from polybot._fast.event import QUOTE_DTYPE
from polybot.backtest.result import (
    FILLS_DTYPE,
    MARKETS_DTYPE,
    TABLES,
    ResultWriter,
    is_result,
    load_result,
    settings_digest,
    settings_of,
    tables_digest,
    write_result,
)
from polybot.config import default_config
from polybot.errors import TapeError

INFO = {"kind": "backtest", "strategies": ["a", "b"]}


def quotes(count: int) -> np.ndarray:
    rows = np.zeros(count, QUOTE_DTYPE)
    rows["recv_ns"] = np.arange(count)
    rows["bid_ticks"] = np.arange(count) % 10_000
    return rows


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    markets = np.zeros(2, MARKETS_DTYPE)
    markets["slug"] = ["one", "two"]
    written = write_result(tmp_path / "run", INFO, {"markets": markets, "quotes": quotes(5)})
    found = load_result(tmp_path / "run")
    assert found.table("markets").tobytes() == markets.tobytes()
    assert found.table("quotes").tobytes() == quotes(5).tobytes()
    assert len(found.table("fills")) == 0
    assert found.strategies == ("a", "b")
    assert found.info["tables"]["markets"] == 2
    assert tables_digest(found) == found.info["tables_sha256"] == written.info["tables_sha256"]
    assert is_result(tmp_path / "run")
    assert not is_result(tmp_path)


def test_tables_that_grow_in_pieces_are_the_files_numpy_writes(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / "run") as writer:
        for start in range(0, 3_000, 7):
            writer.append("quotes", quotes(3_000)[start : start + 7])
        result = writer.finish(INFO)
    np.save(tmp_path / "whole.npy", quotes(3_000))
    assert (result.folder / "tables" / "quotes.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert isinstance(result.table("quotes"), np.memmap)


def test_every_table_is_a_data_frame_with_its_columns(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    result = write_result(tmp_path / "run", INFO, {"fills": np.zeros(3, FILLS_DTYPE)})
    for name, dtype in TABLES.items():
        assert list(result.to_pandas(name).columns) == list(dtype.names or ())
    assert len(result.to_pandas()) == 3


def test_a_name_that_is_taken_is_refused_and_what_is_there_stays(tmp_path: Path) -> None:
    write_result(tmp_path / "run", INFO, {"quotes": quotes(4)})
    with pytest.raises(TapeError, match=r"is there already: give another backtest\.name"):
        write_result(tmp_path / "run", INFO, {})
    assert len(load_result(tmp_path / "run").table("quotes")) == 4


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="has other columns"):
        write_result(tmp_path / "run", INFO, {"quotes": quotes(4), "fills": quotes(2)})
    with pytest.raises(TapeError, match="no table prices"):
        write_result(tmp_path / "run", INFO, {"prices": quotes(4)})
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_on_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError(28, "No space left on device")

    def fill_the_disk() -> None:
        with ResultWriter(tmp_path / "run") as writer:
            for file in writer._files.values():
                file.close()
            writer._files = dict.fromkeys(writer._files, Full())
            raise OSError(28, "while writing")

    with pytest.raises(OSError, match="while writing"):
        fill_the_disk()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "text", "other columns"])
def test_a_table_that_is_not_whole_is_named(tmp_path: Path, damage: str) -> None:
    result = write_result(tmp_path / "run", INFO, {"quotes": quotes(400)})
    path = result.folder / "tables" / "quotes.npy"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "text":
        path.write_text("quotes")
    else:
        np.save(path, np.zeros(3, FILLS_DTYPE))
    with pytest.raises(TapeError, match=r"quotes\.npy"):
        load_result(result.folder).table("quotes")


def test_what_is_no_run_or_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="is not the folder of a run"):
        load_result(tmp_path)
    result = write_result(tmp_path / "run", INFO, {})
    document = json.loads((result.folder / "run.json").read_text())
    (result.folder / "run.json").write_text(json.dumps({**document, "version": 99}))
    with pytest.raises(TapeError, match="version 99, this program reads 1"):
        load_result(result.folder)


def test_settings_of_a_run_hold_no_place_of_a_secret_and_their_digest_not_what_changes_nothing() -> None:
    config = default_config()
    settings = settings_of(config)
    assert not [key for key in settings["venue"] if "key" in key or key.endswith(("_env", "_file"))]
    assert "wallet" not in settings
    json.dumps(settings, allow_nan=False)
    base = settings_digest(settings)
    for change in ({"backtest.name": "x"}, {"backtest.report": False}, {"telemetry.out_dir": "x"}):
        assert settings_digest(settings_of(default_config(**change))) == base, change
    for change in ({"backtest.seed": 2}, {"risk.bankroll_usd": 1.0}, {"model.kelly_frac": 0.1}):
        assert settings_digest(settings_of(default_config(**change))) != base, change
