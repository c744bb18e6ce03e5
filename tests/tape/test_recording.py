"""Recordings in virtual time: what the engine would have got is on the tape, byte for byte; gaps are marked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tape.recording import Recording, record, recorder_config

import polybot.tape
from polybot._fast.event import EVENT_DTYPE, EventBuffer, EventKind, FeedId, FeedState, Outcome
from polybot.market.window import window_at
from polybot.sim.venue import Venue
from polybot.tape.reader import Tape
from polybot.tape.records import EntryKind, TapeFeed
from polybot.tape.session import TapeSession
from polybot.tape.taped import FeedTap
from polybot.tape.writer import TapeSettings

NS = 1_000_000_000
# Several blocks per tape, so that reading crosses them.
SMALL_BLOCKS = TapeSettings(tail_bytes=1 << 18)


def tapes(folder: Path) -> list[Tape]:
    return [polybot.tape.open(path) for path in polybot.tape.find_tapes(folder)]


def kinds(tape: Tape, kind: int) -> np.ndarray[Any, Any]:
    return tape.events[tape.events["kind"] == kind]


class Live:
    """Every event a feed told while somebody recorded, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[bytes] = []
        sink = FeedTap.sink

        def listen(tap: FeedTap, events: EventBuffer) -> None:
            if tap._targets:
                self.told.append(events.to_bytes())
            sink(tap, events)

        monkeypatch.setattr(FeedTap, "sink", listen)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Recording, Live]]:
    """One lively window, with everything its feeds told while it was recorded."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        live = Live(monkeypatch)
        config = recorder_config(venue__world__spot__quotes_per_s=20.0, venue__world__takers__noise_per_s=2.0)
        yield record(config, tmp_path_factory.mktemp("one"), settings=SMALL_BLOCKS), live


def test_decoded_events_are_those_the_feeds_told_live_byte_for_byte(recorded: tuple[Recording, Live]) -> None:
    recording, live = recorded
    (tape,) = tapes(recording.folder)
    told = np.frombuffer(b"".join(live.told), EVENT_DTYPE)
    assert len(told) > 20_000
    assert len(set(tape.frames["block"].tolist())) > 5
    # Beside them: the past and the states told when the tape began, and what the recorder says of the market.
    first = int(np.flatnonzero(tape.frames["kind"] == EntryKind.FRAME)[0])
    before = [tape.content.entry(index) for index in range(first)]
    own = [one for one in before if (one.kind, one.feed) == (EntryKind.EVENTS, TapeFeed.OWN)]
    told_first = sum(len(one.payload) // 64 for one in own)
    assert set(tape.events["kind"][:told_first].tolist()) <= {EventKind.EV_SPOT_TRADE, EventKind.EV_FEED_STATE}
    rest = tape.events[told_first:]
    said = np.isin(rest["kind"], [EventKind.EV_STRIKE, EventKind.EV_MARKET_CLOSE, EventKind.EV_OUTCOME])
    assert said.sum() == 3
    witnessed = (rest["kind"] == EventKind.EV_FEED_STATE) & (rest["j"] == FeedState.FS_WITNESSED)
    rest = rest[~said & ~witnessed]
    assert rest.tobytes() == told[len(told) - len(rest) :].tobytes()
    early = told[: len(told) - len(rest)]  # the market's own socket opened before the first frame
    assert set(early["kind"].tolist()) <= {EventKind.EV_FEED_STATE}
    assert len(early) <= 1


def test_a_tape_holds_what_an_engine_needs(recorded: tuple[Recording, Live]) -> None:
    recording, _ = recorded
    (tape,) = tapes(recording.folder)
    spec = tape.spec
    assert spec is not None
    found = recording.venue.lifecycle.records[spec.slug]
    assert tape.outcome == found.winner
    assert found.strike_e18 is not None
    assert tape.strike == pytest.approx(found.strike_e18 / 10**18, rel=1e-12)
    assert tape.manifest["strike"]["verified"] is True
    assert tape.manifest["final"] > 0
    assert (tape.manifest["state"], tape.manifest["missing"], tape.gaps, tape.damages) == ("complete", [], (), ())
    assert [int(row["outcome"]) for row in kinds(tape, EventKind.EV_OUTCOME)] == [tape.outcome]
    assert kinds(tape, EventKind.EV_STRIKE)["x"].tolist() == [tape.strike]
    for name in ("SPOT_TRADE", "SPOT_QUOTE", "ORACLE_SPOT", "ORACLE_TWAP", "BOOK_SNAPSHOT", "BOOK_DELTA"):
        assert len(kinds(tape, EventKind[f"EV_{name}"])) > 50, name
    stamps = tape.events["recv_ns"]
    assert np.all(np.diff(stamps) >= 0)
    assert stamps[0] <= spec.start_ns - 35 * NS
    assert kinds(tape, EventKind.EV_MARKET_CLOSE)["recv_ns"][0] >= spec.end_ns
    backfill = tape.events[(tape.events["flags"] & 4) != 0]
    assert len(backfill) > 200
    assert backfill["recv_ns"].max() < tape.events["recv_ns"][(tape.events["flags"] & 4) == 0].max()
    states = kinds(tape, EventKind.EV_FEED_STATE)
    assert {FeedId.FEED_SPOT, FeedId.FEED_ORACLE, FeedId.FEED_MARKET} == set(states["i"].tolist())


def test_discovery_strike_and_outcome_answers_are_on_the_tape_as_received(recorded: tuple[Recording, Live]) -> None:
    (tape,) = tapes(recorded[0].folder)
    answers = [entry.payload for entry in tape.entries() if entry.kind == EntryKind.ANSWER]
    asked = [answer.split(b"\n", 1)[0].decode() for answer in answers]
    assert any("/events/slug/" in line for line in asked)
    assert any("/klines" in line for line in asked)
    assert any("/aggTrades" in line for line in asked)
    assert all(answer.split(b"\n", 2)[1] == b"200" for answer in answers)


def test_no_secret_of_the_account_is_on_the_tape(recorded: tuple[Recording, Live]) -> None:
    recording = recorded[0]
    account = recording.venue.account("main")
    secrets = {str(account["private_key"]).removeprefix("0x")}
    assert recording.session.wires.auth is not None
    secrets |= set(recording.session.wires.auth().values())
    assert len(secrets) == 4
    (tape,) = tapes(recording.folder)
    everything = b"".join(entry.payload for entry in tape.entries())
    assert [secret for secret in secrets if secret.encode() in everything] == []
    assert int((tape.frames["feed"] == TapeFeed.POLYBOLT).sum()) > 100


def test_the_cache_is_used_again_and_made_anew_when_anything_it_is_bound_to_differs(
    recorded: tuple[Recording, Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = tapes(recorded[0].folder)
    events = first.events.tobytes()
    (second,) = tapes(recorded[0].folder)
    assert second.events.tobytes() == events
    assert second.decoding["made"] is False
    cache = first.path / "events.bin"
    data = bytearray(cache.read_bytes())
    data[len(data) // 2] ^= 1
    cache.write_bytes(data)
    (third,) = tapes(recorded[0].folder)
    assert third.events.tobytes() == events
    assert third.decoding["made"] is True
    monkeypatch.setattr("polybot.tape.cache.decoder_version", lambda: "other")
    (fourth,) = tapes(recorded[0].folder)
    assert (fourth.events.tobytes(), fourth.decoding["made"]) == (events, True)


def test_several_intervals_at_once_each_for_so_many_cycles_are_whole_tapes_of_their_own(tmp_path: Path) -> None:
    slow = {"venue.world.makers.requote_ms": 10_000, "venue.world.makers.refresh_ms": 10_000}
    rare = {f"venue.world.spot.{what}_per_s": 1.0 for what in ("trades", "bursts", "quotes")}
    config = recorder_config(record__cycles=2, record__intervals=["5m", "15m"], **slow, **rare)
    recording = record(config, tmp_path)
    found = tapes(tmp_path)
    assert (recording.session.recorded, recording.session.failed) == (4, 0)
    assert sorted(tape.spec.interval for tape in found if tape.spec) == ["15m", "15m", "5m", "5m"]
    numbers: dict[int, bytes] = {}
    shared = 0
    for tape in found:
        assert (tape.manifest["state"], tape.gaps, tape.damages) == ("complete", (), ())
        spec = tape.spec
        assert spec is not None
        assert window_at(spec.interval, spec.start_ns).end_ns == spec.end_ns
        assert np.all(np.diff(tape.frames["seq"].astype(np.int64)) > 0)
        for entry in tape.entries():  # what is on two tapes has one number
            shared += entry.seq in numbers
            assert numbers.setdefault(entry.seq, entry.payload) == entry.payload
    assert shared > 200


class Sockets:
    """The venue's ends of all websockets, to be closed at will."""

    def __init__(self) -> None:
        self.opened: list[Any] = []

    def attach(self, _: TapeSession, venue: Venue) -> None:
        open_one = venue.ws_open

        def ws_open(*args: Any, **more: Any) -> Any:
            self.opened.append(open_one(*args, **more))
            return self.opened[-1]

        venue.ws_open = ws_open  # type: ignore[method-assign]

    def drop(self, _: TapeSession, __: Venue) -> None:
        assert len(self.opened) == 4
        for one in self.opened:
            one.close_reason = "1006"


