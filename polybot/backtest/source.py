"""One tape as the reel takes it: its events sorted into what belongs to its window and what all windows share.

Owns the classes of rows, the order of a tape's units (its numbers, or the receive clock), and the delay of spot.  What
a tape may not tell by itself (strike, close, outcome, anything of our own orders) is never in what it gives.
Where entries were lost (damage, a slow disk) the book is not known any more: the venue is told that the socket is gone,
and changes are left out until the next snapshot, so that nobody trades on a book that was not seen.
Must not know other tapes.  Called by reel and world.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from polybot._fast.event import EVENT_DTYPE, EventFlag, EventKind, FeedId, FeedState, Special
from polybot.tape.decoding import MARKET_INDEX
from polybot.tape.reader import Tape
from polybot.tape.records import EntryKind
from polybot.tape.writer import FRAMES_NAME

__all__ = ["MARKET", "ORACLE", "SPOT", "WARM", "Source", "Strand"]

# Classes of rows; 0 is never given.
MARKET, SPOT, ORACLE, WARM = 1, 2, 3, 4
NO_MARKET = int(Special.NO_MARKET)
FRAME = int(EntryKind.FRAME)
F_SNAPSHOT = int(EventFlag.F_SNAPSHOT)
BOOK_CHANGES = (EventKind.EV_BOOK_LEVEL, EventKind.EV_BOOK_DELTA)
MARKET_KINDS = (
    EventKind.EV_BOOK_SNAPSHOT,
    EventKind.EV_BOOK_LEVEL,
    EventKind.EV_BOOK_DELTA,
    EventKind.EV_PUBLIC_QUOTE,
    EventKind.EV_PUBLIC_TRADE,
    EventKind.EV_TICK_SIZE,
    EventKind.EV_RESOLVED,
    EventKind.EV_FEED_STATE,
)
SPOT_KINDS = (EventKind.EV_SPOT_TRADE, EventKind.EV_SPOT_QUOTE)
ORACLE_KINDS = (EventKind.EV_ORACLE_SPOT, EventKind.EV_ORACLE_TWAP)

Rows = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class Strand:
    """Units of one tape in the order in which they are given; `shift_ns` is added to their stamps."""

    source: "Source"
    begin: Ints  # first row of each unit
    end: Ints
    key_ns: Ints  # receive time by which they are merged, never falling
    seq: Ints  # by which they are ordered at one time, never falling
    number: Ints  # within the recording
    shift_ns: int
    at: int = 0  # units given so far

    def stop_at(self, limit_ns: int) -> int:
        """The unit before which everything was received before limit_ns."""
        return self.at + int(np.searchsorted(self.key_ns[self.at :], limit_ns, "left"))

    def cut_ns(self, limit_ns: int, units_max: int) -> int:
        """A time up to limit_ns before which about units_max units were received, and at least one."""
        if self.at + units_max >= len(self.key_ns):
            return limit_ns
        return min(limit_ns, max(int(self.key_ns[self.at + units_max]), int(self.key_ns[self.at]) + 1))


class Source:
    """One open tape."""

    def __init__(self, tape: Tape, *, rank: int, spot_delay_ns: int = 0) -> None:
        """`rank` is its place among all tapes: of one event on two tapes that of the lower rank is given."""
        self.rank = rank
        self.group = rank  # tapes of one recording get the same
        self.index = -1  # market index while its window is open
        self.events: Rows = tape.events
        self.units: Rows = tape.units
        self.holes = _holes(tape)  # (last before, first after) of what was lost, receive times
        behind = self._tell_holes() if self.holes else []
        spec = tape.spec
        self.end_ns = spec.end_ns if spec is not None else 0
        self.classes = _classes(self.events, self.end_ns)
        for row in behind:
            self._leave_out_changes(row)
        self.head_rows = _head_rows(self.units)
        found = np.bincount(self.classes, minlength=WARM + 1)
        self.has = {code: bool(found[code]) for code in (MARKET, SPOT, ORACLE, WARM)}
        self.strands = self._strands(spot_delay_ns)

    @property
    def is_done(self) -> bool:
        """Was everything given?"""
        return all(strand.at >= len(strand.key_ns) for strand in self.strands)

    def drop_head(self) -> None:
        """What was told when this tape began is known from another one of the recording."""
        head = self.classes[: self.head_rows]
        head[head != MARKET] = 0

    def drop_warm(self, after_ns: int | None) -> None:
        """Leave out the past at its head: what is older than after_ns, or all of it (None)."""
        warm = self.classes == WARM
        if after_ns is not None:
            warm &= self.events["venue_ns"] <= after_ns
        self.classes[warm] = 0

    def rows_of(self, *kinds: int) -> Rows:
        """All rows of some kinds, of its own market or of none."""
        found: Rows = self.events[np.isin(self.events["kind"], kinds)]
        return found

    def covers(self, code: int, from_ns: int, to_ns: int) -> bool:
        """Is there a row of this class received in [from_ns, to_ns)?"""
        if not self.has[code]:
            return False
        recv_ns = self.events["recv_ns"][self.classes == code]
        return bool(((recv_ns >= from_ns) & (recv_ns < to_ns)).any())

    def is_same_recording(self, other: "Source") -> bool:
        """Do the numbers both tapes have stand for the same?  False when they have none in common."""
        mine, theirs = _shared(self), _shared(other)
        common, at_mine, at_theirs = np.intersect1d(mine["seq"], theirs["seq"], return_indices=True)
        if not len(common):
            return False
        return all(bool((mine[name][at_mine] == theirs[name][at_theirs]).all()) for name in ("recv_ns", "feed", "kind"))

    def _tell_holes(self) -> list[int]:
        """Put a lost socket at the end of what was received before each hole; returns the first rows behind."""
        units: Any = self.units.copy()
        recv_ns = np.maximum.accumulate(units["recv_ns"])
        last = [int(np.searchsorted(recv_ns, before_ns, "right")) - 1 for before_ns, _ in self.holes]
        known = [(unit, hole) for unit, hole in zip(last, self.holes, strict=True) if unit >= 0]
        rows = [int(units["end"][unit]) for unit, _ in known]
        told = np.zeros(len(rows), EVENT_DTYPE)
        told["kind"], told["market"], told["flags"] = EventKind.EV_FEED_STATE, MARKET_INDEX, int(EventFlag.F_END)
        told["i"], told["j"] = int(FeedId.FEED_MARKET), int(FeedState.FS_DISCONNECTED)
        told["recv_ns"] = [hole[0] for _, hole in known]
        events: Rows = np.insert(np.asarray(self.events), rows, told)
        for unit, _ in known:
            units["end"][unit:] += 1
        self.events, self.units = events, units
        return [row + number + 1 for number, row in enumerate(rows)]

    def _leave_out_changes(self, row: int) -> None:
        """A book that is not known cannot be changed: up to its next snapshot."""
        kinds = self.events["kind"][row:]
        found = np.flatnonzero((kinds == EventKind.EV_BOOK_SNAPSHOT) & (self.events["market"][row:] == MARKET_INDEX))
        stop = int(found[0]) if len(found) else len(kinds)
        self.classes[row : row + stop][np.isin(kinds[:stop], BOOK_CHANGES)] = 0

    def _strands(self, spot_delay_ns: int) -> list[Strand]:
        end = self.units["end"].astype(np.int64)
        begin = np.concatenate([np.zeros(1, np.int64), end[:-1]]) if len(end) else end
        recv_ns = np.maximum.accumulate(self.units["recv_ns"].astype(np.int64)) if len(end) else end
        number = self.units["seq"].astype(np.int64)
        seq = np.maximum.accumulate(number) if len(end) else end
        if not spot_delay_ns:
            return [Strand(self, begin, end, recv_ns, seq, number, 0)]
        is_spot = np.isin(self.classes, (SPOT, WARM))
        unit = np.repeat(np.arange(len(end)), end - begin)
        first = np.flatnonzero(np.concatenate([[True], (unit[1:] != unit[:-1]) | (is_spot[1:] != is_spot[:-1])]))
        last = np.concatenate([first[1:], [len(unit)]])
        strands = []
        for wanted, shift_ns in ((False, 0), (True, spot_delay_ns)):
            of = is_spot[first] == wanted
            owner = unit[first[of]]
            key_ns = recv_ns[owner] + shift_ns
            strands.append(Strand(self, first[of], last[of], key_ns, seq[owner], number[owner], shift_ns))
        return strands


def _holes(tape: Tape) -> list[tuple[int, int]]:
    """Where entries are missing, as (receive time of the last before, of the first after or the window's end).

    Damage takes whole blocks, or entries out of the middle of a tail; numbers that are not there may also be another
    tape's, so that between sound blocks of a damaged tape more is taken for lost than is.
    """
    heads = tape.frames
    lost = [damage for damage in tape.damages if damage.lost]
    sealed = [told for told in tape.manifest.get("gaps", ()) if told["cause"] == "damage"]
    behind = np.zeros(len(heads), np.bool_)
    if (lost or sealed) and len(heads):
        seq = heads["seq"].astype(np.int64)
        behind[1:] = (seq[1:] != seq[:-1] + 1) & (heads["block"][1:] != heads["block"][:-1])
        is_vague = any(damage.file != FRAMES_NAME and damage.lost < 0 for damage in lost)
        if is_vague or any(told["frames"] is None for told in sealed):
            behind[1:] |= seq[1:] != seq[:-1] + 1
    for at in np.flatnonzero(heads["kind"] == EntryKind.GAP).tolist():
        told = json.loads(tape.payload(at))
        behind[at] |= at > 0 and told["cause"] in ("dropped", "damage") and told["feed"] in ("all", "market")
    recv_ns = heads["recv_ns"]
    holes = [(int(recv_ns[at - 1]), int(recv_ns[at])) for at in np.flatnonzero(behind).tolist()]
    if lost and len(heads) and not tape.content.is_ended:  # its end is not there
        last_ns = int(recv_ns[-1])
        holes.append((last_ns, last_ns if tape.spec is None else max(last_ns, tape.spec.end_ns)))
    return holes


def _classes(events: Rows, end_ns: int) -> npt.NDArray[np.uint8]:
    """The class of every row, looked up by its kind and by whether it is of a market."""
    kind = np.minimum(events["kind"], len(OF_MARKET) - 1)
    market = events["market"]
    found: npt.NDArray[np.uint8] = OF_MARKET[kind] * (market == MARKET_INDEX)
    shared = market == NO_MARKET
    found += OF_NONE[kind] * shared
    states = np.flatnonzero(shared & (kind == EventKind.EV_FEED_STATE))
    feed = events["i"][states]
    found[states] = np.where(feed == FeedId.FEED_SPOT, SPOT, np.where(feed == FeedId.FEED_ORACLE, ORACLE, 0))
    # A hint at the outcome is worth nothing before the end, whatever a tape holds.
    hints = np.flatnonzero(kind == EventKind.EV_RESOLVED)
    found[hints[events["recv_ns"][hints] < end_ns]] = 0
    found[(found == SPOT) & (events["flags"] & F_SNAPSHOT != 0)] = WARM
    return found


def _table(**classes: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Classes by kind; kinds that are not named have none."""
    made = np.zeros(max(EventKind) + 2, np.uint8)
    for name, kinds in classes.items():
        made[list(kinds)] = {"market": MARKET, "spot": SPOT, "oracle": ORACLE}[name]
    return made


OF_MARKET = _table(market=MARKET_KINDS)
OF_NONE = _table(spot=SPOT_KINDS, oracle=ORACLE_KINDS)


def _head_rows(units: Rows) -> int:
    """Rows of everything that was told before the first frame."""
    frames = np.flatnonzero(units["kind"] == FRAME)
    last = int(frames[0]) if len(frames) else len(units)
    return int(units["end"][last - 1]) if last else 0


def _shared(source: Source) -> Any:
    """Frames of the feeds that all tapes of a recording have; what was told to one tape alone is not among them."""
    units = source.units
    codes = np.zeros(len(units), np.uint8)
    rows = np.concatenate([np.zeros(1, np.int64), units["end"][:-1].astype(np.int64)]) if len(units) else units["end"]
    codes[:] = source.classes[rows.astype(np.int64)] if len(units) else 0
    return units[(units["kind"] == FRAME) & np.isin(codes, (SPOT, ORACLE))]
