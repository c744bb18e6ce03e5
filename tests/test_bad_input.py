"""Bad input from every side: each piece is counted, said on the console, and survived.

The first window meets the trouble, the second one must be traded as if nothing had been, and the venue's own
ledger must agree to the micro-USD.  Trouble is made where it arises: in the venue's answers, or on the wire just
before a feed reads a frame.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from runs import NS, QUIET, START_NS, configure, markets, rows, run
from scenario import Scenario
from scenario import rows as command_rows

from polybot._fast.event import CommandKind, OrderStatus, Outcome, Side
from polybot._fast.risk import Denial
from polybot.errors import VenueUnavailable
from polybot.harness import VirtualRun
from polybot.sim.venue import Venue
from polybot.trader import Trader, Wires
from polybot.transport import HttpResponse

FIRST_NS = 1_795_337_100 * NS  # the next boundary after START_NS
FIRST, SECOND = "btc-updown-5m-1795337100", "btc-updown-5m-1795337400"
SETTLED = ("Up", "Down")
GARBAGE = (b'{"event_type":"book","asset_id":', b"\xff\xfe\x00{]", b'{"a":1}}', b'[{"e":"trade"')
UP, BUY = int(Outcome.UP), int(Side.BUY)
NO_HALTS = {"risk.daily_loss_halt_frac": 1.0, "risk.weekly_loss_halt_frac": 1.0}
LEAD_S = 40.0  # the world starts so long before the first window

Call = Callable[[], HttpResponse]
Change = Callable[[str, str, int, Call], HttpResponse]  # service, "METHOD /path", now_ns, the true answer
Passes = Callable[[str, bytes, int], Iterable[bytes]]  # feed, frame, now_ns -> frames that the feed gets
Prepare = Callable[[Trader, Venue], None]
Edit = Callable[[dict[str, Any], dict[str, Any]], None]  # event, market of Gamma


def at(seconds: float) -> float:
    """Venue seconds after the start of the run, of a time relative to the first window's start."""
    return LEAD_S + seconds


def play(tmp_path: Path, config: dict[str, Any] | None = None, **more: Any) -> VirtualRun:
    """Two quiet windows; what the first one loses must not halt the second, which is to be seen trading."""
    settings = {**QUIET, **NO_HALTS, **(config or {})}
    return run(tmp_path, configure(run__markets=2, **settings), start_ns=START_NS, **more)


def change_answers(venue: Any, change: Change) -> None:
    """Let `change` produce every HTTP answer of the venue."""
    answer = venue.http

    def http(service: str, method: str, path: str, query: str, **more: Any) -> HttpResponse:
        def call() -> HttpResponse:
            found: HttpResponse = answer(service, method, path, query, **more)
            return found

        return change(service, f"{method} {path}", more["now_ns"], call)

    venue.http = http


def change_frames(trader: Trader, passes: Passes) -> None:
    """Let `passes` decide what the feeds get for each frame."""
    drive = trader.wires.drive

    def drive_changed(feed: Any, rollover_s: float) -> Any:
        read = feed.on_payload

        def on_payload(payload: bytes, recv_ns: int) -> None:
            for frame in passes(feed.name, payload, recv_ns):
                read(frame, recv_ns)

        feed.on_payload = on_payload
        return drive(feed, rollover_s)

    trader.wires = Wires(http=trader.wires.http, drive=drive_changed)


def change_gamma(slug: str, change: Edit, until_ns: int = 1 << 62) -> Prepare:
    """A `prepare` that changes (event, market) of one slug in every answer of Gamma."""

    def on_answer(service: str, what: str, now_ns: int, call: Call) -> HttpResponse:
        answer = call()
        if service != "gamma" or slug.encode() not in answer.body or now_ns >= until_ns:
            return answer
        parsed = orjson.loads(answer.body)
        for event in parsed if isinstance(parsed, list) else [parsed]:
            for market in event.get("markets", ()) if event.get("slug") == slug else ():
                change(event, market)
        return HttpResponse(answer.status, answer.headers, orjson.dumps(parsed))

    def prepare(_: Trader, venue: Venue) -> None:
        change_answers(venue, on_answer)

    return prepare


def market_feed(trader: Trader) -> Any:
    """The book feed of the first market."""
    return trader._cycles[0].feed


def first_market(trader: Trader) -> Any:
    """The engine's state of the first market."""
    return trader.engine.markets[0]


