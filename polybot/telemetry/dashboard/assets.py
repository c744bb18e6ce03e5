"""The page's own files, read into memory once: a request gets one of them by its exact name, or nothing.

Owns the table of names, kinds and packed bodies.  Nothing of a request ever becomes a path, so there is nothing to
traverse.  Called by server.
"""

import gzip
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

__all__ = ["Asset", "load_assets"]

KINDS = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent."""

    body: bytes
    packed: bytes  # gzip
    kind: str
    etag: str


def load_assets() -> dict[str, Asset]:
    """Every file of the page by its address."""
    found: dict[str, Asset] = {}
    _collect(files("polybot.telemetry.dashboard").joinpath("static"), "/static/", found)
    return found


def _collect(folder: Traversable, prefix: str, found: dict[str, Asset]) -> None:
    for item in folder.iterdir():
        if item.is_dir():
            _collect(item, f"{prefix}{item.name}/", found)
            continue
        kind = KINDS.get(item.name[item.name.rfind(".") :])
        if kind is not None:
            body = item.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
            found[prefix + item.name] = Asset(body, gzip.compress(body, mtime=0), kind, etag)
