"""What the operator reads: facts in every line, colours and status line on a terminal only."""

import io
import re
from pathlib import Path

import pytest

from polybot._fast.event import CommandKind, OrderStatus, StrikeSource, TradeStatus
from polybot.config import default_config
from polybot.telemetry.banner import banner_lines
from polybot.telemetry.console import Console, ConsoleMode
from tests.telemetry.scripted import END_NS, NS, SLUG, START_NS, Desk, Terminal

T0 = START_NS + 61_234_567_890
ESCAPE = "\x1b"


def banner(**overrides: object) -> str:
    config = default_config(**overrides)
    return "\n".join(
        banner_lines(
            mode=config.mode,
            venue=config.venue,
            interval=config.interval,
            asset=config.asset,
            risk=config.risk,
            strategies=config.strategy,
            version="1.2.3",
        )
    )


def test_banner_of_the_embedded_venue_says_simulated() -> None:
    text = banner()
    assert "polybot 1.2.3   mode LIVE   venue SIM   SIMULATED" in text
    assert "no real money" in text
    assert "asset BTC (BTCUSDT, btc/usd)   interval 5m" in text


def test_banner_shows_the_risk_table_in_force_and_the_strategies_that_are_on() -> None:
    text = banner(**{"strategy.certainty_capture.enabled": False})
    assert (
        "risk standard: bankroll $1,000.00   max exposure 15.0%   daily halt -3.0%   weekly halt -8.0%"
        in text
    )
    assert re.search(r"latency_arb +2\.00% +8\.00% +200 ms +50\n", text)
    assert re.search(r"certainty_capture +5\.00% +10\.00% +1000 ms +15   off", text)
    assert "strategies on: latency_arb, convexity_fade, strike_misalign, lp_extreme\n" in text
    assert re.search(r"cross_timeframe +0\.50% +2\.00% +2000 ms +10   off", text)


def test_banner_labels_slow_makers_as_a_demonstration() -> None:
    assert "makers=slow (edge on purpose: for demonstration)" in banner(**{"venue.makers": "slow"})
    assert "demonstration" not in banner(**{"venue.makers": "lagged"})


@pytest.mark.parametrize(
    ("mode", "words"), [("paper", "SIMULATED FILLS"), ("live", "REAL ORDERS, REAL MONEY")]
)
def test_banner_of_the_real_venue_says_what_is_real(mode: str, words: str) -> None:
    config = default_config()
    venue = type(config.venue)(name="polymarket")
    lines = banner_lines(
        mode=type(config.mode)(name=mode),
        venue=venue,
        interval=config.interval,
        asset=config.asset,
        risk=config.risk,
        strategies=config.strategy,
    )
    text = "\n".join(lines)
    assert f"venue POLYMARKET   {words}" in text
    assert "makers" not in text


def play_events(desk: Desk) -> None:
    """A market opens, gets its strike, sees a dispatched and two denied signals, an order and a fill."""
    desk.open_market()
    desk.inbox.strike_captured(
        3,
        78_800.0,
        source=StrikeSource.STRIKE_RTDS_TWAP,
        stamp_ns=START_NS,
        now_ns=START_NS + 1_500_000_000,
        verified=True,
    )
    terms = {"market": 3, "strategy": 0, "price_ticks": 5_200, "shares": 12_340_000, "order_type": 3}
    numbers = {"edge": 0.0412, "fair": 0.5787, "confidence": 0.412, "size_frac": 0.02}
    desk.push(CommandKind.CMD_SIGNAL, reason=0, order_seq=12, **terms, **numbers)
    desk.push(CommandKind.CMD_PLACE, order_seq=12, **terms)
    for _ in range(2):
        desk.push(CommandKind.CMD_SIGNAL, reason=1, **terms, **numbers)
    desk.push(CommandKind.CMD_SIGNAL, reason=2, **terms, **numbers)
    filled = {"reason": OrderStatus.OS_FILLED, "usd": 12_340_000}
    desk.push(CommandKind.CMD_ORDER, market=3, strategy=0, order_seq=12, **filled)
    desk.push(
        CommandKind.CMD_FILL,
        market=3,
        strategy=0,
        order_seq=12,
        price_ticks=5_199,
        shares=12_340_000,
        usd=6_630_160,
        edge=215_590.0,
        confidence=77.0,
        reason=TradeStatus.TS_MATCHED,
    )
    desk.drain_all()


