"""The manifest of a tape: what it is of, what came of it, what is missing, in one JSON file.

Owns the names of its fields and how it is written (whole or not at all) and read.  The entries of the tape are the
truth; the manifest sums them up and adds what entries do not have: market metadata, versions, hashes.
Called by writer, reader and importers.

    format, version, kind ("market", "hour" or "import"), state ("recording", "complete", "stopped", "imported")
    name, program, created_ns, source {label, ...}, symbols {spot, oracle, polybolt}
    market (MarketSpec or null), strike, outcome (0 Up, 1 Down, null), final (oracle price stamped at the end, or null)
    content, gaps, missing, files, warnings
"""

import dataclasses
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polybot
from polybot.errors import TapeError
from polybot.market.spec import MarketSpec

__all__ = ["FORMAT", "MANIFEST_NAME", "VERSION", "new_manifest", "read_manifest", "spec_of", "write_manifest"]

FORMAT = "polybot-tape"
VERSION = 1
MANIFEST_NAME = "manifest.json"


def new_manifest(
    *,
    kind: str,
    name: str,
    created_ns: int,
    source: Mapping[str, Any],
    symbols: Mapping[str, str],
    spec: MarketSpec | None = None,
    state: str = "recording",
    missing: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the manifest a tape begins with."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "state": state,
        "name": name,
        "program": f"polybot {polybot.__version__}",
        "created_ns": created_ns,
        "source": dict(source),
        "symbols": dict(symbols),
        "market": None if spec is None else dataclasses.asdict(spec),
        "strike": None,
        "outcome": None,
        "final": None,
        "missing": list(missing),
        "warnings": [],
    }


def write_manifest(path: Path, document: Mapping[str, Any]) -> None:
    """Write it whole beside its place and move it there, with a checksum of its own; raises OSError."""
    new = path.with_name(path.name + ".new")
    data = json.dumps({**document, "check": _check(document)}, indent=1).encode() + b"\n"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        written = 0
        while written < len(data):
            written += os.write(fd, data[written:])
        os.fdatasync(fd)
    finally:
        os.close(fd)
    new.replace(path)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest; raises TapeError when it is none, was changed, or is of a version this program does not know."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TapeError(f"{path}: not a manifest: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise TapeError(f"{path}: not the manifest of a tape")
    if document.get("version") != VERSION:
        raise TapeError(f"{path}: version {document.get('version')}, this program reads {VERSION}")
    if document.pop("check", None) != _check(document):
        raise TapeError(f"{path}: its checksum is wrong: damaged, or changed by hand")
    return document


def spec_of(document: Mapping[str, Any]) -> MarketSpec | None:
    """The market of a manifest, None when it has none; raises TapeError for fields that are not a market's."""
    fields = document.get("market")
    if fields is None:
        return None
    try:
        return MarketSpec(**fields)
    except TypeError as error:
        raise TapeError(f"the market of the manifest: {error}") from error


def _check(document: Mapping[str, Any]) -> int:
    rest = {key: value for key, value in document.items() if key != "check"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())
