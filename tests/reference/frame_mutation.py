"""Random spellings and damages of JSON frames, for comparing decoders with a plain reference.

A frame is built from Python values, where an Obj keeps its members in order (and may repeat one)
and a Raw is put down as it is.  `spell` writes it with random key order, white space, escapes and
unknown members; `damage` bites into the bytes.  Everything comes from the given random.Random.
"""

import json
import random
from typing import Any

Member = tuple[str, Any]


class Raw(str):
    """JSON text as it is, for numbers."""


class Obj(list[Member]):
    """An object as its list of members."""


def obj(**members: Any) -> Obj:
    return Obj(members.items())


UNKNOWN: tuple[Any, ...] = (
    Raw("null"),
    Raw("true"),
    Raw("-1.5e-3"),
    Raw("0"),
    Raw("123456789012345678901234567890"),
    "",
    "text",
    'quote " slash \\ tab \t',
    "naïve ☃ \U0001f600",
    [],
    Obj(),
    [[], [Raw("1"), [Obj([("bids", [])])]]],
    Obj([("price", "7"), ("a", [Raw("1")]), ("é", "è")]),
)
# Values that are never right where a number or a text is expected, and some that are.
ODD: tuple[Any, ...] = (
    *UNKNOWN,
    Raw("1e400"),
    Raw("1E2"),
    Raw("-1"),
    Raw("1.0"),
    Raw("0.10"),
    Raw("0.00001"),
    "1e-2",
    "0.5000000",
    "0.50001",
    "-0.5",
    "+0.5",
    ".5",
    "5.",
    "00.5",
    "0x1",
    "1_000",
    " 1",
    "1 ",
    "inf",
    "NaN",
    "9223372036854775808",
    "0.1234567",
    "0.12345600",
    "1.00000000000000000000000001",
    "123456789.12345678901234567890",
)


def spell(value: Any, rng: random.Random, *, wild: float = 0.3) -> bytes:
    """JSON text of a value; `wild` is how likely each liberty is taken, 0 gives the compact form."""
    return _spell(value, rng, wild).encode("utf-8")


def _spell(value: Any, rng: random.Random, wild: float) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, str):
        return _text(value, rng, wild)
    if isinstance(value, Obj):
        members = list(value)
        if rng.random() < wild:
            rng.shuffle(members)
        if rng.random() < wild / 2:
            members.insert(rng.randint(0, len(members)), _unknown_member(rng))
        parts = [
            f"{_text(name, rng, wild / 8)}{_gap(rng, wild)}:{_pad(item, rng, wild)}" for name, item in members
        ]
        return _joined("{}", parts, rng, wild)
    if isinstance(value, list | tuple):
        return _joined("[]", [_pad(item, rng, wild) for item in value], rng, wild)
    return json.dumps(value)


def _joined(brackets: str, parts: list[str], rng: random.Random, wild: float) -> str:
    inner = ",".join(_gap(rng, wild) + part for part in parts)
    return f"{brackets[0]}{inner}{_gap(rng, wild)}{brackets[1]}"


def _pad(value: Any, rng: random.Random, wild: float) -> str:
    return f"{_gap(rng, wild)}{_spell(value, rng, wild)}{_gap(rng, wild)}"


def _gap(rng: random.Random, wild: float) -> str:
    if rng.random() >= wild / 4:
        return ""
    return "".join(rng.choice(" \t\n\r") for _ in range(rng.randint(1, 3)))


def _text(text: str, rng: random.Random, wild: float) -> str:
    if text and rng.random() < wild / 16:
        at = rng.randrange(len(text))
        if ord(text[at]) < 0x10000 and text[at] not in '"\\' and text[at].isprintable():
            pieces = (json.dumps(part)[1:-1] for part in (text[:at], text[at + 1 :]))
            return '"' + f"\\u{ord(text[at]):04x}".join(pieces) + '"'
    return json.dumps(text, ensure_ascii=rng.random() < 0.5)


def _unknown_member(rng: random.Random) -> Member:
    names = ("x", "zz", "hash", "spread", "ignored_key", 'quote"d', "ключ", "", "Timestamp", "tick_sizes")
    value = rng.choice(UNKNOWN)
    for _ in range(rng.choice((0, 0, 0, 3, 45))):
        value = [value] if rng.random() < 0.5 else Obj([("n", value)])
    return rng.choice(names), Raw(_spell(value, rng, 0.0))


def distort(frame: Obj, rng: random.Random) -> Obj:
    """Change one member: drop it, repeat it, or give it an odd value."""
    members = Obj(frame)
    if not members:
        return members
    at = rng.randrange(len(members))
    name, value = members[at]
    if isinstance(value, Obj) and rng.random() < 0.7:
        members[at] = (name, distort(value, rng))
    elif isinstance(value, list) and value and isinstance(value[-1], Obj) and rng.random() < 0.7:
        items = list(value)
        k = rng.randrange(len(items))
        items[k] = distort(items[k], rng)
        members[at] = (name, items)
    else:
        choice = rng.random()
        if choice < 0.2:
            del members[at]
        elif choice < 0.35:
            members.insert(
                rng.randint(0, len(members)), (name, rng.choice(ODD) if rng.random() < 0.5 else value)
            )
        else:
            members[at] = (name, rng.choice(ODD))
    return members


def damage(payload: bytes, rng: random.Random) -> bytes:
    """Truncate, overwrite, insert or drop bytes."""
    if not payload:
        return payload
    at = rng.randrange(len(payload))
    byte = rng.choice(b'{}[]:,"\\ \n0123456789.eE-+tfn\x00\x1f\x7f\x80\xc3\xff' + payload[:20])
    return rng.choice(
        (
            payload[:at],
            payload[:at] + bytes([byte]) + payload[at + 1 :],
            payload[:at] + bytes([byte]) + payload[at:],
            payload[:at] + payload[at + 1 :],
            payload + bytes([byte]),
            payload[:at] + payload[rng.randrange(len(payload)) :],
        )
    )
