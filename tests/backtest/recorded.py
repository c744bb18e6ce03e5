"""What recordings hold, read the slow way: entry by entry, with the feeds' own decoders."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tape.recording import recorder_config

import polybot.tape
from polybot._fast.event import EVENT_DTYPE, EventBuffer, EventKind, Special
from polybot.config import Config
from polybot.tape.decoding import TapeDecoder
from polybot.tape.records import EntryKind

LIVELY = {"venue__makers": "slow", "venue__world__makers__requote_ms": 500}


def backtest_config(tapes: Path, runs: Path, **changes: Any) -> Config:
    """The configuration of the recordings of these tests, without variants and report."""
    given = {"backtest__tapes": str(tapes), "backtest__out_dir": str(runs), "backtest__name": "run"}
    return recorder_config(**{**LIVELY, **given, **changes})


def numbered(folder: Path) -> dict[int, np.ndarray]:
    """Events of one tape by the number of their entry; read once for all copies of it."""
    return _numbered(Copy(folder, polybot.tape.open(folder).content.sha256))


@dataclass(frozen=True)
class Copy:
    """A tape, known by its bytes."""

    folder: Path = field(compare=False)
    sha256: str


@lru_cache
def _numbered(copy: Copy) -> dict[int, np.ndarray]:
    tape = polybot.tape.open(copy.folder)
    decoder, found = TapeDecoder(tape.manifest["symbols"], tape.spec), {}
    for entry in tape.entries():
        out = EventBuffer(64)
        if entry.kind == EntryKind.FRAME:
            decoder.frame(entry, out)
        else:
            decoder.other(entry, out)
        if len(out):
            found[entry.seq] = out.to_numpy().copy()
    return found


def given(rows: np.ndarray) -> np.ndarray:
    """Rows without the market's index, for comparison over tapes."""
    copied = np.array(rows, EVENT_DTYPE)
    copied["market"][copied["market"] != Special.NO_MARKET] = 0
    return copied


def is_told(rows: np.ndarray) -> bool:
    """Is this something a reel tells by itself?"""
    return bool(np.isin(rows["kind"], (EventKind.EV_STRIKE, EventKind.EV_MARKET_CLOSE, EventKind.EV_OUTCOME)).any())
