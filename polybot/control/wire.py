"""What goes over the control socket: one JSON object per line, a request up, an answer down.

    {"do": "halt", "reason": "news", "via": "command line"}      {"ok": true, "text": "...", ...}
    {"do": "watch", "since": "1234", "via": "page"}              {"ok": false, "error": "..."}

Owns the verbs and what a request may hold; anything else is refused in words.  No I/O, no clock.
Called by control.server, control.client and control.watcher.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from polybot.errors import DecodeError

__all__ = ["VERBS", "Request", "encode", "parse_request"]

VERBS = ("hello", "status", "watch", "halt", "resume", "flatten", "kill")
MAX_WORDS = 200  # characters of reason and via that are kept
FIELDS = ("do", "reason", "via", "since")
OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
CURSOR = re.compile(r"[0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """One checked request: a verb and the operator's words."""

    verb: str
    reason: str = ""
    via: str = ""
    since: int | None = None  # the first event wanted; None: only what is still to come


def parse_request(line: bytes) -> Request:
    """Check one line; raises DecodeError saying what is wrong with it."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise DecodeError("not_json", "a request is one JSON object on one line") from None
    if not isinstance(data, dict):
        raise DecodeError("not_an_object", 'a request is an object like {"do": "status"}')
    unknown = [str(key)[:MAX_WORDS] for key in data if key not in FIELDS]
    if unknown:
        raise DecodeError("unknown_field", f"{unknown[0]}; there are {', '.join(FIELDS)}")
    if not all(isinstance(value, str) for value in data.values()):
        raise DecodeError("not_text", "every field of a request is text")
    verb = data.get("do", "")
    if verb not in VERBS:
        raise DecodeError("unknown_verb", f"{verb[:MAX_WORDS]!r}; there are {', '.join(VERBS)}")
    since = data.get("since", "")
    if not CURSOR.fullmatch(since):
        raise DecodeError("not_a_cursor", '"since" is a number as text, as "events_next" told it, or ""')
    words = (_one_line(data.get("reason", "")), _one_line(data.get("via", "")))
    return Request(verb, *words, since=int(since) if since else None)


def encode(message: Mapping[str, Any]) -> bytes:
    """One line of strict JSON; numbers that are none become null, parts that are JSON already stay as they are."""
    try:
        return orjson.dumps(message, default=_plain, option=OPTIONS)
    except orjson.JSONEncodeError:  # half of a surrogate pair, from a file or a request: no text at all
        return orjson.dumps(_text(message), default=_plain, option=OPTIONS)


def _one_line(text: str) -> str:
    """Operator's words as one printable line of bounded length."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_WORDS]).strip()


def _text(value: Any) -> Any:
    """The same with every text one that can be encoded."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_text(key): _text(item) for key, item in value.items()}
    return [_text(item) for item in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """What the encoder does not know by itself."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is nothing that goes over the control socket")
