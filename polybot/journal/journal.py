"""The money journal of one account: what the gateway, the runner and the operator tell before it takes effect.

Theory of operation: `open` locks the account, reads what the last process left, cuts a torn tail, begins a new
segment with a snapshot, and hands out the recovered state.  Then every call writes before it returns; `tend`,
called with the engine's heartbeat, does what may wait: folding what was written and, once a UTC day, moving on
to a new segment that the helper thread made.  A call that raises JournalError means: do not send, do not book.

Owns the folder `<state_dir>/<account>-<venue session>`.  Must not decide anything.  Called by trader and runner.
"""

import hashlib
import re
import shutil
import struct
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from polybot import crashpoints
from polybot._fast.event import EventBuffer
from polybot.clock import Clock
from polybot.errors import JournalError, StateDamaged
from polybot.journal.booking import utc_day
from polybot.journal.frames import SegmentHeader
from polybot.journal.lock import AccountLock
from polybot.journal.reader import Finding, list_segments, recover, segment_name
from polybot.journal.records import (
    MAX_TEXT,
    MONEY_KINDS,
    OWNER_MARK,
    VERSION,
    CleanStop,
    HaltKind,
    Intent,
    Latch,
    Loss,
    MarketDrop,
    MarketOpen,
    MoneyEvent,
    Note,
    Record,
    RecordType,
    Session,
    TradeSeen,
    decode,
    encode,
)
from polybot.journal.recovery import Fold, RecoveredState, Stamped
from polybot.journal.segment import SegmentFile, cut_tail, make_folder, sync_folder
from polybot.journal.writer import JournalSettings, JournalWriter
from polybot.market.spec import MarketSpec

__all__ = ["LEDGER_NAME", "Journal", "SegmentMaker", "folder_of"]

LEDGER_NAME = "ledger.sqlite"
DAMAGED_SUFFIX = ".damaged"
EVENT_BYTES = 64
_KIND = struct.Struct("<16xH46x")  # the kind of a raw Event
_MONEY_MASK = sum(1 << kind for kind in MONEY_KINDS)
EVENT, INTENT = int(RecordType.EVENT), int(RecordType.INTENT)
# A segment is left behind at this size even within a day.
MAX_SEGMENT_BYTES = 256 << 20
# Records written but not folded yet; more are folded at once.
MAX_PENDING = 4_096
# So often a new segment may be made for a moment that has passed when it is ready; then the caller waits for one.
ROTATE_TRIES = 20
NS = 1_000_000_000
# After a disk refused a new segment, the old one is written on for so long.
ROTATE_RETRY_NS = 60 * NS


def folder_of(state_dir: Path, account: str, venue_session: str) -> Path:
    """Where the journal of an account on a venue session lives."""
    return state_dir / re.sub(r"[^A-Za-z0-9.-]", "_", f"{account.lower()}-{venue_session}")