def check_second_window(result: VirtualRun, *, settled: int, refused: int) -> dict[str, dict[str, str]]:
    """The daemon lived: two windows seen, the second traded and settled, every cent as at the venue."""
    found = markets(result)
    assert (result.summary.windows, result.summary.settled, result.summary.refused) == (2, settled, refused)
    assert found[SECOND]["outcome"] in SETTLED
    assert found[SECOND]["our_mark"] == found[SECOND]["outcome"]
    assert float(found[SECOND]["strike"]) > 0
    assert int(found[SECOND]["orders"]) > 0
    assert result.check.is_ok, result.check.text()
    assert not result.summary.orders_may_be_open
    assert result.trader.engine.strays == 0
    assert "entries halted" not in result.console
    return found


# -- frames ------------------------------------------------------------------------------------------------------


@dataclass
class Shears:
    """Cuts every n-th JSON frame of a feed in half during the first window, and adds garbage now and then."""

    every: dict[str, int]
    seen: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)

    def passes(self, feed: str, payload: bytes, now_ns: int) -> Iterable[bytes]:
        if not FIRST_NS <= now_ns < FIRST_NS + 290 * NS or not payload.startswith((b"{", b"[")):
            return (payload,)
        self.seen[feed] += 1
        if self.seen[feed] % self.every[feed]:
            return (payload,)
        self.cut[feed] += 1
        garbage = GARBAGE[self.cut[feed] % len(GARBAGE)]
        self.added[feed] += garbage.startswith((b"{", b"[")) or feed != "oracle"  # RTDS talks plain text, too
        return (payload[: len(payload) // 2], garbage)


Sheared = tuple[VirtualRun, Shears]


@pytest.fixture(scope="module")
def sheared(tmp_path_factory: pytest.TempPathFactory) -> Sheared:
    """Two windows, the first one with scissors on every wire."""
    shears = Shears({"spot": 40, "oracle": 10, "polybolt": 10, "market": 25, "user": 2})

    def prepare(trader: Trader, _: Venue) -> None:
        change_frames(trader, shears.passes)

    return play(tmp_path_factory.mktemp("sheared"), prepare=prepare), shears


def test_truncated_and_garbage_frames_are_counted_on_every_feed_and_the_daemon_goes_on(
    sheared: Sheared,
) -> None:
    result, shears = sheared
    trader = result.trader
    totals = trader.tally.totals()
    for feed in ("spot", "oracle", "polybolt", "market", "user"):
        counts = totals[feed]
        refused = sum(counts.get(name, 0) for name in ("malformed", "slow_malformed", "malformed_texts"))
        assert shears.cut[feed] >= 3, feed
        assert refused == shears.cut[feed] + shears.added[feed], feed
        assert re.search(rf"WARNING   feed {feed}: .*malformed(_texts)?=\d", result.console), feed
    check_second_window(result, settled=2, refused=0)


def test_what_a_lost_frame_tears_is_noticed_and_mended(sheared: Sheared) -> None:
    result, shears = sheared
    totals = result.trader.tally.totals()
    assert 0 < totals["spot"]["missing_trades"] <= shears.cut["spot"]
    assert result.trader.engine.spot.gaps == totals["spot"]["gaps"] > 0
    assert totals["polybolt"]["gaps"] > 0
    assert totals["market"]["resync_requests"] > 0
    # Half of the user channel's news never came: fills of the first window were found by asking.
    assert shears.cut["user"] > 0
    assert int(markets(result)[FIRST]["fills"]) > 0
    assert result.trader.gateway.counters()["resolver_looks"] > 0


def test_a_book_for_an_unknown_token_is_counted_and_touches_no_book(tmp_path: Path) -> None:
    books: list[tuple[int, int]] = []

    def inject(trader: Trader, _: Venue) -> None:
        spec, book = first_market(trader).spec, first_market(trader).book
        stranger = {
            "event_type": "book",
            "market": "0x" + "77" * 32,
            "asset_id": "123456789",
            "bids": [{"price": "0.97", "size": "1000"}],
            "asks": [{"price": "0.98", "size": "1000"}],
            "timestamp": str(trader.clock.now_ns() // 1_000_000),
        }
        elsewhere = {**stranger, "asset_id": spec.token_up}  # our token under another market's name
        before = book.content_hash()
        for frame in (stranger, [stranger, stranger], elsewhere):
            market_feed(trader).on_payload(orjson.dumps(frame), trader.clock.now_ns())
        books.append((before, book.content_hash()))

    result = play(tmp_path, during=[(at(60.0), inject)])
    assert len(books) == 1
    assert books[0][0] == books[0][1]
    counts = result.trader.tally.totals()["market"]
    assert (counts["unknown_token"], counts["market_mismatch"]) == (3, 1)
    assert "WARNING   feed market: market_mismatch=1 unknown_token=3" in result.console
    found = check_second_window(result, settled=2, refused=0)
    assert int(found[FIRST]["orders"]) > 0


def test_a_crossed_book_stops_entries_until_a_new_snapshot_came(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def cross(trader: Trader, _: Venue) -> None:
        market, now_ns = first_market(trader), trader.clock.now_ns()
        frame = {
            "event_type": "book",
            "market": market.spec.condition_id,
            "asset_id": market.spec.token_up,
            "bids": [{"price": "0.30", "size": "500"}, {"price": "0.70", "size": "500"}],
            "asks": [{"price": "0.80", "size": "500"}, {"price": "0.35", "size": "500"}],
            "timestamp": str(now_ns // 1_000_000),
            "tick_size": "0.01",
        }
        seen["orders"] = len(trader.engine.orders)
        market_feed(trader).on_payload(orjson.dumps(frame), now_ns)
        seen["crossed"] = market.book.is_crossed()

    def watch(trader: Trader, _: Venue) -> None:
        market = first_market(trader)
        if market.book.is_crossed():
            seen["crossed_orders"] = len(trader.engine.orders)
        else:
            seen.setdefault("mended_ns", trader.clock.now_ns())
        seen["blocked"] = market.stats()["blocked"].get(Denial.BOOK_CROSSED, 0)
        seen["resyncs"] = market.resyncs

    watches = [(at(100.2 + 0.1 * step), watch) for step in range(600)]
    # Nobody trades, so no snapshot comes by itself: only asking for one mends the book.
    result = play(tmp_path, {"venue.world.takers.noise_per_s": 0.0}, during=[(at(100.0), cross), *watches])
    assert seen["crossed"]
    assert seen["crossed_orders"] == seen["orders"]
    assert seen["blocked"] > 0
    assert seen["resyncs"] >= 1
    assert FIRST_NS + 100 * NS < seen["mended_ns"] < FIRST_NS + 115 * NS
    assert re.search(r"WARNING   feed market: .*resync_requests=\d", result.console)
    check_second_window(result, settled=2, refused=0)


def test_a_level_off_the_tick_fetches_the_tick_size_anew_every_time(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []  # (requests so far, micro-shares at the level)

    def look(trader: Trader, _: Venue) -> None:
        requests = market_feed(trader).counters()["tick_refetch_requests"]
        seen.append((requests, first_market(trader).book.size_at(UP, BUY, 123)))

    def level(price: str) -> Callable[[Trader, Venue], None]:
        def inject(trader: Trader, venue: Venue) -> None:
            spec, now_ns = first_market(trader).spec, trader.clock.now_ns()
            change = {"asset_id": spec.token_up, "price": price, "size": "10", "side": "BUY"}
            frame = {
                "event_type": "price_change",
                "market": spec.condition_id,
                "timestamp": str(now_ns // 1_000_000),
                "price_changes": [change],
            }
            market_feed(trader).on_payload(orjson.dumps(frame), now_ns)
            look(trader, venue)

        return inject

    off_tick, off_grid = level("0.0123"), level("0.01234")  # 0.01 is the tick, 0.0001 our grid
    times = ((60.0, off_tick), (70.0, look), (80.0, off_tick), (90.0, look), (100.0, off_grid), (110.0, look))
    result = play(tmp_path, during=[(at(when), call) for when, call in times])
    assert seen == [(1, 10_000_000), (1, 0), (2, 10_000_000), (2, 0), (3, 0), (3, 0)]
    counts = result.trader.tally.totals()["market"]
    assert (counts["off_grid"], counts["tick_refetch_requests"]) == (1, 3)
    assert "WARNING   feed market: tick_refetch_requests=1" in result.console
    assert re.search(r"WARNING   feed market: .*off_grid=1", result.console)
    found = check_second_window(result, settled=2, refused=0)
    assert int(found[FIRST]["orders"]) > 0


def test_a_book_that_stays_off_its_tick_is_asked_about_once_until_a_clean_one_came() -> None:
    scenario = Scenario([])
    clean, odd = [(4_900, 100)], [(4_905, 100)]
    asked = []
    for second, bids in enumerate((clean, odd, odd, odd, clean, odd, odd)):
        scenario.book(float(second), bids, [(5_100, 100)])
        asked.append(len(command_rows(scenario.go(), CommandKind.CMD_REFETCH_TICK)))
    assert asked == [0, 1, 0, 0, 0, 1, 0]


# -- markets -----------------------------------------------------------------------------------------------------


def unknown_rule(event: dict[str, Any], market: dict[str, Any]) -> None:
    event["resolutionSource"] = market["resolutionSource"] = "https://example.com/some/other/rule"


def no_tokens(_: dict[str, Any], market: dict[str, Any]) -> None:
    market["clobTokenIds"] = '["", ""]'


def wrong_names(_: dict[str, Any], market: dict[str, Any]) -> None:
    market["outcomes"] = '["Yes", "No"]'


REFUSALS = [
    ("unknown_resolution_rule", unknown_rule, 1),
    ("outcome_names", wrong_names, 1),
    ("empty_token_ids", no_tokens, 10),
]


@pytest.mark.parametrize(("code", "change", "times"), REFUSALS)
def test_a_market_that_cannot_be_trusted_is_refused_by_name_and_the_next_is_traded(
    tmp_path: Path, code: str, change: Edit, times: int
) -> None:
    result = play(tmp_path, prepare=change_gamma(FIRST, change))
    assert result.trader.discovery.counters[code] >= times
    assert (times == 1) == (result.trader.discovery.counters[code] == 1)  # only what may heal is asked again
    assert re.search(rf"REFUSED   {FIRST}  {code}", result.console)
    found = check_second_window(result, settled=1, refused=1)
    assert FIRST not in found
    assert f"OPEN      {FIRST}" not in result.console


def clob_unknown(until_ns: int) -> Prepare:
    """A `prepare`: the CLOB does not know the first market for a while."""

    def prepare(_: Trader, venue: Venue) -> None:
        record = venue.lifecycle.find(FIRST)
        assert record is not None
        cid = record.spec.condition_id

        def on_answer(service: str, what: str, now_ns: int, call: Call) -> HttpResponse:
            if service == "clob" and what == f"GET /clob-markets/{cid}" and now_ns < until_ns:
                return HttpResponse(404, {}, b'{"error":"market not found"}')
            return call()

        change_answers(venue, on_answer)

    return prepare


HEALED_NS = FIRST_NS - 60 * NS
RETRIES = [
    ("empty_token_ids", change_gamma(FIRST, no_tokens, until_ns=HEALED_NS)),
    ("not_listed", clob_unknown(HEALED_NS)),
]


@pytest.mark.parametrize(("code", "prepare"), RETRIES)
def test_a_market_that_is_not_ready_is_asked_for_again_and_traded(
    tmp_path: Path, code: str, prepare: Prepare
) -> None:
    result = play(tmp_path, {"venue.lead_s": 120.0}, prepare=prepare)
    assert result.trader.discovery.counters[code] >= 3
    assert re.search(rf"WARNING   {FIRST}: .*{code}", result.console)
    assert "REFUSED" not in result.console
    found = check_second_window(result, settled=2, refused=0)
    assert found[FIRST]["outcome"] in SETTLED
    assert float(found[FIRST]["strike"]) > 0
    assert int(found[FIRST]["orders"]) > 0


def test_a_strike_that_is_not_the_venues_late_figure_is_said_out_loud(tmp_path: Path) -> None:
    def raise_figure(event: dict[str, Any], _: dict[str, Any]) -> None:
        if "eventMetadata" in event:
            event["eventMetadata"]["priceToBeat"] += 25.0

    result = play(tmp_path, prepare=change_gamma(FIRST, raise_figure))
    found = check_second_window(result, settled=2, refused=0)
    ours, theirs = re.findall(rf"{FIRST}: our strike ([\d.]+) is not the venue's ([\d.]+)", result.console)[0]
    assert float(theirs) - float(ours) == pytest.approx(25.0, abs=0.01)
    assert float(ours) == pytest.approx(float(found[FIRST]["strike"]))
    assert f"{SECOND}: our strike" not in result.console


def test_a_missing_strike_is_said_and_that_market_not_traded(tmp_path: Path) -> None:
    def silence(_: Trader, venue: Venue) -> None:
        # The oracle publishes nothing around the first window's start; PolyBolt's history has the same hole.
        venue.oracle._silent_from_ns = FIRST_NS - 5 * NS
        venue.oracle._silent_to_ns = FIRST_NS + 20 * NS

    result = play(tmp_path, prepare=silence)
    assert re.search(rf"ERROR     {FIRST}: STRIKE UNKNOWN", result.console)
    assert re.search(rf"REFUSED   {FIRST}  strike_unknown", result.console)
    found = check_second_window(result, settled=2, refused=1)
    assert found[FIRST]["strike"] == ""
    assert found[FIRST]["orders"] == "0"
    assert found[FIRST]["outcome"] in SETTLED
    assert found[FIRST]["our_mark"] == ""


# -- orders ------------------------------------------------------------------------------------------------------


@dataclass
class LostAnswer:
    """Spoils the answer to the first order, and watches what becomes of it."""

    reaches: bool  # does the order get to the venue?
    answer: HttpResponse | None  # None: no answer in time
    bodies: list[bytes] = field(default_factory=list)
    spoiled_ns: int = 0
    seq: int = 0
    unknown: list[tuple[int, int, int]] = field(default_factory=list)  # (its reserve, all reserves, exposure)
    ended: list[int] = field(default_factory=list)

    def prepare(self, trader: Trader, _: Venue) -> None:
        http: Any = trader.wires.http
        send: Callable[..., Awaitable[HttpResponse]] = http.request

        async def request(method: str, url: str, **more: Any) -> HttpResponse:
            is_order = method == "POST" and url.endswith("/order")
            if is_order:
                self.bodies.append(more["body"])
            if not is_order or len(self.bodies) > 1:
                return await send(method, url, **more)
            self.spoiled_ns = trader.clock.now_ns()
            (self.seq,) = trader.gateway.open_order_seqs()
            if self.reaches:
                await send(method, url, **more)
            if self.answer is None:
                await trader.clock.sleep(trader.config.venue.request_timeout_s)
                raise VenueUnavailable("POST /order: no complete answer in 5 s")
            return self.answer

        http.request = request
        # The user channel would tell the truth within milliseconds: it is mute for a while.
        change_frames(trader, self.passes)

    def passes(self, feed: str, payload: bytes, now_ns: int) -> Iterable[bytes]:
        mute = feed == "user" and 0 < self.spoiled_ns <= now_ns < self.spoiled_ns + 20 * NS
        return () if mute and payload != b"PONG" else (payload,)

    def watch(self, trader: Trader, _: Venue) -> None:
        order = trader.engine.orders.get(self.seq)
        if order is None:
            return
        if order.status == OrderStatus.OS_UNKNOWN:
            risk = trader.engine.risk
            self.unknown.append((order.reserved_usd, risk.reserved_usd, risk.exposure()))
        if not order.is_open:
            self.ended.append(order.status)


ERROR_500 = HttpResponse(500, {"content-type": "application/json"}, b'{"error":"internal server error"}')
LOST = [
    pytest.param(False, ERROR_500, id="refused-by-500-and-never-placed"),
    pytest.param(True, ERROR_500, id="placed-but-answered-500"),
    pytest.param(True, None, id="placed-but-timed-out"),
    pytest.param(False, None, id="timed-out-and-never-placed"),
]


@pytest.mark.parametrize(("reaches", "answer"), LOST)
def test_an_order_without_an_answer_counts_until_it_is_resolved_and_is_never_sent_twice(
    tmp_path: Path, reaches: bool, answer: HttpResponse | None
) -> None:
    lost = LostAnswer(reaches, answer)
    watches = [(at(0.1 * step), lost.watch) for step in range(3_200)]
    patient = {"gateway.reconcile_s": 600.0}  # the regular comparison would find it, too
    result = play(tmp_path, patient, prepare=lost.prepare, during=watches)
    counters = result.trader.gateway.counters()
    assert counters["unknown"] == 1
    assert re.search(rf"ORDER     {lost.seq} .* UNKNOWN", result.console)
    # Its reservation counts as exposure as long as nobody knows better.
    assert lost.unknown
    assert all(0 < its <= reserved <= exposure for its, reserved, exposure in lost.unknown)
    assert counters["resolver_looks"] > 0
    assert lost.ended
    assert set(lost.ended) <= {OrderStatus.OS_FILLED, OrderStatus.OS_CANCELED, OrderStatus.OS_REJECTED}
    # One POST per order, one order at the venue per POST that got there.
    assert len(set(lost.bodies)) == len(lost.bodies) == counters["placed"]
    accepted = [row["order_id"] for row in rows(result, "orders.csv") if row["state"] == "NEW"]
    assert len(set(accepted)) == len(accepted) == len(lost.bodies)
    (mine,) = [row for row in rows(result, "orders.csv") if row["order_seq"] == str(lost.seq)][-1:]
    assert (int(mine["matched_micro"]) > 0) == reaches
    check_second_window(result, settled=2, refused=0)
    assert result.trader.engine.risk.reserved_usd == 0
    assert result.trader.engine.risk.exposure() == 0
