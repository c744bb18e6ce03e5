"""Tapes nobody closed are sealed without losing or inventing anything; outcomes may come later."""

import asyncio
import gzip
import json
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tape.world import NS, SMALL, START_NS, manifest, open_writer, random_entries

import polybot.tape
from polybot.clock import Clock
from polybot.config import default_config
from polybot.errors import TapeError
from polybot.market.spec import MarketSpec
from polybot.market.window import parse_slug
from polybot.tape.importers.markets import guessed_spec
from polybot.tape.importers.recordings import import_configured
from polybot.tape.leftovers import ask_outcomes, seal_all
from polybot.tape.manifest import MANIFEST_NAME, read_manifest, write_manifest
from polybot.tape.packer import Packer
from polybot.tape.records import Entry
from polybot.tape.sealing import is_unsealed, put_outcome, seal
from polybot.tape.writer import FRAMES_NAME
from polybot.transport import HttpResponse

SLUG = "btc-updown-5m-1795337100"
CONDITION = "0x" + "ab" * 32


def spec() -> MarketSpec:
    return guessed_spec(SLUG, parse_slug(SLUG).windows[0], CONDITION, ("111", "222"))


def killed(folder: Path, entries: list[Entry], *, is_market: bool = True) -> Path:
    """As a killed process leaves it: packed blocks, open tails, no end."""
    packer = Packer(folder, SMALL)
    source = {"label": "recorded", "venue": "sim"}
    told = manifest(kind="market", name=SLUG, market=asdict(spec()), missing=["strike", "outcome"], source=source)
    tape = packer.open(SLUG, told if is_market else manifest())
    for entry in entries:
        assert tape.add(
            entry.seq, entry.recv_ns, feed=entry.feed, kind=entry.kind, payload=entry.payload, aux=entry.aux
        )
    tape.abandon()
    return tape.folder


def read(folder: Path) -> list[Entry]:
    return list(polybot.tape.open(folder).entries())


@pytest.mark.parametrize("count", [0, 1, 40, 400])
def test_a_killed_tape_is_packed_and_closed_and_tells_the_same(tmp_path: Path, count: int) -> None:
    entries = random_entries(Random(count), count)
    folder = killed(tmp_path, entries)
    assert is_unsealed(folder)
    before = read(folder)
    assert before == entries
    text = seal(folder, settings=SMALL)
    assert text.startswith(f"sealed as killed: {count} entries, ")
    tape = polybot.tape.open(folder)
    assert (list(tape.entries()), tape.damages, tape.manifest["state"]) == (before, (), "killed")
    assert sorted(path.name for path in folder.iterdir()) == [FRAMES_NAME, MANIFEST_NAME]
    (gap,) = tape.gaps
    assert (gap.cause, gap.from_ns, gap.to_ns) == (
        "killed", entries[-1].recv_ns if entries else 0, 1_795_337_400 * NS
    )  # fmt: skip
    assert not is_unsealed(folder)
    assert tape.manifest["missing"] == ["strike", "outcome"]


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_a_torn_last_entry_is_named_and_every_other_one_is_sealed(tmp_path: Path, cut: int) -> None:
    entries = random_entries(Random(5), 60)
    folder = killed(tmp_path, entries)
    tail = max(folder.glob("tail-*.open"), key=lambda path: len(path.read_bytes().rstrip(b"\0")))
    data = tail.read_bytes()
    end = len(data.rstrip(b"\0"))
    tail.write_bytes(data[: end - cut] + b"\0" * (len(data) - end + cut))
    before = read(folder)
    text = seal(folder, settings=SMALL)
    assert "damaged at offset" in text
    tape = polybot.tape.open(folder)
    assert list(tape.entries()) == before
    assert 0 < len(entries) - len(before) <= 1
    assert {gap.cause for gap in tape.gaps} == {"damage", "killed"}
    assert any(warning.startswith("sealed: tail-") for warning in tape.manifest["warnings"])
    assert tape.damages == ()


