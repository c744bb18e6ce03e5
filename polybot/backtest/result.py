"""The folder of a run: run.json and tables of plain records, the same for a backtest and for a session that was traded.

Owns the columns of every table, and that a folder is written whole or not at all: everything goes beside its place and
is moved there, so a folder that is there is a whole one.  Tables are .npy files, mapped into memory when read.
Money is micro-USD, sizes micro-shares, prices ticks of 1e-4, times ns since the epoch as received.
Must not compute scores.  Called by run, scores, report, analyze and programs.
"""

import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

import polybot
from polybot._fast.event import COMMAND_DTYPE, QUOTE_DTYPE
from polybot.backtest.seconds import SECONDS_DTYPE
from polybot.config import Config, config_to_mapping
from polybot.errors import TapeError

__all__ = [
    "FILLS_DTYPE",
    "LATENCY_DTYPE",
    "MARKETS_DTYPE",
    "QUOTE_DTYPE",
    "SAMPLES_DTYPE",
    "TABLES",
    "Result",
    "ResultWriter",
    "is_result",
    "load_result",
    "settings_digest",
    "settings_of",
    "tables_digest",
    "write_result",
]

FORMAT = "polybot-run"
VERSION = 1
INFO_NAME = "run.json"
TABLES_NAME = "tables"

Table = npt.NDArray[np.void]

# A row per window that was opened.  `counted` is in PnL: traded, and its outcome known; pnl = payout - cost.
MARKETS_DTYPE = np.dtype(
    [
        ("index", "<u2"),
        ("slug", "<U64"),
        ("asset", "<U8"),
        ("interval", "<U4"),
        ("start_ns", "<i8"),
        ("end_ns", "<i8"),
        ("strike", "<f8"),  # USD; nan: the engine was never told one
        ("strike_source", "<i4"),  # StrikeSource
        ("outcome", "<i1"),  # 0 Up, 1 Down, -1 not known
        ("counted", "?"),
        ("label", "<U48"),  # where its tape is from
        ("day", "<i4"),  # of its start, UTC days since the epoch
        ("events", "<i8"),  # records of its own tape that the engine was given
        ("gap_ns", "<i8"),  # time inside the window for which its tape lacks data
        ("pnl", "<i8"),
        ("cost", "<i8"),  # of all fills, with fees
        ("payout", "<i8"),
        ("fees", "<i8"),
        ("fills", "<i4"),
        ("observed", "?"),  # followed for other windows' sake, never traded
        ("signals", "<i4"),
        ("orders", "<i4"),  # that left
    ]
)
# A row per match, as it was last told (a FAILED one stays, with its status).
FILLS_DTYPE = np.dtype(
    [
        ("recv_ns", "<i8"),  # when we were told
        ("decided_ns", "<i8"),  # when its order was decided
        ("market", "<u2"),
        ("strategy", "<u1"),
        ("outcome", "<u1"),
        ("side", "<u1"),
        ("maker", "?"),
        ("order_seq", "<i8"),
        ("price_ticks", "<i4"),
        ("expected_ticks", "<i4"),  # average price expected when it was decided, a maker's: its limit
        ("shares", "<i8"),
        ("fee", "<i8"),
        ("cost", "<i8"),  # cash out with fee; negative: cash in
        ("status", "<i1"),  # TradeStatus
        ("fair", "<f8"),  # of its signal, of the outcome that was traded
        ("edge", "<f8"),
        ("confidence", "<f8"),
        ("tau_s", "<f8"),
        ("spot", "<f8"),
    ]
)
SAMPLES_DTYPE = np.dtype(
    [
        ("recv_ns", "<i8"),
        ("market", "<u2"),
        ("tau_s", "<f8"),
        ("fair", "<f8"),  # the engine's probability of Up, nan: not known
        ("mid", "<f8"),  # of Up, nan: a side is empty
        ("spot", "<f8"),
    ]
)
LATENCY_DTYPE = np.dtype(
    [
        ("order_seq", "<i8"),
        ("decided_ns", "<i8"),
        ("arrived_ns", "<i8"),  # at the venue, on the clock of what we receive
        ("told_ns", "<i8"),  # what became of it was known (a hold is over by then); 0: never
    ]
)
TABLES: Mapping[str, "np.dtype[Any]"] = {
    "markets": MARKETS_DTYPE,
    "fills": FILLS_DTYPE,
    "signals": COMMAND_DTYPE,
    "orders": COMMAND_DTYPE,
    "quotes": QUOTE_DTYPE,
    "samples": SAMPLES_DTYPE,
    "latency": LATENCY_DTYPE,
    "seconds": SECONDS_DTYPE,
}


@dataclass(frozen=True)
class Result:
    """One run as its folder has it; tables are read when asked for."""

    folder: Path
    info: Mapping[str, Any]
    _loaded: dict[str, Table] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def strategies(self) -> tuple[str, ...]:
        """Names by index, as the tables count them."""
        return tuple(self.info["strategies"])

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def table(self, name: str) -> Table:
        """One of TABLES, read-only, mapped into memory; raises TapeError when it is not whole."""
        if name not in TABLES:
            raise TapeError(f"no table {name}: there are {', '.join(TABLES)}")
        if name not in self._loaded:
            self._loaded[name] = _read_table(self.folder / TABLES_NAME / f"{name}.npy", TABLES[name])
        return self._loaded[name]

    def to_pandas(self, name: str = "fills") -> Any:
        """Return a table as a DataFrame; raises TapeError without pandas."""
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise TapeError("this needs pandas: make extras") from None
        return pandas.DataFrame({column: self.table(name)[column] for column in TABLES[name].names or ()})


