"""Processes killed at any instant and disks that lose power: no acknowledged record is lost, no fill is invented."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

from journal.history import ACCOUNT, History, open_journal

from polybot.errors import StateDamaged
from polybot.journal.frames import HEADER_BYTES, SegmentHeader, find_damage, read_frames
from polybot.journal.journal import folder_of
from polybot.journal.reader import list_segments, read_journal, recover
from polybot.journal.records import encode
from polybot.journal.recovery import Fold

WAIT_S = 60.0  # nothing waits so long unless it is stuck


KILLER = """
import json, os, signal, sys
sys.path[:0] = sys.argv[2].split(":")
from pathlib import Path
from random import Random
from journal.history import ACCOUNT, SHARE, intent, open_journal
from polybot._fast.event import EventBuffer, EventKind
from polybot.journal.journal import folder_of
from polybot.journal.reader import recover
from scenario import make_spec

state_dir, rng = Path(sys.argv[1]), Random(1)


def write_until_killed(ack):
    journal = open_journal(state_dir)
    if 0 not in journal.recovered.markets:
        journal.market_open(0, make_spec(), order_seq_base=1)
    seq = journal.recovered.markets[0].next_order_seq if journal.recovered.markets else 1
    buffer = EventBuffer(1)
    while True:
        journal.intent(intent(seq))
        buffer.reset()
        buffer.add(EventKind.EV_FILL, seq=seq, x=1.0, y=float(seq), i=5000, j=SHARE)
        journal.events(buffer)
        os.write(ack, seq.to_bytes(8, "little"))
        seq += 1


for number in range(int(sys.argv[3])):
    ack = os.open(state_dir / "acked", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    child = os.fork()
    if child == 0:
        write_until_killed(ack)
    wanted = rng.randrange(1, 12)
    while os.fstat(ack).st_size < 8 * wanted:
        assert os.waitpid(child, os.WNOHANG)[0] == 0
    for _ in range(rng.randrange(2000)):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raw = os.pread(ack, 1 << 20, 0)
    os.close(ack)
    found = recover(folder_of(state_dir, ACCOUNT, "test"))
    orders = found.state.markets[0].orders
    print(json.dumps({
        "acked": [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)],
        "orders": list(orders),
        "filled": [seq for seq, order in orders.items() if order.state.filled == SHARE],
        "damaged": found.finding is not None and not found.finding.damage.is_torn,
    }))
"""


def test_a_killed_process_loses_nothing_it_had_acknowledged(tmp_path, project_dir):
    """20 kills -9 at random instants, POLYBOT_HARD=n for n times as many; each process begins where the last ended."""
    paths = f"{project_dir}:{project_dir / 'tests'}"
    kills = 20 * int(os.environ.get("POLYBOT_HARD", "1"))
    told = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path), paths, str(kills)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    )
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(lines) == kills
    acked: list[int] = []
    for line in lines:
        acked += line["acked"]
        assert line["orders"] == list(range(1, len(line["orders"]) + 1))
        assert acked[-1] <= len(line["orders"]) <= acked[-1] + 1
        assert set(acked) <= set(line["filled"])
        assert not line["damaged"]  # the record a kill cut short at a page's end is torn: nobody was told it is there
    assert len(set(acked)) == len(acked) > kills


# ---- disks that lose power


def power_loss_image(tmp_path: Path, seed: int) -> tuple[bytes, int, list[object]]:
    """A segment's bytes while it is written, how many were on disk for sure, and the records in it."""
    journal = open_journal(tmp_path)
    records = History(seed).records(44)
    for record in records[:24]:
        journal._put(record)
    assert journal.sync(WAIT_S)
    synced = journal.writer.used_bytes
    gate = threading.Event()
    journal.writer._fdatasync = lambda fd: (gate.wait(WAIT_S), None)[1]
    for record in records[24:]:
        journal._put(record)
    raw = journal.writer.path.read_bytes()[: journal.writer.used_bytes + 2_048]
    gate.set()
    journal.close()
    return raw, synced, list(read_journal(journal.folder))


