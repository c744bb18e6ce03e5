"""Findings of the review of order truth: each was a way to lose an order, a fill, a halt or the knowledge of one."""

import asyncio
from types import SimpleNamespace

import pytest
from journal.history import open_journal
from scenario import NS, make_risk

from polybot._fast.event import EventBuffer, EventKind, FeedId, FeedState, OperatorCode, OrderStatus
from polybot.cycle import WindowCycle
from polybot.entries import EntryGate
from polybot.errors import JournalError, VenueError, VenueUnavailable
from polybot.gateway.reasons import RejectReason as Why
from polybot.gateway.reconcile import ReconcileReport
from polybot.journal.ledger_thread import LedgerThread
from polybot.journal.records import HaltKind, Latch
from polybot.latches import LossKeeper
from polybot.recovering import check_sound
from polybot.trader import Trader
from tests.gateway.fake_http import SPEC, answer, command, run_virtual

GTC = 0
REJECTED, CANCELED, LIVE = (int(OrderStatus[f"OS_{name}"]) for name in ("REJECTED", "CANCELED", "LIVE"))
AGREES = ReconcileReport(open_orders=0, strangers=(), missing=0, balance_micro_usd=0)


# -- lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("told", "fails"), [(0, True), (2, True), ("1", True), (1, False), (None, False)])
def test_a_page_whose_count_is_not_its_rows_is_no_list(told, fails):
    async def scenario(bench):
        await bench.start()
        row = {"id": "0x" + "ab" * 32, "market": "0x00", "status": "LIVE"}
        page = {"data": [row], "next_cursor": "LTE=", "limit": 100, "count": told}
        bench.http.always("GET", "/data/orders", answer(200, page))
        if fails:
            with pytest.raises(VenueError, match="a page of 1 rows tells"):
                await bench.gateway.reconcile()
            assert not [e for e in bench.events if e["kind"] == EventKind.EV_BALANCE]
        else:
            assert (await bench.gateway.reconcile()).strangers == (row["id"],)

    run_virtual(scenario)


# -- orders that are alive and should not be ------------------------------------------------------------------------


async def cancel_told(bench):
    """One resting order, accepted, listed, and told by the user channel as canceled."""
    await bench.start()
    bench.gateway.execute(command(order_type=GTC))
    await bench.clock.sleep(0.5)
    bench.http.orders[bench.id_of(1)] = bench.order_row(1) | {"order_type": "GTC"}
    bench.order_event(1, kind="CANCELLATION", status="CANCELED")
    assert bench.updates()[-1][0] == CANCELED


def test_an_order_that_ended_for_us_and_is_listed_open_is_cancelled_and_told():
    async def scenario(bench):
        await cancel_told(bench)
        report = await bench.gateway.reconcile()
        (request,) = bench.http.sent("DELETE", "/orders")
        assert request.json() == [bench.id_of(1)]
        assert "had ended here and is open at the venue" in "; ".join(report.problems)
        assert report.canceled_strangers == ()  # it is ours
        assert (await bench.gateway.reconcile()).problems == ()

    run_virtual(scenario)


def test_an_end_in_the_middle_of_the_questions_is_no_revenant():
    """The list was made before the order ended: nothing is cancelled, nothing is a problem."""

    async def scenario(bench):
        await bench.start()
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.5)
        page = {"data": [bench.order_row(1)], "next_cursor": "LTE="}

        def listed(request):
            asyncio.get_running_loop().call_later(
                0.001, lambda: bench.order_event(1, kind="CANCELLATION", status="CANCELED")
            )
            return answer(200, page)

        bench.http.script("GET", "/data/orders", listed)
        report = await bench.gateway.reconcile()
        assert bench.updates()[-1][0] == CANCELED
        assert report.problems == report.revenants == ()
        assert not bench.http.sent("DELETE", "/orders")

    run_virtual(scenario)


def test_a_resting_order_that_comes_back_from_refused_is_held_by_the_switch():
    async def scenario(bench):
        await bench.start()
        bench.http.script("POST", "/order", answer(400, {"error": "not enough balance / allowance: x"}))
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(30.0)
        assert bench.updates()[-1][0] == REJECTED
        before = len(bench.http.sent("POST", "/v1/heartbeats"))
        bench.order_event(1, kind="PLACEMENT", status="LIVE")
        assert bench.updates()[-1][0] == LIVE
        bench.gateway.on_beat()
        await bench.clock.sleep(11.0)
        assert len(bench.http.sent("POST", "/v1/heartbeats")) >= before + 2

    run_virtual(scenario)