@dataclass(frozen=True, slots=True)
class SegmentMaker:
    """Makes segments of one folder; may run on any thread."""

    folder: Path
    clock: Clock
    key: bytes
    preallocate_bytes: int

    def make(self, items: list[tuple[int, RecordType, bytes]], number: int, first_seq: int) -> SegmentFile:
        """A segment with a snapshot of `items`, synced, without its name yet; raises OSError."""
        now_ns = self.clock.now_ns()
        day = datetime.fromtimestamp(now_ns // NS, UTC).strftime("%Y%m%d")
        header = SegmentHeader(number, first_seq, now_ns, self.key)
        return SegmentFile(self.folder / segment_name(number, day), header, items, self.preallocate_bytes)


class _Packed(NamedTuple):
    """A record as it was written, to be read when it is folded."""

    seq: int
    ns: int
    kind: int
    payload: bytes

    def read(self) -> Stamped:
        return Stamped(self.seq, self.ns, decode(self.kind, VERSION, self.payload))


class Journal:
    """See the module's head.  `recovered` is what the last process left, `finding` what was wrong with it."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        lock: AccountLock,
        maker: SegmentMaker,
        recovered: RecoveredState,
        finding: Finding | None,
        writer: JournalWriter,
        number: int,
    ) -> None:
        """Use `open`."""
        self.folder = folder
        self.finding = finding
        self.recovered = recovered
        self.writer = writer
        self.rotations = 0
        self.rotate_error = ""
        self._clock = clock
        self._lock = lock
        self._maker = maker
        self._fold = Fold.of_snapshot(recovered)  # what was recovered stays as it was
        self._pending: list[Stamped | _Packed] = []
        self._markets = set(recovered.markets)
        self._day = utc_day(clock.now_ns())
        self._number = number
        self._made: SegmentFile | None = None
        self._making = False
        self._tries = 0
        self._retry_ns = 0

    @classmethod
    def open(
        cls,
        state_dir: Path,
        clock: Clock,
        *,
        account: str,
        venue_session: str,
        config_digest: str,
        software: str,
        settings: JournalSettings | None = None,
        accept_damage: bool = False,
        make_writer: Callable[..., JournalWriter] = JournalWriter,
    ) -> "Journal":
        """Recover and begin to write.

        Raises AlreadyRunning when another process has the account there, StateDamaged when the journal is damaged
        (with accept_damage the damaged file is kept aside and its sound part used), JournalError or OSError when
        nothing can be written.
        """
        settings = settings or JournalSettings()
        folder = folder_of(state_dir, account, venue_session)
        key = hashlib.sha256(f"{account.lower()}|{venue_session}".encode()).digest()[:16]
        state_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            lock = AccountLock(state_dir, folder.name)
            undo.callback(lock.release)
            make_folder(folder)
            state, finding, number, first_seq = _start_from(folder, key, accept_damage)
            maker = SegmentMaker(folder, clock, key, settings.preallocate_bytes)
            segment = maker.make(_restated(state), number, first_seq)
            segment.publish()
            sync_folder(folder)
            journal = cls(
                folder,
                clock,
                lock=lock,
                maker=maker,
                recovered=state,
                finding=finding,
                writer=make_writer(segment, clock, settings=settings),
                number=number,
            )
            undo.callback(journal.writer.close)
            count = state.session.number + 1 if state.session else 1
            journal._put(Session(account, venue_session, config_digest, software, count))
            if finding is not None:
                journal.note(f"recovered: {finding.text()}")
            undo.pop_all()
        return journal

    # -- what is told -----------------------------------------------------------------------------------------

    @property
    def failed(self) -> str:
        """Why nothing is accepted any more, empty while all is well."""
        return self.writer.failed

    def market_open(
        self, index: int, spec: MarketSpec, *, order_seq_base: int, observed: bool = False
    ) -> None:
        """A market got its index; before its first intent."""
        self._put(MarketOpen(index, order_seq_base, observed, spec))
        self._markets.add(index)

    def market_drop(self, index: int) -> None:
        """A settled market is forgotten."""
        self._put(MarketDrop(index))
        self._markets.discard(index)

    def intent(self, intent: Intent) -> None:
        """An order is about to be sent: before its first byte reaches a socket.

        Raises JournalError when it could not be recorded and must not be sent; ValueError when its body still
        names its owner (see records.hide_owner).
        """
        if intent.body.count(OWNER_MARK) != 1:
            raise ValueError("the body of an intent is recorded without its owner")
        if intent.market not in self._markets:
            raise JournalError(
                f"order {intent.order_seq} is for market {intent.market}, which was never opened"
            )
        self._put(intent)

    def intent_packed(self, market: int, payload: bytes) -> None:
        """As `intent`, of a payload that records.pack_intent made of a body without its owner; raises JournalError.

        It is read again when it is folded, which an order does not wait for.
        """
        if market not in self._markets:
            raise JournalError(f"an order is for market {market}, which was never opened")
        seq = self.writer.append(INTENT, payload)
        self._pending.append(_Packed(seq, self.writer.last_ns, INTENT, payload))
        if len(self._pending) >= MAX_PENDING:
            self._fold_pending()

    def events(self, buffer: EventBuffer) -> None:
        """Record the events that move money or truth, in order; before the engine sees them."""
        if not buffer.kind_mask() & _MONEY_MASK:
            return
        raw = buffer.to_bytes()
        records = [
            raw[at : at + EVENT_BYTES]
            for at in range(0, len(raw), EVENT_BYTES)
            if _KIND.unpack_from(raw, at)[0] in MONEY_KINDS
        ]
        last = self.writer.append_all([(EVENT, record) for record in records])
        ns = self.writer.last_ns
        first = last - len(records) + 1
        self._pending += [Stamped(first + k, ns, MoneyEvent(record)) for k, record in enumerate(records)]

    def trade_seen(self, key: int, *, trade_id: str, order_id: str, leg: int) -> None:
        """What a trade key stands for; before the fill that carries it."""
        self._put(TradeSeen(key, trade_id, order_id, leg))

    def latch(self, kind: HaltKind, on: bool, *, reason: str, by: str) -> None:
        """A halt was set or lifted."""
        self._put(Latch(kind, on, _cut(reason), _cut(by)))

    def loss(
        self, *, day: int, week: int, day_realised_usd: int, week_realised_usd: int, marked_usd: int
    ) -> None:
        """The engine's results as they stand, micro-USD."""
        self._put(Loss(day, week, day_realised_usd, week_realised_usd, marked_usd))

    def note(self, text: str) -> None:
        """A line for people; a long one is cut."""
        self._put(Note(_cut(text)))

    def request_sync(self) -> None:
        """Bring everything to disk at once, without waiting."""
        self.writer.request_sync()

    def sync(self, limit_s: float) -> bool:
        """Wait until everything told is on disk, at most limit_s; False when it is not."""
        return self.writer.sync(limit_s)

    def state(self) -> RecoveredState:
        """What the journal comes to now; the live object, not to be changed."""
        self._fold_pending()
        return self._fold.state

    def close(self, *, clean: bool = True, open_orders: int = 0, hold: bool = False) -> bool:
        """Say an orderly end, bring all to disk, let go of the account; False when the disk failed.

        `hold` keeps the account until `release`.
        """
        if clean and not self.failed:
            self._put(CleanStop(open_orders))
        done = self.writer.close()
        self._fold_pending()
        if self._made is not None:
            self._made.discard()
        if not hold:
            self._lock.release()
        return done

    def release(self) -> None:
        """Let another process have the account, after a close that held it."""
        self._lock.release()

    def abandon(self) -> None:
        """Let go of everything as a killed process does: what was told stays told, nothing more is written."""
        self.writer.abandon()
        if self._made is not None:
            self._made.discard()
        self._lock.release()

    def tend(self) -> None:
        """With every heartbeat: fold what was written; once a UTC day begin a new segment.

        Raises JournalError when the writer has failed.
        """
        if self.failed:
            raise JournalError(self.failed)
        self.writer.tend()
        self._fold_pending()
        now_ns = self._clock.now_ns()
        due = utc_day(now_ns) != self._day or self.writer.used_bytes > MAX_SEGMENT_BYTES
        if due and now_ns >= self._retry_ns and not self._making:
            self._rotate(now_ns)
            if self._tries > ROTATE_TRIES and self._made is not None:
                self._rotate(now_ns)

    def _put(self, record: Record) -> None:
        kind, payload = encode(record)
        seq = self.writer.append(kind, payload)
        self._pending.append(Stamped(seq, self.writer.last_ns, record))
        if len(self._pending) >= MAX_PENDING:
            self._fold_pending()

    def _fold_pending(self) -> None:
        pending, self._pending = self._pending, []
        for item in pending:
            self._fold.apply(item if isinstance(item, Stamped) else item.read())

    # -- a new segment ----------------------------------------------------------------------------------------

    def _rotate(self, now_ns: int) -> None:
        made, self._made = self._made, None
        if made is not None and made.header.first_seq == self.writer.seq + 1:
            if self.writer.synced_seq < self.writer.seq and self._tries <= ROTATE_TRIES:
                self._made = made  # the end of the old segment first
                self.writer.request_sync()
                return
            crashpoints.reach("mid_rotate")
            self.writer.switch(made)
            self._number, self._day, self._tries = made.header.number, utc_day(now_ns), 0
            self.rotations += 1
            return
        if made is not None:
            made.discard()
        self._tries += 1
        items, number, first_seq = _restated(self._fold.state), self._number + 1, self.writer.seq + 1

        def make() -> None:
            try:
                self._made = self._maker.make(items, number, first_seq)
            except OSError as error:
                self.rotate_error = f"no new segment: {error}"
                self._retry_ns = now_ns + ROTATE_RETRY_NS
            finally:
                self._making = False

        self._making = True
        if self._tries > ROTATE_TRIES:
            make()
        elif not self.writer.run_beside(make):
            self._making = False


def _restated(state: RecoveredState) -> list[tuple[int, RecordType, bytes]]:
    return [(ns, *encode(record)) for ns, record in state.restatement()]


def _start_from(
    folder: Path, key: bytes, accept_damage: bool
) -> tuple[RecoveredState, Finding | None, int, int]:
    """(what is believed, what is wrong, number and first seq of the next segment); cuts and keeps aside the rest."""
    found = recover(folder, folder_key=key)
    if found is None:
        return RecoveredState(), None, 1, 1
    finding = found.finding
    if finding is not None and not finding.damage.is_torn and not accept_damage:
        raise StateDamaged(
            f"{finding.text()}. Compare with the venue by hand, then start once with run.accept_damage=true"
        )
    segments = list_segments(folder)
    for number, path in segments:
        if number > found.end.segment:  # not even its snapshot can be read
            path.rename(path.with_name(path.name + DAMAGED_SUFFIX))
        elif number == found.end.segment and path.suffix != ".gz":
            if finding is not None and not finding.damage.is_torn:
                shutil.copy2(path, path.with_name(path.name + DAMAGED_SUFFIX))
            cut_tail(path, found.end.offset)
    return found.state, finding, segments[-1][0] + 1, found.end.next_seq


def _cut(text: str) -> str:
    return text.encode()[:MAX_TEXT].decode(errors="ignore")