class ResultWriter:
    """A run's folder being written, beside its place; tables grow on disk, not in memory."""

    def __init__(self, folder: Path) -> None:
        """Raises TapeError when the folder is there already, OSError for the disk."""
        if folder.exists():
            raise TapeError(f"{folder} is there already: give another backtest.name")
        self.folder = folder
        self._part = folder.with_name(f".{folder.name}.part-{os.getpid()}")
        shutil.rmtree(self._part, ignore_errors=True)
        (self._part / TABLES_NAME).mkdir(parents=True)
        self._files = {name: (self._part / TABLES_NAME / f"{name}.npy").open("w+b") for name in TABLES}
        self._digests = {name: hashlib.sha256() for name in TABLES}
        self.counts = dict.fromkeys(TABLES, 0)
        for name in TABLES:
            self._put_header(name)

    def __enter__(self) -> "ResultWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing of a run that was not finished."""
        try:
            for file in self._files.values():
                with suppress(OSError):  # a full disk has been told by the write that failed
                    file.close()
        finally:
            shutil.rmtree(self._part, ignore_errors=True)

    def append(self, name: str, rows: Table) -> None:
        """Add rows to a table; raises TapeError when they have other columns or there is no such table."""
        if name not in TABLES:
            raise TapeError(f"no table {name}: there are {', '.join(TABLES)}")
        if rows.dtype != TABLES[name] or rows.ndim != 1:
            raise TapeError(f"table {name} has other columns: {rows.dtype}")
        if len(rows):
            data = rows.tobytes()
            self._files[name].write(data)
            self._digests[name].update(data)
            self.counts[name] += len(rows)

    def finish(self, info: Mapping[str, Any]) -> "Result":
        """Write run.json and move the folder to its place."""
        for name, file in self._files.items():
            file.seek(0)
            self._put_header(name)
            file.close()
        document = {
            "format": FORMAT,
            "version": VERSION,
            "program": f"polybot {polybot.__version__}",
            **info,
            "tables": self.counts,
            "tables_sha256": _digest({name: one.hexdigest() for name, one in self._digests.items()}),
        }
        (self._part / INFO_NAME).write_text(json.dumps(document, indent=1) + "\n")
        self._part.replace(self.folder)
        return load_result(self.folder)

    def _put_header(self, name: str) -> None:
        """As np.save writes it; numpy pads it so that it does not grow with the number of rows."""
        head = {"descr": np.lib.format.dtype_to_descr(TABLES[name]), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._files[name], {**head, "shape": (self.counts[name],)})


def write_result(folder: Path, info: Mapping[str, Any], tables: Mapping[str, Table]) -> Result:
    """Write a run's folder whole; missing tables are empty.

    Raises TapeError when the folder is there already or a table has other columns, OSError for the disk.
    """
    with ResultWriter(folder) as writer:
        for name, rows in tables.items():
            writer.append(name, rows)
        return writer.finish(info)


def load_result(folder: Path | str) -> Result:
    """Open a run's folder; raises TapeError when it is none or of another version."""
    path = Path(folder)
    try:
        info = json.loads((path / INFO_NAME).read_bytes())
    except (OSError, ValueError) as error:
        raise TapeError(f"{path} is not the folder of a run: {INFO_NAME}: {error}") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise TapeError(f"{path / INFO_NAME}: not of a run")
    if info.get("version") != VERSION:
        raise TapeError(f"{path / INFO_NAME}: version {info.get('version')}, this program reads {VERSION}")
    return Result(path, info)


def is_result(folder: Path) -> bool:
    """Could this be the folder of a run?"""
    return (folder / INFO_NAME).exists() and (folder / TABLES_NAME).is_dir()


def settings_of(config: Config) -> dict[str, Any]:
    """The settings of a run as plain values; what names keys, key files and accounts is left out."""
    mapping = config_to_mapping(config)
    mapping.pop("wallet", None)
    venue = mapping["venue"]
    for key in tuple(venue):
        if key.endswith(("_env", "_file")):
            del venue[key]
    return mapping


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Of everything that may change what a run comes to: not of where it is written and how it is shown."""
    apart = ("analyze", "campaign", "control", "journal", "record", "replay", "report", "run", "sweep", "telemetry")
    told = {key: value for key, value in settings.items() if key not in apart}
    if "backtest" in told:
        skipped = ("name", "out_dir", "cores", "report", "flattery", "report_s", "tapes")
        told["backtest"] = {key: value for key, value in told["backtest"].items() if key not in skipped}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def tables_digest(result: Result) -> str:
    """Of every byte of every table: two runs that agree in it are the same run."""
    return _digest({name: hashlib.sha256(result.table(name).tobytes()).hexdigest() for name in TABLES})


def _digest(digests: Mapping[str, str]) -> str:
    text = "".join(f"{name} {digests[name]}\n" for name in TABLES)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_table(path: Path, dtype: "np.dtype[Any]") -> Table:
    try:
        rows: Table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise TapeError(f"{path}: not a table: {error}") from error
    if rows.dtype != dtype:
        raise TapeError(f"{path}: has columns of another program: {rows.dtype}")
    return rows
