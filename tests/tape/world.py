"""Small tapes for tests: random entries, written through the packer without its thread."""

from pathlib import Path
from random import Random

from polybot.tape.manifest import new_manifest
from polybot.tape.packer import Packer
from polybot.tape.records import Entry, EntryKind, TapeFeed
from polybot.tape.writer import TapeSettings, TapeWriter

NS = 1_000_000_000
START_NS = 1_795_337_000 * NS
SYMBOLS = {"spot": "BTCUSDT", "oracle": "btc/usd", "polybolt": "btcusd"}
SMALL = TapeSettings(tail_bytes=4_096, tails_count=8)


def manifest(**changes: object) -> dict[str, object]:
    """The manifest of a tape without a market."""
    told = new_manifest(kind="hour", name="small", created_ns=START_NS, source={"label": "test"}, symbols=SYMBOLS)
    return {**told, **changes}


def random_entries(rng: Random, count: int) -> list[Entry]:
    """Entries of all feeds with payloads of 0 to 300 bytes, in order of time and number."""
    entries, seq, recv_ns = [], 0, START_NS
    for _ in range(count):
        seq += rng.randint(1, 3)
        recv_ns += rng.randint(0, 10**8)
        payload = rng.randbytes(rng.randint(0, 60)) + b"{}" * rng.randint(0, 120)
        feed = rng.choice([TapeFeed.SPOT, TapeFeed.RTDS, TapeFeed.MARKET, TapeFeed.REST])
        kind = EntryKind.ANSWER if feed == TapeFeed.REST else EntryKind.FRAME
        entries.append(Entry(seq, recv_ns, int(feed), int(kind), 0, payload))
    return entries


def open_writer(folder: Path, settings: TapeSettings = SMALL) -> tuple[Packer, TapeWriter]:
    """A tape being written, packed at once when a tail is full."""
    packer = Packer(folder, settings)
    return packer, packer.open("tape", manifest())


def write(folder: Path, entries: list[Entry], *, settings: TapeSettings = SMALL, close: bool = True) -> Path:
    """Write entries as a tape; not closed: as a killed process leaves it."""
    _, tape = open_writer(folder, settings)
    for entry in entries:
        assert tape.add(
            entry.seq, entry.recv_ns, feed=entry.feed, kind=entry.kind, payload=entry.payload, aux=entry.aux
        )
    if close:
        tape.close(entries[-1].recv_ns if entries else START_NS, state="complete")
        assert tape.done.is_set()
    return tape.folder