def test_a_refused_order_that_comes_back_and_fills_is_no_difference():
    """It was added up as over with nothing; what it holds now is still by our own fills."""

    async def scenario(bench):
        await bench.start()
        bench.http.script("POST", "/order", answer(400, {"error": "not enough balance / allowance: x"}))
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.5)
        assert (await bench.gateway.reconcile()).problems == ()
        leg = {"order_id": bench.id_of(1), "side": "BUY", "matched_amount": "10"}
        row = bench.trade_row(1, status="CONFIRMED") | {"taker_order_id": "0x" + "ee" * 32, "side": "SELL"}
        row["maker_orders"] = [row["maker_orders"][0] | leg]
        bench.gateway.on_user_event(row | {"event_type": "trade"}, bench.clock.now_ns())
        bench.http.trades.append(row)
        bench.http.shares[SPEC.token_up], bench.http.balance = "10000000", str(1_000_000_000 - 5_200_000)
        assert [fill[1] for fill in bench.fills()] == [10_000_000]
        for _ in range(2):
            assert (await bench.gateway.reconcile()).problems == ()

    run_virtual(scenario)


# -- stops ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order_type", [GTC, 3])
def test_an_order_not_yet_written_when_everything_is_cancelled_never_leaves(order_type):
    async def scenario(bench):
        await bench.start()
        bench.http.is_free = False
        bench.gateway.execute(command(order_type=order_type))
        await bench.gateway.cancel_all()
        await bench.clock.sleep(1.0)
        assert not bench.http.sent("POST", "/order")
        assert bench.updates()[-1][0] == REJECTED
        assert bench.reason() == Why.WITHDRAWN
        assert bench.gateway.open_order_seqs() == ()

    run_virtual(scenario)


def test_cancelling_before_the_login_says_that_orders_may_be_open():
    """A restart with restored orders while the venue does not answer: the stop must say so, not break."""

    async def scenario(bench):
        with pytest.raises(VenueUnavailable, match="may be open"):
            await bench.gateway.cancel_all()
        assert bench.http.requests == []

    run_virtual(scenario)


def test_nothing_is_resumed_or_sold_once_winding_down_has_begun():
    told = []
    fake = SimpleNamespace(
        losses=SimpleNamespace(freeze_manual=lambda: None),
        gateway=SimpleNamespace(open_order_seqs=tuple),
        _stopping=asyncio.Event(),
        stopping=True,
        tell=lambda kind, i: told.append((kind, i)),
    )
    fake._close_entries = lambda is_closed: Trader._close_entries(fake, is_closed)
    asyncio.run(Trader._wind_down(fake))
    assert fake._stopping.is_set()  # Operator.resume refuses from here on
    fake._close_entries(False)  # the gate would open
    closed = (EventKind.EV_VENUE, 1)
    assert told == [(EventKind.EV_OPERATOR, OperatorCode.OP_HALT), closed, closed]


def test_a_broken_pump_does_not_keep_a_stop_from_cancelling_what_rests():
    done = []

    async def cancel_all():
        done.append("cancelled")

    def tell(kind, **fields):
        raise RuntimeError("the pump is broken")

    open_orders = [(7,), (), ()]
    fake = SimpleNamespace(
        losses=SimpleNamespace(freeze_manual=lambda: None),
        _stopping=asyncio.Event(),
        stopping=True,
        tell=tell,
        gateway=SimpleNamespace(open_order_seqs=lambda: open_orders.pop(0), cancel_all=cancel_all),
        config=SimpleNamespace(engine=SimpleNamespace(stop_wait_s=1.0)),
        notice=lambda level, text: done.append(text),
        summary=SimpleNamespace(orders_may_be_open=False),
    )
    fake._close_entries = lambda is_closed: Trader._close_entries(fake, is_closed)
    asyncio.run(Trader._wind_down(fake))
    assert done == ["the engine could not be halted: RuntimeError: the pump is broken", "cancelled"]


def test_a_stop_does_not_wait_for_the_warm_start_of_hosts_that_do_not_answer():
    notices = []

    async def never(*_, **__):
        await asyncio.Event().wait()

    async def start():
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            fake = SimpleNamespace(
                _group=group,
                config=SimpleNamespace(venue=SimpleNamespace(spot_rest_urls=(), request_timeout_s=5.0)),
                spot_feed=SimpleNamespace(warm_start=never),
                wires=SimpleNamespace(http=None),
                clock=SimpleNamespace(now_ns=lambda: 0),
                notice=lambda *words: notices.append(words),
                _wait_stopped=stopping.wait,
            )
            asyncio.get_running_loop().call_soon(stopping.set)
            async with asyncio.timeout(60.0):
                await Trader._warm_up(fake)

    asyncio.run(start())
    assert notices == []


def test_a_halt_by_the_operator_while_the_daemon_stops_is_kept_over_the_restart():
    saved = []
    store = SimpleNamespace(load=lambda: None, save=lambda state, before, *, reason, by: saved.append((state, by)))
    risk = make_risk()
    keeper = LossKeeper(risk, store, notice=lambda *_, **__: None)
    keeper.freeze_manual()
    risk.halt()  # part of stopping
    keeper.note()
    assert saved == []
    keeper.explain("too hot", "operator")
    keeper.keep_manual()
    keeper.note()
    assert [(state.halted_manual, by) for state, by in saved] == [(True, "operator")]


# -- comparisons ------------------------------------------------------------------------------------------------------


