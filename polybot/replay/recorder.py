"""The inputs log being written: one copy of every batch and its answer into a mapped tail, after the orders left.

Theory of operation.  `step`, `raised` and `call` belong to the loop: they copy into the open part and never wait, never
raise for a disk and make no system call; without room entries are dropped, the gap is marked and said once.  A batch
that simply goes into the open tail is copied in C (`tap`) and never comes to `step`: the same bytes.  The
packer's thread packs, syncs, opens the next part ahead of need (the loop only goes over to it), and removes old logs.
    <out_dir>/inputs/<start>-<session>/part-0001/   one tape folder per part (polybot.tape.writer)
Must not decide or touch the engine.  Made by polybot.daemon and polybot.harness, called by polybot.runner and
replay.calls.EngineDoor.
"""

import json
import re
import shutil
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polybot._fast.event import CommandBuffer, EventBuffer
from polybot._fast.tail import InputsTap
from polybot.clock import Clock, wall_clock
from polybot.config import Config, config_to_mapping
from polybot.config_secrets import is_secret_name, is_secret_value
from polybot.replay.calls import AUX_COMMANDS, AUX_MORE, AUX_QUIET, AUX_RAISED, INPUTS_KIND, PART_GLOB
from polybot.tape.decoding import decoder_version
from polybot.tape.manifest import new_manifest
from polybot.tape.packer import Packer
from polybot.tape.records import EntryKind, TapeFeed
from polybot.tape.writer import TapeSettings, TapeWriter

__all__ = ["FOLDER", "InputsRecorder", "log_name"]

FOLDER = "inputs"  # below telemetry.out_dir
NS, MB = 1_000_000_000, 1 << 20
DAY_NS = 86_400 * NS
OWN, EVENTS, CALL = int(TapeFeed.OWN), int(EntryKind.EVENTS), int(EntryKind.CALL)
COMMANDS, META = int(EntryKind.COMMANDS), int(EntryKind.META)
# Shorter than this no key, token or mnemonic is.
LONG_TEXT = re.compile(r'"(?:[^"\\]|\\.){30,}"')
# A log that was written to so lately may be another process's.
LIVE_NS = 3_600 * NS
STOP_S = 2.0  # wall; how long a stop waits for the disk
AGAIN_NS = 60 * NS  # wall; a part that could not be begun is tried again so much later


