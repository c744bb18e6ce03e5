"""A frame as CSV, JSON or Parquet text or file, whole or not at all.

Owns the spelling of values in files: numbers exact, what is not known an empty cell or null.  pyarrow is imported
when Parquet is asked for.  Must not choose rows.  Called by the command `analyze` and by sweeps.
"""

import csv
import io
import json
import os
from pathlib import Path

from polybot.analyze.frame import Frame
from polybot.errors import ConfigError

__all__ = ["csv_text", "has_parquet", "json_text", "write_parquet", "write_text"]


def csv_text(frame: Frame) -> str:
    """Comma separated, a header line first; floats as Python reads them back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(frame.names)
    writer.writerows([["" if value is None else value for value in row] for row in frame.rows])
    return text.getvalue()


def json_text(frame: Frame) -> str:
    """A list of objects."""
    return json.dumps(frame.mappings(), indent=1, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write beside its place and move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def has_parquet() -> bool:
    """Can Parquet be written here?"""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        return False
    return True


def write_parquet(path: Path, frame: Frame) -> None:
    """One row group with the frame's columns; raises ConfigError without pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigError("Parquet needs pyarrow: make extras") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    table = pyarrow.table({name: pyarrow.array(frame.column(name)) for name in frame.names})
    pyarrow.parquet.write_table(table, part)
    os.replace(part, path)
