"""The search for canaries finds every planted leak, in every form and kind of file, and nothing else.

Only because of this does an empty result of the campaign (tests/test_canary_campaign.py) mean anything.
"""

import base64
import gzip
import random
import sqlite3
from pathlib import Path

import pytest

from polybot.tape.blocks import build_block
from polybot.tape.records import Entry, EntryKind
from tests.canary import Canary, find_in_bytes, find_in_files, forms_of

RND = random.Random(17)
KEY = RND.randbytes(32)
SECRET = RND.randbytes(32)
CANARIES = [
    Canary("key", "0x" + KEY.hex(), KEY),
    Canary("secret", base64.urlsafe_b64encode(SECRET).decode(), SECRET),
    Canary("passphrase", RND.randbytes(32).hex()),
    Canary("token", "1234567890:AA" + base64.urlsafe_b64encode(RND.randbytes(24)).decode()),
]
FORMS = [(canary, name) for canary in CANARIES for name in forms_of(canary)]
NOISE = RND.randbytes(3_000) + b'{"price": "0.52", "id": "' + RND.randbytes(32).hex().encode() + b'"}' * 40


@pytest.mark.parametrize(("canary", "form"), FORMS, ids=[f"{canary.name}-{form}" for canary, form in FORMS])
def test_a_leak_in_any_form_is_found_whole_and_by_either_half(canary: Canary, form: str) -> None:
    leak = forms_of(canary)[form]
    middle = len(leak) // 2
    for part in (leak, leak[:middle], leak[middle:]):
        hits = find_in_bytes(NOISE + b"x=" + part + b";" + NOISE, CANARIES, where="here")
        assert f"{canary.name} as {form} in here" in hits


@pytest.mark.parametrize(
    "leak",
    [
        KEY.hex().upper(),
        KEY.hex().upper().encode()[::-1].decode(),
        "0X" + KEY.hex(),
        " ".join(KEY.hex()[i : i + 2] for i in range(0, 64, 2)),
        ":".join(KEY.hex()[i : i + 2].upper() for i in range(0, 64, 2)),
        ", ".join(f"0x{byte:02x}" for byte in KEY),
        "".join(f"\\x{byte:02x}" for byte in KEY),
        KEY.hex()[:40] + "\n" + KEY.hex()[40:],
        str(int.from_bytes(KEY, "big")),
        str(int.from_bytes(KEY, "little")),
        base64.b64encode(KEY).decode(),
        base64.b64encode(KEY).decode().rstrip("="),
        base64.urlsafe_b64encode(KEY).decode(),
        base64.b64encode(b"key=" + KEY + b";").decode(),
        base64.b64encode(("0x" + KEY.hex()).encode()).decode(),
        base64.b64encode(KEY.hex().encode()).decode()[::-1],
        ("0x" + KEY.hex())[::-1],
        repr(KEY),
        str(list(KEY)),
    ],
)
def test_usual_ways_to_write_a_key_are_found(leak: str) -> None:
    assert find_in_bytes(NOISE + leak.encode() + NOISE, CANARIES)


def test_raw_bytes_and_backwards_bytes_are_found() -> None:
    assert find_in_bytes(NOISE + KEY + NOISE, CANARIES)
    assert find_in_bytes(NOISE + KEY[::-1] + NOISE, CANARIES)


def test_nothing_is_found_where_nothing_is() -> None:
    others = random.Random(18)
    for _ in range(50):
        assert find_in_bytes(others.randbytes(20_000) + others.randbytes(2_000).hex().encode(), CANARIES) == []


def test_leaks_are_found_in_files_of_every_kind_and_in_names(tmp_path: Path) -> None:
    text = b"a log line with " + CANARIES[0].text.encode()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "polybot.log").write_bytes(NOISE + text)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(text))
    entries = [Entry(number, number, 6, int(EntryKind.CALL), 0, part) for number, part in enumerate((NOISE, text), 1)]
    blocks = [build_block(number, entries[number - 1 : number], level=3) for number in (1, 2)]
    (tmp_path / "frames.zst").write_bytes(b"".join(blocks))
    (tmp_path / f"named-{CANARIES[2].text}").mkdir()
    database = sqlite3.connect(tmp_path / "ledger.sqlite")
    database.execute("create table facts (name text, value blob)")
    filler = RND.randbytes(9_000)  # the row overflows its page: the file holds it in pieces
    database.execute("insert into facts values (?, ?)", ("x", filler + SECRET + filler))
    database.commit()
    database.close()
    (tmp_path / "clean.csv").write_bytes(NOISE)
    hits = "\n".join(find_in_files(tmp_path, CANARIES))
    named = f"the name named-{CANARIES[2].text}"
    for where in ("deep/er/polybot.log", "packed.gz", "frames.zst", "ledger.sqlite", named):
        assert where in hits
    assert "clean.csv" not in hits