class InputsRecorder:
    """One log being written; `path` is its folder, None when it could not be made."""

    def __init__(
        self, config: Config, clock: Clock, *, name: str, hard_max_usd: str = "", threaded: bool = True
    ) -> None:
        """Make folder and first part (touches the disk, raises nothing); without a thread the work is done at once.

        `hard_max_usd` is the text of the variable that raises the hard ceilings, "" when it is not set.
        """
        given = config.replay
        self.path: Path | None = None
        self.dropped = 0
        self._clock = clock
        self._root = Path(config.telemetry.out_dir) / FOLDER
        self._part_bytes = given.part_mb * MB
        self._piece_bytes = given.tail_mb * MB // 4  # a whole number of events and of commands
        self.tap = InputsTap(self._piece_bytes)  # follows the open part, unless the next one waits
        self._keep_ns, self._keep_bytes = round(given.keep_days * DAY_NS), given.keep_mb * MB
        self._facts = _facts(config, hard_max_usd)
        self._news: deque[tuple[str, str]] = deque(maxlen=100)
        self._tape: TapeWriter | None = None
        self._next: TapeWriter | None = None  # made ahead by the thread
        self._parts = 0
        self._swept_part = 0 if threaded else -1  # -1: never remove anything
        self._has_told = False
        self._again_ns = 0
        self._said = ""  # of the last part that could not be begun
        self._nothing = CommandBuffer(1)
        settings = TapeSettings(
            tail_bytes=given.tail_mb * MB,
            tails_count=given.tails_count,
            zstd_level=given.zstd_level,
            keep_free_bytes=given.keep_free_mb * MB if threaded else 0,
        )
        folder = _free(self._root / name)
        self._packer = Packer(folder, settings, sync_s=given.sync_ms / 1000.0, also=self._on_tended)
        try:
            folder.mkdir(parents=True)
            self._go_on(self._open_part(has_spares=not threaded))
        except OSError as error:
            text = f"this run's inputs are not logged and it cannot be replayed: {error.strerror or error}"
            self._news.append(("WARNING", text))
            return
        self.path = folder
        if threaded:
            self._packer.start()

    # -- on the loop ------------------------------------------------------------------------------------------

    def step(self, events: EventBuffer, commands: CommandBuffer, aux: int = 0) -> None:
        """Note one batch and what the engine answered."""
        tape = self._tape
        if tape is None or not len(events):
            return
        self.tap.follow(tape.counts)  # before the look: a part that is made after it ends this again
        if self._next is not None:
            tape = self._switch(tape)
        payload = events.to_bytes()
        answered = len(commands)
        if answered:
            aux |= AUX_COMMANDS
        recv_ns = events.recv_ns_at(0)
        if len(payload) > self._piece_bytes:
            self._put_pieces(tape, recv_ns, EVENTS, payload, aux)
        elif not tape.own(recv_ns, EVENTS, payload, aux=aux):
            self._note_drop(tape)
        if answered:
            payload = commands.to_bytes()
            if len(payload) > self._piece_bytes:
                self._put_pieces(tape, recv_ns, COMMANDS, payload, aux & AUX_QUIET)
            elif not tape.own(recv_ns, COMMANDS, payload, aux=aux & AUX_QUIET):
                self._note_drop(tape)

    def raised(self, events: EventBuffer) -> None:
        """Note a batch at which the engine raised; what it answered is not known."""
        self.step(events, self._nothing, AUX_RAISED)

    def call(self, name: str, at_ns: int, args: Mapping[str, Any]) -> None:
        """Note an act that is no event."""
        tape = self._tape
        if tape is None:
            return
        if self._next is not None:
            tape = self._switch(tape)
        if not tape.own(at_ns, CALL, json.dumps({"do": name, **args}).encode()):
            self._note_drop(tape)

    def news(self) -> list[tuple[str, str]]:
        """(level, text) for the operator since the last call."""
        found = []
        while self._news:
            found.append(self._news.popleft())
        return found

    def close(self, *, is_clean: bool = True) -> None:
        """Nothing more comes; the thread finishes (see `wait`)."""
        ahead, self._next = self._next, None
        tape, self._tape = self._tape, None
        self.tap.follow(None)
        for one in (tape, ahead):
            if one is not None:
                one.close(self._clock.now_ns(), state="complete" if is_clean else "stopped")

    def wait(self, limit_s: float = STOP_S) -> None:
        """After close: until everything is on disk, at most limit_s (wall); what is not is in the tails."""
        if self.path is not None:
            self._packer.stop(limit_s)

    def abandon(self) -> None:
        """End as a killed process does (virtual time)."""
        tape, self._tape = self._tape, None
        self.tap.follow(None)
        if tape is not None:
            tape.abandon()

    def _put_pieces(self, tape: TapeWriter, recv_ns: int, kind: int, payload: bytes, aux: int) -> None:
        """A batch that is too large for one entry."""
        size = self._piece_bytes
        for at in range(0, len(payload), size):
            more = AUX_MORE if at + size < len(payload) else 0
            if not tape.own(recv_ns, kind, payload[at : at + size], aux=aux | more):
                self._note_drop(tape)

    def _note_drop(self, tape: TapeWriter) -> None:
        self.dropped += 1
        if not self._has_told:
            self._has_told = True
            why = tape.error or "the disk is slow"
            self._news.append(("WARNING", f"inputs log: entries are dropped ({why}); a replay ends there"))

    def _switch(self, tape: TapeWriter) -> TapeWriter:
        """Go over to the part that was made ahead."""
        made = self._next
        assert made is not None
        self._tape = made  # before the other: the thread must not find a full part with none made ahead
        self._next = None
        tape.close(self._clock.now_ns(), state="complete", aux=AUX_MORE)  # killed here, it must not look like an end
        self._go_on(made)
        return made

    def _go_on(self, tape: TapeWriter) -> None:
        self._tape = tape
        tape.own(self._clock.now_ns(), META, json.dumps(self._manifest(self._parts)).encode())
        self.tap.follow(tape.counts)

    # -- on the thread ----------------------------------------------------------------------------------------

    def _open_part(self, *, has_spares: bool = True) -> TapeWriter:
        number = self._parts + 1
        made = self._packer.open(f"part-{number:04d}", self._manifest(number), has_spares=has_spares)
        self._parts = number
        return made

    def _manifest(self, part: int) -> dict[str, Any]:
        return new_manifest(
            kind=INPUTS_KIND,
            name=self._packer.folder.name,
            created_ns=self._clock.now_ns(),
            source={"label": "inputs of the engine"},
            symbols={},
        ) | {"part": part, "facts": self._facts}

    def _on_tended(self) -> None:
        tape = self._tape
        if tape is None:
            return
        is_new_day = tape.first_ns // DAY_NS != tape.last_ns // DAY_NS
        if self._next is None and (is_new_day or tape.raw_bytes >= self._part_bytes):
            self._open_next()
        try:
            if 0 <= self._swept_part < self._parts:
                self._swept_part = self._parts
                self._sweep()
        except OSError as error:
            if self._root.is_dir():  # else somebody removed everything; what comes next says so
                self._news.append(("WARNING", f"inputs log: {error.strerror or error}"))

    def _open_next(self) -> None:
        """Make the next part ahead; while the disk refuses the log goes on in the old one, and that is said once."""
        now_ns = wall_clock().now_ns()
        if now_ns < self._again_ns:
            return
        try:
            self._next = self._open_part()
            self.tap.follow(None)  # the next batch goes over to it
            self._said = ""
        except OSError as error:
            self._again_ns = now_ns + AGAIN_NS
            text = f"inputs log: no new part can be begun ({error.strerror or error}), the old one goes on"
            if text != self._said:
                self._news.append(("WARNING", text))
            self._said = text

    def _sweep(self) -> None:
        """Remove logs that are too old, then the oldest while all together are too large."""
        if not self._root.is_dir():  # somebody removed everything; what comes next says so
            return
        now_ns = wall_clock().now_ns()
        logs = sorted(path for path in self._root.iterdir() if path.is_dir() and path != self._packer.folder)
        kept: list[tuple[Path, int]] = []
        for path in logs:
            size, written_ns = _measure(path)
            age_ns = now_ns - written_ns
            if age_ns < LIVE_NS:
                continue
            if self._keep_ns and age_ns > self._keep_ns:
                self._remove(path, f"older than replay.keep_days={self._keep_ns / DAY_NS:g}")
            else:
                kept.append((path, size))
        own = sorted(self._packer.folder.glob(PART_GLOB))[:-2]  # the one being written, and the one made ahead
        kept += [(part, _measure(part)[0]) for part in own]
        over = _measure(self._root)[0] - self._keep_bytes
        for path, size in kept:
            if over <= 0:
                break
            self._remove(path, f"all logs together are above replay.keep_mb={self._keep_bytes // MB}")
            over -= size

    def _remove(self, path: Path, why: str) -> None:
        shutil.rmtree(path, ignore_errors=True)
        self._news.append(("INFO", f"inputs log {path.relative_to(self._root)} removed: {why}"))


