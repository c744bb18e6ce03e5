"""Cases an adversarial reading of the shell found: what ends the daemon, what outlives it, what is not forgotten."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from runs import NS, QUIET, START_NS, configure, run

import polybot.harness
from polybot._fast.event import GTC, EventBuffer, EventKind, FeedId, FeedState, OrderStatus
from polybot.errors import InvariantBroken, SigningError, VenueUnavailable
from polybot.gateway.reasons import RejectReason
from polybot.gateway.reconcile import ReconcileReport
from polybot.gateway.signer import Signer
from polybot.sim.memory import memory_venue
from polybot.telemetry.inbox import TelemetryInbox
from polybot.trader import Trader, Wires
from tests.gateway.fake_http import ANVIL_KEY, answer, command
from tests.gateway.fake_http import run_virtual as run_gateway


def place_by_hand(trader, **fields):
    """One order past the engine, into the market that is live."""
    index = min(trader.gateway._markets)
    tick = {"price_ticks": 100, "shares": 110_000_000, "order_type": GTC} | fields
    trader.gateway.execute(command(order_seq=9_000_000, market=index, **tick))


def cut_off(trader):
    async def no_answer(*args, **kwargs):
        await asyncio.sleep(0.01)
        raise VenueUnavailable("cut off")

    trader.gateway._rest._http = SimpleNamespace(request=no_answer)


def test_stop_while_the_venue_is_unreachable_ends_within_ten_seconds_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(polybot.harness, "OVERTIME_S", 60.0)

    def break_and_stop(trader, _):
        cut_off(trader)
        place_by_hand(trader)
        asyncio.get_running_loop().call_later(1.0, trader.stop)

    result = run(tmp_path, configure(**QUIET), during=[(100.0, break_and_stop)], with_journal=False)
    assert result.summary.orders_may_be_open
    assert result.trader.clock.mono_ns() / NS < 112.0


def test_a_contradiction_in_our_own_state_cancels_what_rests_before_the_daemon_ends(tmp_path, monkeypatch):
    seen = {}

    async def contradict():
        raise InvariantBroken("planted")

    def plant(trader, venue):
        seen.update(trader=trader, venue=venue)
        place_by_hand(trader)
        asyncio.get_running_loop().call_later(1.0, lambda: trader.spawn(contradict()))

    with pytest.raises(ExceptionGroup, match="unhandled"):
        run(tmp_path, configure(**QUIET), during=[(100.0, plant)], with_journal=False)
    trader = seen["trader"]
    assert trader.gateway.open_order_seqs() == () or trader.summary.orders_may_be_open


def test_a_window_that_breaks_is_settled_all_the_same_and_the_next_one_is_traded(tmp_path):
    def plant(trader, _):
        whole = trader.outcomes.wait
        broken = []

        async def wait(spec):
            if not broken:
                broken.append(spec.slug)
                raise ValueError("planted")
            return await whole(spec)

        trader.outcomes.wait = wait

    result = run(tmp_path, configure(run__markets=2, **QUIET), prepare=plant)
    assert "a window broke and is not traded on: ValueError: planted" in result.console
    assert result.summary.settled == 2
    assert result.check.is_ok, result.check.text()


def idle_trader():
    config = configure()
    config = replace(config, venue=memory_venue(config.venue))
    return Trader(
        config,
        SimpleNamespace(now_ns=lambda: START_NS, mono_ns=lambda: 0, real_s=lambda s: s),
        Wires(http=None, drive=None),
        signer=Signer(ANVIL_KEY, config.venue),
        inbox=TelemetryInbox(),
    )


def user_state(trader, state):
    events = EventBuffer()
    events.add(EventKind.EV_FEED_STATE, i=FeedId.FEED_USER, j=state)
    trader._on_user_state(events)


def test_a_comparison_from_before_a_gap_does_not_open_entries_after_it():
    async def main():
        trader = idle_trader()
        answers = [asyncio.get_running_loop().create_future() for _ in range(2)]
        queue = list(answers)
        trader.gateway.reconcile = lambda: queue.pop(0)
        spawned = []
        trader.entries._spawn = lambda work: spawned.append(asyncio.ensure_future(work))
        trader.entries.on_user_connected()
        await asyncio.sleep(0)
        user_state(trader, FeedState.FS_DISCONNECTED)
        trader.entries.on_user_connected()
        await asyncio.sleep(0)
        answers[0].set_result(ReconcileReport(0, (), 0, 0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        before = trader.entries.reconciled
        answers[1].set_result(ReconcileReport(0, (), 0, 0))
        await asyncio.gather(*spawned)
        return before, trader.entries.reconciled

    assert asyncio.run(main()) == (False, True)


def test_an_order_whose_only_trade_is_first_heard_of_as_failed_comes_to_its_end():
    async def scenario(bench):
        await bench.start()
        bench.http.script(
            "POST",
            "/order",
            lambda request: answer(
                200, bench.http.placed(request, "matched", takingAmount="10", makingAmount="5.2")
            ),
        )
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        bench.trade_event(status="FAILED")
        bench.http.trades = [bench.trade_row(status="FAILED")]
        await bench.clock.sleep(20)
        assert bench.gateway.open_order_seqs() == ()
        assert bench.updates()[-1][1] == 0

    run_gateway(scenario)


def test_an_order_that_cannot_be_signed_is_refused():
    async def scenario(bench):
        await bench.start()

        def sign(*_):
            raise SigningError("planted")

        bench.gateway._sign = sign
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        assert bench.updates() == [(OrderStatus.OS_REJECTED, 0)]
        assert bench.reason() == RejectReason.SIGNING

    run_gateway(scenario)


def test_a_window_that_cannot_be_settled_either_is_left_to_the_next_start_and_the_next_one_is_traded(tmp_path):
    def plant(trader, _):
        whole, first = trader.outcomes.wait, []

        async def wait(spec):
            first.append(spec.slug)
            if spec.slug == first[0]:
                raise ValueError("planted")
            return await whole(spec)

        trader.outcomes.wait = wait

    result = run(tmp_path, configure(run__markets=2, **QUIET), prepare=plant)
    assert "a broken window cannot be settled: ValueError: planted" in result.console
    assert result.summary.settled == 1