def diagnose(desk: Desk, **fields: object) -> None:
    """A diagnostic with the gates of both strategies."""
    state = {
        "tau_s": 179.6,
        "spot": 78_812.1,
        "distance": 12.1,
        "fair": 0.7021,
        "edge": 6.57e-5,
        "confidence": 0.53,
        "size_frac": 0.004,
        "delta": 2.5e-4,
        "gamma": -1.2e-9,
        "vega": 0.55,
        "order_type": 1,
        "price_ticks": 6_900,
        "reason": 7_000,
        "shares": 12_340_000,
        "usd": 78_800_000_000,
        "side": 1,
    }
    desk.push(CommandKind.CMD_DIAGNOSTIC, market=3, **{**state, **fields})
    gates = [
        (0, 0, 1.0, 1.0, 1.0, 2.0),
        (0, 1, -0.012, 0.03, 0.0, 0.0),
        (0, 2, 0.0, 0.01, -1.0, 1.0),
        (1, 0, 1.75, 1.5, 1.0, 0.0),
        (1, 1, 0.025, 0.02, 1.0, 0.0),
    ]
    for strategy, gate, value, threshold, passed, compare in gates:
        desk.push(
            CommandKind.CMD_GATE,
            market=3,
            strategy=strategy,
            reason=gate,
            edge=value,
            fair=threshold,
            size_frac=passed,
            confidence=compare,
        )