def test_a_reconnect_is_a_marked_gap_not_a_silent_one(tmp_path: Path) -> None:
    sockets = Sockets()
    recording = record(recorder_config(), tmp_path, during=[(150.0, sockets.drop)], prepare=sockets.attach)
    (tape,) = tapes(tmp_path)
    gaps = {gap.feed: gap for gap in tape.gaps}
    assert set(gaps) == {"spot", "rtds", "polybolt", "market"}
    closed_ns = recording.venue.setup.epoch_ns + 150 * NS
    for gap in gaps.values():
        assert gap.cause == "reconnect"
        assert closed_ns - 5 * NS < gap.from_ns <= closed_ns < gap.to_ns < closed_ns + 30 * NS
    states = kinds(tape, EventKind.EV_FEED_STATE)
    assert FeedState.FS_RECONNECTED in states["j"].tolist()
    assert {EntryKind.CLOSE, EntryKind.OPEN} <= set(tape.frames["kind"].tolist())
    assert tape.manifest["state"] == "complete"
    assert sum(tap.gaps for tap in recording.session.taps) == 3


def test_stopping_in_the_middle_leaves_a_whole_tape_that_says_what_it_lacks(tmp_path: Path) -> None:
    recording = record(recorder_config(), tmp_path, during=[(150.0, lambda session, venue: session.stop())])
    (tape,) = tapes(tmp_path)
    assert (tape.manifest["state"], tape.manifest["missing"]) == ("stopped", ["outcome"])
    assert (tape.damages, tape.outcome) == ((), None)
    assert tape.strike is not None
    assert tape.content.is_ended
    assert recording.session.recorded == 0


