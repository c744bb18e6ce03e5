"""The slow exact path: frames the scanner is not sure of, spelled plainly and decoded once more.

Owns the rewriting of one JSON frame (escapes resolved, the last of repeated keys kept, exponents
written out, what cannot be ours dropped) and the counters of it.  Numbers keep their exact value:
they go text -> Decimal -> text, never through a double.  Must not interpret a frame: events come
from the same decoder, so both paths mean the same.  What still cannot be represented is refused.
Called by the feeds in place of ``decoder.feed``.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Protocol

from polybot._fast.event import EventBuffer
from polybot._fast.scan import DEC_MALFORMED, DEC_UNSUPPORTED

__all__ = ["Decoder", "SlowPath", "plain_frame"]

# Written-out numbers longer than this stay as they are and are refused: no price or size needs them.
MAX_EXPONENT = 30
# Nothing we read is nested deeper; what is becomes null.
MAX_DEPTH = 8
# JSON's grammar of numbers.
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Decoder(Protocol):
    """A frame decoder of polybot._fast."""

    def feed(self, payload: bytes, recv_ns: int, out: EventBuffer) -> int:
        """Decode one frame, appending to out; returns a DecodeResult."""
        ...


class SlowPath:
    """A decoder together with its slow exact path; `feed` has the decoder's own signature."""

    __slots__ = ("decoder", "malformed", "refused", "used")

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.used = 0
        self.malformed = 0
        self.refused = 0

    def feed(self, payload: bytes, recv_ns: int, out: EventBuffer) -> int:
        """Decode one frame received at recv_ns (ns); DEC_UNSUPPORTED now means refused for good."""
        result = self.decoder.feed(payload, recv_ns, out)
        if result != DEC_UNSUPPORTED:
            return result
        self.used += 1
        plain = plain_frame(payload)
        if plain is None:
            self.malformed += 1
            return DEC_MALFORMED
        result = self.decoder.feed(plain, recv_ns, out)
        self.refused += result == DEC_UNSUPPORTED
        self.malformed += result == DEC_MALFORMED
        return result

    def counters(self) -> dict[str, int]:
        """How often the slow path was used, and what it could not read."""
        return {"slow_used": self.used, "slow_malformed": self.malformed, "slow_refused": self.refused}


class _Number(str):
    """A number as it was spelled."""

    __slots__ = ()


def plain_frame(payload: bytes) -> bytes | None:
    """Spell a JSON frame so that the scanner can read it; None when it is not JSON."""
    try:
        frame = json.loads(
            bytes(payload).decode("utf-8"),
            parse_float=_Number,
            parse_int=_Number,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError):
        return None
    return _spell(frame, 0).encode("ascii")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _spell(value: object, depth: int) -> str:
    if isinstance(value, _Number):
        return _plain_number(value)
    if isinstance(value, str):
        return f'"{_plain_text(value)}"'
    if isinstance(value, dict) and depth < MAX_DEPTH:
        members = (f'"{key}":{_spell(item, depth + 1)}' for key, item in value.items() if _is_plain(key))
        return f"{{{','.join(members)}}}"
    if isinstance(value, list) and depth < MAX_DEPTH:
        return f"[{','.join(_spell(item, depth + 1) for item in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null"


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def _plain_text(text: str) -> str:
    """A text of ours is plain and stays, a number in it without exponent; no other can match."""
    if not _is_plain(text):
        return "?"
    return _plain_number(text) if NUMBER.fullmatch(text) else text


def _plain_number(text: str) -> str:
    """The same value without exponent; one far beyond any price stays and is refused."""
    if "e" not in text.lower() or len(text) > 2 * MAX_EXPONENT:
        return text
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent of 19 digits
        return text
    if value and not -MAX_EXPONENT <= value.adjusted() <= MAX_EXPONENT:
        return text
    return f"{value:f}"