def test_one_line_per_event_with_its_facts(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    play_events(desk)
    assert desk.text().splitlines() == [
        f"07:49:30.000 BTC 5m 07:50  OPEN      {SLUG}  2025-11-22T07:50:00Z to 2025-11-22T07:55:00Z"
        "  rule=twap(60s)  tick=0.01  min_shares=5  fee_rate=0.07",
        "07:50:01.500 BTC 5m 07:50  STRIKE    78,800.00  source=RTDS_TWAP  stamp=07:50:00.000  verified",
        "07:51:01.234 BTC 5m 07:50  SIGNAL    latency_arb  Up  edge=+0.0412  fair=0.5787  price=0.52"
        "  confidence=0.41  size=2.00%  order=12  DISPATCHED",
        "07:51:01.234 BTC 5m 07:50  ORDER     12  latency_arb  Buy 12.34 Up @ 0.52 FAK  NEW",
        "07:51:01.234 BTC 5m 07:50  ORDER     12  latency_arb  Buy 12.34 Up @ 0.52 FAK  FILLED  matched=12.34",
        "07:51:01.234 BTC 5m 07:50  FILL      12  latency_arb  Buy 12.34 Up @ 0.5199  taker"
        "  cost=$6.63  fee=$0.2156  MATCHED",
    ]


def test_the_ten_second_block_says_what_blocks_and_counts_the_denied(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    play_events(desk)
    desk.stream.truncate(0)
    desk.stream.seek(0)
    desk.inbox.feed_ages({"spot": 0.12, "market": 1.04, "oracle": 2.0})
    desk.inbox.sample("binance", ts_ns=T0, wire_ns=900_000, decode_ns=100, decide_ns=450)
    diagnose(desk)
    desk.drain_all()
    assert desk.text().splitlines() == [
        "07:51:01.234 BTC 5m 07:50  left=2:59  spot=78,812.10  strike=78,800.00(RTDS_TWAP)  distance=+12.10",
        "    sigma=6.570e-05/sqrt(s)  z=+0.530  fair_up=0.7021 +/- 0.0040  regime=range 0.55",
        "    up=0.6900/0.7000  down=0.3000/0.3100  house=Up  position=12.34 Up  delta=2.500e-04  gamma=-1.200e-09",
        "    ages spot=0.1s  market=1.0s  oracle=2.0s",
        "    latency p50/p99 us  binance_recv 900.0/900.0  eval_binance 0.5/0.5",
        "    latency_arb        edge=-0.0120  blocked by edge        [ask ok, edge -0.012>=0.03 NO, move -]",
        "    certainty_capture  edge=+0.0250  fires                  [abs_z 1.75>=1.5 ok, edge 0.025>=0.02 ok]",
        "    denied since the last block: HOUSE_SIDE 2, COOLDOWN 1",
    ]


def test_the_next_block_counts_anew(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    play_events(desk)
    diagnose(desk)
    diagnose(desk, decided_ns=T0 + 10 * NS)
    desk.drain_all()
    assert desk.text().count("denied since the last block") == 1
    assert desk.text().count("distance=") == 2


def test_a_block_without_strike_book_or_price_says_so(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.open_market()
    nan = float("nan")
    blocked = {"usd": 0, "strategy": 1}
    diagnose(desk, **blocked, price_ticks=-1, reason=-1, fair=nan, tau_s=nan, side=0, shares=-5_000_000)
    desk.drain_all()
    text = desk.text()
    assert "    entries blocked: HOUSE_SIDE\n" in text
    assert "left=-" in text
    assert "strike=UNKNOWN" in text
    assert "fair_up=unknown" in text
    assert "up=-/-  down=-/-  house=none  position=5 Down" in text


def test_market_and_final_summary_tell_outcome_money_and_losses(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    play_events(desk)
    desk.inbox.market_marked(3, 1, now_ns=END_NS)
    desk.inbox.outcome_known(3, 0, source="gamma", now_ns=END_NS + NS)
    desk.push(CommandKind.CMD_SETTLEMENT, market=3, shares=12_340_000, usd=5_709_840, edge=6_630_160.0)
    desk.inbox.market_finished(3, now_ns=END_NS + NS)
    desk.drain_all()
    text = desk.text()
    assert "the venue's outcome is Up  source=gamma" in text
    assert "SETTLED   latency_arb  winner=Up  cost=$6.63  payout=$12.34  pnl=+$5.71" in text
    assert (
        "MARKET    outcome=Up  our_mark=Down  pnl=+$5.71  cost=$6.63  fees=$0.22  signals=4  orders=1" in text
    )
    assert "WARNING: the venue's outcome differs from ours" in text
    assert "denied: HOUSE_SIDE 2, COOLDOWN 1" in text
    desk.writer.close()
    end = desk.text()[desk.text().index("SUMMARY") :]
    assert "markets=1  settled=1  wins=1  losses=0" in end
    assert "signals=4  dispatched=1  orders=1  fills=1" in end
    assert "pnl=+$5.71  cost=$6.63  payout=$12.34  fees=$0.22" in end
    assert re.search(r"latency_arb +1 +1 +0 +\+5\.71", end)
    assert "denied: HOUSE_SIDE 2, COOLDOWN 1" in end
    assert "WARNING: 1 outcomes differed from our mark" in end
    assert "dropped records=0" in end


def test_refusals_and_notices_are_lines(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.inbox.market_refused("btc-x", "unknown_rule", "no such text", now_ns=START_NS)
    desk.inbox.notice("WARNING", "spot feed lost", now_ns=START_NS)
    desk.drain_all()
    assert "REFUSED   btc-x  unknown_rule  no such text" in desk.text()
    assert "WARNING   spot feed lost" in desk.text()


@pytest.mark.parametrize(
    ("terminal", "environ", "coloured"),
    [(True, {}, True), (True, {"NO_COLOR": "1"}, False), (False, {}, False)],
)
def test_colour_only_on_a_terminal_without_no_color(
    terminal: bool, environ: dict[str, str], coloured: bool, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, stream=Terminal() if terminal else io.StringIO(), environ=environ)
    play_events(desk)
    desk.writer.close()
    assert (f"{ESCAPE}[3" in desk.text()) == coloured


def test_status_line_stays_below_the_lines_and_goes_at_the_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path, stream=Terminal(), environ={"NO_COLOR": "1"})
    play_events(desk)
    facts = {"spot": 78_812.1, "fair": 0.7021, "bid_ticks": 6_900, "ask_ticks": 7_000}
    desk.inbox.second(3, now_ns=T0, spot_fresh=True, book_fresh=True, **facts)
    desk.drain_all()
    status = (
        "07:51:01 BTC 5m 07:50  left=3:58  spot=78,812.10  strike=78,800.00  fair_up=0.702  up=0.6900/0.7000"
        "  orders=1  pnl=$0.00"
    )[: 120 - 1]
    clear = "\r\x1b[K"
    assert desk.text().endswith(f"{clear}{status}")
    desk.inbox.notice("WARNING", "hello", now_ns=T0)
    desk.drain_all()
    assert f"hello\n{status}" in desk.text()
    desk.writer.close()
    assert desk.text().endswith(clear)


def test_status_line_is_refreshed_at_most_once_per_half_second(tmp_path: Path) -> None:
    desk = Desk(tmp_path, stream=Terminal(), environ={"NO_COLOR": "1"})
    desk.open_market()
    for tenth in range(20):
        desk.clock.mono = tenth * 100_000_000
        at_ns = START_NS + tenth * 100_000_000
        desk.inbox.second(3, now_ns=at_ns, spot_fresh=False, book_fresh=True)
        desk.drain_all()
    assert desk.text().count("left=") == 4
    assert "left=5:00" in desk.text()


def test_no_status_line_where_there_is_no_terminal(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.open_market()
    desk.inbox.second(3, now_ns=T0, spot_fresh=True, book_fresh=True)
    desk.drain_all()
    assert "left=" not in desk.text()


@pytest.mark.parametrize(("mode", "live"), [("auto", True), ("live", True), ("plain", False), ("off", False)])
def test_modes_on_a_terminal(mode: ConsoleMode, live: bool) -> None:
    stream = Terminal()
    console = Console(stream, mode=mode, environ={}, scrub=str)
    console.event(START_NS, "x", "FILL hello")
    assert console.live is live
    assert ("hello" in stream.getvalue()) is (mode != "off")


def test_text_from_outside_cannot_move_the_cursor_or_start_a_line() -> None:
    stream = io.StringIO()
    Console(stream, environ={}, scrub=str).event(
        START_NS, "x", "REFUSED evil\x1b[2J\n07:50 FILL fake \u2028 \xe9"
    )
    assert stream.getvalue() == "07:50:00.000 x             REFUSED evil?[2J?07:50 FILL fake \\u2028 \\xe9\n"


def test_secrets_do_not_reach_the_console(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.redactor.register("s3cret-passphrase")
    desk.inbox.notice("ERROR", "auth failed for s3cret-passphrase", now_ns=START_NS)
    desk.drain_all()
    assert "s3cret" not in desk.text()
    assert "auth failed for [redacted]" in desk.text()


def test_a_closed_pipe_switches_the_console_off_and_telemetry_goes_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.stream.close()
    play_events(desk)
    assert desk.console.failed == 1
    assert len(desk.table("orders.csv")) == 3
