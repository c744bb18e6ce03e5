"""Tapes whose recorder was killed: packed, summed up and closed, without inventing anything.

Theory of operation.  A folder in state `recording` whose lock nobody holds belongs to a dead process.  Every whole
entry of its tails is packed into a block, synced, and only then is the tail removed: a kill while sealing leaves what
the next sealing finishes.  Then the manifest is written as the entries tell it, with state `killed`, the missing rest
as a gap, and what was torn as a warning.  An outcome may be put in later, when somebody knows it.
Must not touch a tape that is being recorded (the lock of its frames file).  Called by importers and recorder.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polybot.errors import TapeError
from polybot.tape.blocks import build_block, find_blocks
from polybot.tape.content import read_content
from polybot.tape.manifest import MANIFEST_NAME, read_manifest, write_manifest
from polybot.tape.reader import Tape, open_tape
from polybot.tape.records import Damage, read_tail, tail_number
from polybot.tape.tail import NEW_SUFFIX, TAIL_GLOB
from polybot.tape.writer import FRAMES_NAME, TapeSettings

__all__ = ["is_unsealed", "put_outcome", "seal", "tend_tape"]

OPEN_STATE = "recording"
KINDS = ("market", "hour", "import")  # tapes; a log of a session's inputs (polybot.replay) has readers of its own
PIECE_BYTES = 1 << 20
FILE_MODE = 0o644


def is_unsealed(folder: Path) -> bool:
    """Was this tape never closed?  True also when its manifest cannot be read."""
    try:
        manifest = read_manifest(folder / MANIFEST_NAME)
    except TapeError:
        return True
    return bool(manifest["state"] == OPEN_STATE and manifest["kind"] in KINDS)


def tend_tape(folder: Path, outcomes: Mapping[str, int], *, settings: TapeSettings) -> str:
    """Seal a tape when nobody closed it, and put in its outcome when `outcomes` (by condition id) has it.

    Returns what was done, in words.  Raises TapeError for one that is being recorded or is no tape.
    """
    done = [seal(folder, settings=settings)] if is_unsealed(folder) else []
    spec = open_tape(folder).spec
    outcome = None if spec is None else outcomes.get(spec.condition_id)
    if outcome is not None and put_outcome(folder, outcome, source="list of markets"):
        done.append(f"outcome {'Down' if outcome else 'Up'} from the list of markets")
    return "; ".join(done) or "nothing to do"


def seal(folder: Path, *, settings: TapeSettings) -> str:
    """Close a tape that its recorder left open; returns what was found, in words.

    Raises TapeError when it is being recorded or when nothing of it can be read, OSError from the disk.
    """
    with _locked(folder) as fd:
        tape = open_tape(folder)
        manifest = dict(tape.manifest)  # as the entries tell it; read before anything is changed
        if manifest["kind"] not in KINDS:
            raise TapeError(f"{folder}: of kind {manifest['kind']}, no tape to seal")
        ended = bool(tape.content.is_ended)
        found = [one for one in tape.damages if one.lost]
        packed = _pack_tails(folder, fd, level=settings.zstd_level)
        still = {(one.file, one.offset) for one in read_content(folder).damages}
        damages = [one for one in found if (one.file, one.offset) not in still]  # a reader sees the others himself
        manifest["state"] = manifest["state"] if ended else "killed"
        manifest["gaps"] = [*manifest["gaps"], *_gaps(tape, damages, ended=ended)]
        manifest["warnings"] = [*manifest.get("warnings", ()), *(f"sealed: {one.text()}" for one in damages)]
        known = {what for what in ("strike", "outcome") if manifest[what] is not None}
        manifest["missing"] = [what for what in manifest["missing"] if what not in known]
        size, digest = _digest(folder / FRAMES_NAME)
        manifest["files"] = {FRAMES_NAME: {"bytes": size, "sha256": digest}}
        write_manifest(folder / MANIFEST_NAME, manifest)
        _remove_tails(folder)
    count = manifest["content"]["entries"]
    lost = "".join(f"; {one.text()}" for one in damages)
    return f"sealed as {manifest['state']}: {count} entries, {packed} tails packed{lost}"


def put_outcome(folder: Path, outcome: int, *, source: str) -> bool:
    """Write an outcome learned later into the manifest of a closed tape; False when it has one.

    Raises TapeError for an outcome that contradicts the one it has, and for a tape that is being recorded.
    """
    if outcome not in (0, 1):
        raise TapeError(f"{folder}: outcome {outcome} is neither Up (0) nor Down (1)")
    with _locked(folder):
        manifest = read_manifest(folder / MANIFEST_NAME)
        if manifest["outcome"] is not None:
            if manifest["outcome"] != outcome:
                raise TapeError(f"{folder}: outcome {manifest['outcome']} is on the tape, {source} says {outcome}")
            return False
        manifest["outcome"] = outcome
        manifest["outcome_source"] = source
        manifest["missing"] = [what for what in manifest["missing"] if what != "outcome"]
        write_manifest(folder / MANIFEST_NAME, manifest)
        return True


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Hold the lock of the frames file, which a recorder holds as long as it lives; yields its descriptor."""
    fd = os.open(folder / FRAMES_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TapeError(f"{folder}: is being recorded") from None
        yield fd
    finally:
        os.close(fd)


def _pack_tails(folder: Path, fd: int, *, level: int) -> int:
    """Append a block for every tail whose block is not sound; returns how many."""
    data = (folder / FRAMES_NAME).read_bytes()
    broken: list[Damage] = []
    blocks = list(find_blocks(data, file=FRAMES_NAME, damages=broken))
    end = blocks[-1].end if blocks else 0
    if any(one.offset >= end for one in broken):  # a block that was being written: its tail is there
        os.ftruncate(fd, end)
    else:
        end = len(data)
    sound, packed = {block.number for block in blocks}, 0
    for path in sorted(folder.glob(TAIL_GLOB)):
        tail = path.read_bytes()
        number = tail_number(tail)
        number = number if number >= 0 else int(path.name.removeprefix("tail-").removesuffix(".open"))
        entries = [] if number in sound else read_tail(tail, file=path.name, damages=[], number=number)
        if not entries:
            continue
        block = build_block(number, entries, level=level)
        written = 0
        while written < len(block):
            written += os.pwrite(fd, memoryview(block)[written:], end + written)
        end += len(block)
        packed += 1
    os.fdatasync(fd)
    return packed


def _remove_tails(folder: Path) -> None:
    """Their entries are in blocks and on disk."""
    for path in (*folder.glob(TAIL_GLOB), *folder.glob(TAIL_GLOB + NEW_SUFFIX)):
        path.unlink(missing_ok=True)


def _gaps(tape: Tape, damages: list[Damage], *, ended: bool) -> Iterator[dict[str, Any]]:
    """What is missing since the recorder died, and what the kill tore."""
    content = tape.manifest["content"]
    first_ns, last_ns = content["first_ns"], content["last_ns"]
    base: dict[str, Any] = {"feed": "all", "frames": None, "detail": ""}
    for one in damages:
        lost = None if one.lost < 0 else one.lost
        yield {**base, "cause": "damage", "from_ns": first_ns, "to_ns": last_ns, "frames": lost, "detail": one.text()}
    spec = tape.spec
    if not ended and spec is not None and last_ns < spec.end_ns:
        detail = "the recorder was killed"
        yield {**base, "cause": "killed", "from_ns": last_ns, "to_ns": spec.end_ns, "detail": detail}


def _digest(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()
