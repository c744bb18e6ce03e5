"""The decoded cache of a tape when two processes make it at the same time: each sees all of it, or makes its own."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from polybot.tape import cache

DTYPE = np.dtype([("n", "<i8")])
PIECES = [np.arange(at, at + 1_000, dtype="<i8").view(DTYPE) for at in range(0, 4_000, 1_000)]
LIMIT_S = 60.0


def test_a_cache_that_another_reader_begins_to_write_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.bin"
    has_begun, may_go_on = threading.Event(), threading.Event()
    sync = cache.os.fdatasync

    def slowly() -> Iterator[np.ndarray]:
        yield PIECES[0]
        has_begun.set()
        assert may_go_on.wait(LIMIT_S)
        yield from PIECES[1:]

    other = threading.Thread(target=lambda: cache._write(path, slowly(), DTYPE))

    def sync_while_another_begins(fd: int) -> None:
        monkeypatch.setattr(cache.os, "fdatasync", sync)
        other.start()
        assert has_begun.wait(LIMIT_S)
        sync(fd)

    monkeypatch.setattr(cache.os, "fdatasync", sync_while_another_begins)
    records, _ = cache._write(path, iter(PIECES), DTYPE)
    seen = np.array(records)
    may_go_on.set()
    other.join(LIMIT_S)
    assert np.array_equal(seen, np.concatenate(PIECES))
    assert np.array_equal(np.array(records), np.concatenate(PIECES))
    assert np.array_equal(np.fromfile(path, DTYPE), np.concatenate(PIECES))
    assert [item.name for item in tmp_path.iterdir()] == ["events.bin"]