def lost_tails(raw: bytes, synced: int, rng: Random, count: int) -> list[bytes]:
    """Images a power loss may leave: cut anywhere behind what was synced, or sectors of 512 bytes lost in any order."""
    images = [raw[:cut] + bytes(rng.choice([0, 64])) for cut in range(synced, len(raw) - 2_048)]
    while len(images) < count:
        image = bytearray(raw)
        for sector in range(synced // 512, len(raw) // 512 + 1):
            if rng.random() < rng.choice([0.1, 0.3, 0.6]):
                start, stop = max(synced, sector * 512), min(len(raw), sector * 512 + 512)
                image[start:stop] = bytes(stop - start)
        images.append(bytes(image))
    return images


def test_whatever_a_power_loss_leaves_of_the_unsynced_tail_is_recovered_without_invention(tmp_path):
    """10,400 images (POLYBOT_HARD=n for n times as many).

    What is believed of each is a prefix of what was written, not shorter than what was synced; each different
    prefix, and one image in 20, goes through the whole recovery.
    """
    images, torn, prefixes = 0, 0, set()
    for seed in range(2):
        raw, synced, items = power_loss_image(tmp_path / f"{seed}", seed)
        folder = folder_of(tmp_path / f"{seed}", ACCOUNT, "test")
        (_, path) = list_segments(folder)[0]
        states = dict(states_after(items))
        header = SegmentHeader.from_bytes(raw)
        for image in lost_tails(raw, synced, Random(seed), 5_200 * int(os.environ.get("POLYBOT_HARD", "1"))):
            images += 1
            frames = list(read_frames(image, header.seed, offset=HEADER_BYTES, next_seq=1))
            end = frames[-1].end
            assert end in states
            assert end >= synced
            assert image[:end] == raw[:end]
            damage = find_damage(image, header.seed, offset=end, next_seq=frames[-1].seq + 1)
            assert damage is None or damage.is_torn
            torn += damage is not None
            if images % 20 and (seed, end) in prefixes:
                continue
            prefixes.add((seed, end))
            path.write_bytes(image)
            found = recover(folder)
            assert (found.end.offset, fills_of(found.state)) == (end, states[end])
    assert images >= 10_000
    assert torn > 5_000
    assert len(prefixes) > 30


def test_a_flipped_bit_is_found_or_harmless(tmp_path):
    raw, _, items = power_loss_image(tmp_path, 7)
    folder = folder_of(tmp_path, ACCOUNT, "test")
    (_, path) = list_segments(folder)[0]
    states = states_after(items)
    whole = states[-1]
    rng, found_out, flips = Random(1), 0, 600
    for _ in range(flips):
        image = bytearray(raw)
        place = rng.randrange(whole[0])
        image[place] ^= 1 << rng.randrange(8)
        path.write_bytes(image)
        try:
            found = recover(folder)
        except StateDamaged:
            found_out += 1
            continue
        if found.finding is None:
            assert (found.end.offset, fills_of(found.state)) == whole
            continue
        found_out += 1
        assert found.finding.path == path
        assert found.finding.damage.offset <= place < found.finding.damage.offset + (1 << 13)
        assert fills_of(found.state) in [fills for _, fills in states]
    assert found_out == flips


def states_after(items: list[object]) -> list[tuple[int, dict]]:
    """(offset behind, fills) after each record of a one-segment journal."""
    folding, offset, found = Fold(), HEADER_BYTES, []
    for item in items:
        size = len(encode(item.record)[1])
        offset += 32 + size + (-size & 7)
        folding.apply(item)
        found.append((offset, fills_of(folding.state)))
    return found


def fills_of(state) -> dict[tuple[int, int], tuple[int, bool]]:
    return {
        (seq, key): (trade.status, trade.is_booked)
        for market in state.markets.values()
        for seq, order in market.orders.items()
        for key, trade in order.trades.items()
    }