def test_a_tape_nobody_closed_tells_strike_gaps_and_content_by_its_entries(tmp_path: Path) -> None:
    """As after a kill: the manifest is the one of the beginning."""
    sockets = Sockets()
    recording = record(recorder_config(), tmp_path, during=[(150.0, sockets.drop)], prepare=sockets.attach)
    (tape,) = tapes(tmp_path)
    (recording.folder / tape.name / "manifest.json").unlink()
    (again,) = tapes(tmp_path)
    assert (again.name, again.spec, again.outcome) == (tape.name, tape.spec, tape.outcome)
    assert again.strike == tape.strike
    assert sorted(map(str, again.gaps)) == sorted(map(str, tape.gaps))
    assert again.events.tobytes() == tape.events.tobytes()
    assert again.outcome in (Outcome.UP, Outcome.DOWN)


def test_the_same_world_is_the_same_tape(tmp_path: Path) -> None:
    config = recorder_config(venue__world__spot__trades_per_s=1.0)
    packed = []
    for name in ("a", "b"):
        record(config, tmp_path / name)
        (tape,) = tapes(tmp_path / name)
        packed.append((tape.path / "frames.zst").read_bytes())
    assert packed[0] == packed[1]


@pytest.mark.parametrize("seed", [1, 2])
def test_in_a_storm_of_faults_the_tape_still_tells_what_the_feeds_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Garbage, cut frames, duplicates, freezes, gaps and closes on the market channel, errors of the REST API."""
    live = Live(monkeypatch)
    config = recorder_config(venue__faults="storm", venue__fault_seed=seed)
    recording = record(config, tmp_path)
    (tape,) = tapes(tmp_path)
    told = np.frombuffer(b"".join(live.told), EVENT_DTYPE)
    states = told["kind"] == EventKind.EV_FEED_STATE
    ours = np.isin(tape.events["kind"], [EventKind.EV_STRIKE, EventKind.EV_MARKET_CLOSE, EventKind.EV_OUTCOME])
    restated_or_witnessed = tape.events["kind"] == EventKind.EV_FEED_STATE
    backfill = (tape.events["flags"] & 4) != 0
    data = tape.events[~ours & ~restated_or_witnessed & ~backfill]
    assert data.tobytes() == told[~states & ((told["flags"] & 4) == 0)].tobytes()
    assert tape.decoding["counters"]["market"]["malformed"] > 0
    reconnects = [gap for gap in tape.gaps if gap.feed == "market"]
    assert len(reconnects) >= 1, recording.notices
    assert (tape.strike is None) == ("strike" in tape.manifest["missing"])
    assert (tape.outcome is None) == ("outcome" in tape.manifest["missing"])
    assert tape.damages == ()