def test_a_kill_while_packing_or_sealing_costs_nothing(tmp_path: Path) -> None:
    """A block half written, its tail still there; then the same again while sealing."""
    entries = random_entries(Random(7), 60)
    folder = killed(tmp_path, entries)
    tails = {path: path.read_bytes() for path in folder.glob("tail-*.open")}
    seal(folder, settings=SMALL)
    whole = (folder / FRAMES_NAME).read_bytes()
    told = read_manifest(folder / MANIFEST_NAME)
    for length in (len(whole) - 1, len(whole) - 40, len(whole) // 2):
        for path, data in tails.items():
            path.write_bytes(data)
        (folder / FRAMES_NAME).write_bytes(whole[:length])
        write_manifest(folder / MANIFEST_NAME, {**told, "state": "recording"})
        have = read(folder)
        seal(folder, settings=SMALL)
        assert read(folder) == have
        assert list(folder.glob("tail-*")) == []


def test_a_tape_that_is_being_recorded_is_left_alone(tmp_path: Path) -> None:
    _, tape = open_writer(tmp_path)
    tape.add(1, START_NS, feed=0, kind=1, payload=b"{}")
    with pytest.raises(TapeError, match="is being recorded"):
        seal(tape.folder, settings=SMALL)
    assert seal_all(tmp_path, settings=SMALL) == [
        ("WARNING", f"tape: not sealed: {tape.folder}: is being recorded")
    ]
    tape.close(START_NS + 1, state="complete")
    assert [entry.payload for entry in read(tape.folder)] == [b"{}", b""]
    assert seal_all(tmp_path, settings=SMALL) == []


def test_what_is_no_tape_is_left_alone(tmp_path: Path) -> None:
    packer = Packer(tmp_path, SMALL)
    packer.open("log", manifest(kind="inputs")).abandon()
    assert not is_unsealed(tmp_path / "log")
    with pytest.raises(TapeError, match="of kind inputs, no tape to seal"):
        seal(tmp_path / "log", settings=SMALL)
    assert seal_all(tmp_path, settings=SMALL) == []
    assert len(list((tmp_path / "log").glob("tail-*"))) > 0


def test_a_manifest_that_was_torn_too_is_told_by_the_entries(tmp_path: Path) -> None:
    _, tape = open_writer(tmp_path)
    tape.own(START_NS, 9, json.dumps(manifest()).encode())
    tape.abandon()
    (tape.folder / MANIFEST_NAME).write_text("{")
    assert is_unsealed(tape.folder)
    assert "sealed as killed: 1 entries" in seal(tape.folder, settings=SMALL)
    assert read_manifest(tape.folder / MANIFEST_NAME)["state"] == "killed"


def test_an_outcome_comes_later_once_and_is_never_contradicted(tmp_path: Path) -> None:
    folder = killed(tmp_path, random_entries(Random(3), 9))
    seal(folder, settings=SMALL)
    assert put_outcome(folder, 1, source="somebody") is True
    tape = polybot.tape.open(folder)
    assert (tape.outcome, tape.manifest["outcome_source"], tape.manifest["missing"]) == (1, "somebody", ["strike"])
    assert put_outcome(folder, 1, source="another") is False
    with pytest.raises(TapeError, match="outcome 1 is on the tape, another says 0"):
        put_outcome(folder, 0, source="another")
    with pytest.raises(TapeError, match="neither Up"):
        put_outcome(folder, 2, source="another")


def test_the_command_import_seals_what_it_finds_and_takes_outcomes_from_a_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed(tmp_path / "tapes", random_entries(Random(3), 9))
    raw = {
        "slug": SLUG,
        "conditionId": CONDITION,
        "outcomes": '["Up", "Down"]',
        "clobTokenIds": '["111", "222"]',
        "outcomePrices": '["0", "1"]',
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
    }
    (tmp_path / "markets.jsonl.gz").write_bytes(gzip.compress(json.dumps(raw).encode()))
    settings: dict[str, Any] = {"record.source": str(tmp_path / "tapes")}
    assert import_configured(default_config(**settings)) == 0
    assert f"[1/1] {SLUG}: sealed as killed: 9 entries, " in capsys.readouterr().out
    settings["record.markets_file"] = str(tmp_path / "markets.jsonl.gz")
    assert import_configured(default_config(**settings)) == 0
    assert f"[1/1] {SLUG}: outcome Down from the list of markets" in capsys.readouterr().out
    assert import_configured(default_config(**settings)) == 0
    told = capsys.readouterr().out
    assert f"[1/1] {SLUG}: nothing to do" in told
    assert "1 markets, 1 with an outcome, 0 without" in told


class Gamma:
    """A venue that answers for one market: who won, or nothing yet."""

    def __init__(self, winner: int | None, condition: str = CONDITION) -> None:
        self.asked: list[str] = []
        self._winner = winner
        self._condition = condition

    async def request(self, method: str, url: str, **_: Any) -> HttpResponse:
        self.asked.append(f"{method} {url}")
        if "/markets/" in url:
            known = self._winner is not None and self._condition in url
            tokens = [
                {"token_id": token, "winner": known and index == self._winner}
                for index, token in enumerate(("111", "222"))
            ]
            return HttpResponse(200, {}, json.dumps({"tokens": tokens}).encode())
        return HttpResponse(404, {}, b"{}")

    async def warm(self, url: str, timeout_s: float) -> int:
        return 0


class Later:
    """A clock that stands behind the window's end."""

    def now_ns(self) -> int:
        return 1_795_338_000 * NS

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("asked once, not waited for")


@pytest.mark.parametrize(("gamma", "outcome"), [(Gamma(1), 1), (Gamma(None), None)])
def test_at_the_start_of_a_recording_the_venue_is_asked_once(tmp_path: Path, gamma: Gamma, outcome: int | None) -> None:
    folder = killed(tmp_path, random_entries(Random(3), 9))
    ((level, text),) = seal_all(tmp_path, settings=SMALL)
    assert (level, "sealed as killed" in text) == ("RECORD", True)
    notices: list[str] = []
    clock: Clock = Later()  # type: ignore[assignment]

    def ask(**settings: str) -> int:
        config = default_config(**{key.replace("__", "."): value for key, value in settings.items()})
        return asyncio.run(
            ask_outcomes(tmp_path, config, clock, gamma, lambda level, text: notices.append(f"{level} {text}"))
        )

    assert (ask(), gamma.asked) == (0, [])  # a venue of its own, which cannot know
    found = ask(venue__attach="http://127.0.0.1:1")
    assert found == (outcome is not None)
    assert polybot.tape.open(folder).outcome == outcome
    assert len(gamma.asked) >= 1
    told = f"RECORD {SLUG}: the venue says Down" if found else "WARNING 1 earlier tapes are still without an outcome"
    assert notices == [told]