def test_a_comparison_begun_while_nobody_listened_does_not_open_entries():
    async def main():
        gates, spawned = [asyncio.Event(), asyncio.Event()], []
        asked = iter(gates)

        async def reconcile():
            await next(asked).wait()
            return AGREES

        gateway = SimpleNamespace(
            reconcile=reconcile, on_beat=lambda: None, entry_pause=lambda: Why.NONE, pause_detail=str
        )
        gate = EntryGate(
            gateway,
            SimpleNamespace(now_ns=lambda: NS),
            close_entries=lambda _: None,
            problem=str,
            notice=lambda *_, **__: None,
            spawn=lambda work: spawned.append(asyncio.create_task(work)),
            reconcile_s=30.0,
        )
        lost = EventBuffer(1)
        lost.add(int(EventKind.EV_FEED_STATE), i=int(FeedId.FEED_USER), j=int(FeedState.FS_DISCONNECTED))
        gate.on_user_state(lost)
        early = asyncio.create_task(gate.reconcile())
        await asyncio.sleep(0)
        gate.on_user_connected()
        gates[0].set()
        await early
        assert not gate.reconciled
        gates[1].set()
        await spawned[0]
        assert gate.reconciled

    asyncio.run(main())


# -- recovery, fills, forgetting --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "resume", "was_halted", "halts"),
    [
        (0, False, False, False),
        (2, False, False, True),
        (2, False, True, True),
        (2, True, False, True),
        (2, True, True, False),
    ],
)
def test_restored_books_that_do_not_add_up_halt(broken, resume, was_halted, halts):
    risk, notices, words = make_risk(), [], []
    trader = SimpleNamespace(
        engine=SimpleNamespace(account=SimpleNamespace(broken=broken), risk=risk),
        config=SimpleNamespace(run=SimpleNamespace(resume=resume)),
        losses=SimpleNamespace(explain=lambda reason, by: words.append(by)),
        notice=lambda level, text: notices.append((level, text)),
        door=SimpleNamespace(halt=risk.halt),
    )
    latches = {HaltKind.MANUAL: Latch(HaltKind.MANUAL, True, "x", "y")} if was_halted else {}
    check_sound(trader, SimpleNamespace(latches=latches))
    assert risk.halted_manual is halts
    assert [level for level, _ in notices] == ["ERROR"] * halts
    assert words == ["polybot"] * halts


@pytest.mark.parametrize("stamp", ["9" * 30, "-5", "9223372036855"])
def test_a_fill_with_a_time_that_cannot_be_is_booked_all_the_same(stamp):
    async def scenario(bench):
        await bench.start()
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        row = bench.trade_row() | {"match_time": stamp, "event_type": "trade"}
        bench.gateway.on_user_event(row, bench.clock.now_ns())
        assert [fill[1] for fill in bench.fills()] == [10_000_000]
        assert SPEC.min_size_ushares < bench.fills()[0][1]

    run_virtual(scenario)


def test_an_endless_run_does_not_forget_a_market_while_an_order_may_still_fill():
    order = SimpleNamespace(market=3, is_open=True)
    done, waits = [], []

    async def wait(index, limit_s):
        waits.append(limit_s)
        order.is_open = len(waits) < 4

    async def known(spec):
        return 1

    trader = SimpleNamespace(
        config=SimpleNamespace(run=SimpleNamespace(markets=0), engine=SimpleNamespace(outcome_wait_s=1_800.0)),
        engine=SimpleNamespace(orders={1: order}, markets={3: SimpleNamespace(settled=True, outcome=1)}),
        inbox=SimpleNamespace(outcome_known=lambda *_, **__: None),
        recorder=SimpleNamespace(settled=lambda: None),
    )
    cycle = WindowCycle.__new__(WindowCycle)
    cycle._trader, cycle._clock = trader, SimpleNamespace(now_ns=lambda: NS)
    cycle._wait_for_outcome, cycle._wait_for_last_words = known, wait
    cycle._finish = lambda spec, index: done.append(len(waits))
    asyncio.run(cycle._settle(SPEC, 3, None))
    assert done == [4]


# -- threads ----------------------------------------------------------------------------------------------------------


def test_a_journal_whose_thread_breaks_takes_nothing_more(tmp_path):
    """Whatever ends the thread that syncs, records that nobody brings to disk are not accepted."""
    journal = open_journal(tmp_path)

    def broken():
        raise ValueError("no such kind of record")

    thread = journal.writer._thread
    assert journal.writer.run_beside(broken)
    thread.join(60.0)
    assert not thread.is_alive()
    assert "no such kind of record" in journal.failed
    with pytest.raises(JournalError):
        journal.note("more")
    assert not journal.close()


def test_a_ledger_that_breaks_in_an_unforeseen_way_says_so(tmp_path):
    told = []
    journal = open_journal(tmp_path)

    def durable():
        if told:
            return 0
        raise KeyError("seq")

    ledger = LedgerThread(
        journal.folder, tmp_path / "ledger.sqlite", durable_seq=durable, on_error=told.append, every_s=0.001
    )
    ledger.start()
    assert ledger.stop(60.0)
    assert told == ["the ledger is behind: KeyError: 'seq'"]
    assert journal.close()