def _facts(config: Config, hard_max_usd: str) -> str:
    """What a replay must know to build the same engine, as JSON.

    Settings hold no secrets: the composition refuses them.  What looks like one is hidden all the same.
    """
    told = {
        "config": config_to_mapping(config),
        "strategies": {name: item.target for name, item in sorted(config.strategy.items())},
        "hard_max_usd": hard_max_usd,
        "decoder": decoder_version(),
    }
    text = json.dumps(told)
    if any(is_secret_value(json.loads(long)) for long in LONG_TEXT.findall(text)):
        text = json.dumps(_without_secrets(told))
    return text


def _without_secrets(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: "(hidden)" if is_secret_name(str(key)) else _without_secrets(item) for key, item in node.items()}
    if isinstance(node, list | tuple):
        return [_without_secrets(item) for item in node]
    return "(hidden)" if is_secret_value(node) else node


def log_name(now_ns: int, session: str) -> str:
    """What a log's folder is called: start (UTC) and session."""
    return f"{datetime.fromtimestamp(now_ns / 1e9, UTC):%Y%m%d-%H%M%S}-{session}"


def _free(path: Path) -> Path:
    """This path, or with .2, .3 ... when it is taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free


def _measure(folder: Path) -> tuple[int, int]:
    """(bytes on disk, last write in ns) of everything below a folder; what vanishes meanwhile does not count."""
    size, latest = 0, 0
    for path in folder.rglob("*"):
        try:
            stat = path.stat()
        except OSError:
            continue
        if path.is_file():
            size += stat.st_blocks * 512
            latest = max(latest, stat.st_mtime_ns)
    return size, latest
