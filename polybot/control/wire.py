"""What goes over the control socket: one JSON object per line, a request up, an answer down.

    {"do": "halt", "reason": "news", "via": "command line"}      {"ok": true, "text": "...", ...}
                                                                 {"ok": false, "error": "..."}

Owns the verbs and what a request may hold; anything else is refused in words.  No I/O, no clock.
Called by control.server and control.client.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polybot.errors import DecodeError

__all__ = ["VERBS", "Request", "encode", "parse_request"]

VERBS = ("hello", "status", "halt", "resume", "flatten", "kill")
MAX_WORDS = 200  # characters of reason and via that are kept
FIELDS = ("do", "reason", "via")


@dataclass(frozen=True, slots=True)
class Request:
    """One checked request: a verb and the operator's words."""

    verb: str
    reason: str = ""
    via: str = ""


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
    return Request(verb, _one_line(data.get("reason", "")), _one_line(data.get("via", "")))


def encode(message: Mapping[str, Any]) -> bytes:
    """One line of strict JSON; numbers that are none become null."""
    return json.dumps(_finite(message), separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _one_line(text: str) -> str:
    """Operator's words as one printable line of bounded length."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_WORDS]).strip()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
