"""The whole companion over real HTTP and a real control socket: alerts, troubles of Telegram, the daemon's death."""

from pathlib import Path

import pytest

from polybot.control.address import socket_path
from tests.telegram.bot_api import CHAT
from tests.telegram.stage import SAMPLE, Daemon, event, staged

FILL = {
    "outcome": "Up", "side": "Buy", "price_ticks": 5_200, "shares": 10_000_000, "cost_usd": 5_200_000,
    "fee_usd": 10_000, "state": "MATCHED", "is_first": True, "order_seq": 1, "trade_key": 1, "role": "taker",
}  # fmt: skip
# One event of each kind a daemon tells, and a part of what reaches the phone.
KINDS = [
    (event("market_open", "OPEN", asset="btc", interval="5m", start_ns=0), "OPEN"),
    (event("strike", "STRIKE 78,896.86", strike=78_896.86), "STRIKE 78,896.86"),
    (event("signal", "s", outcome="Up", edge=0.05, fair=0.6, price_ticks=5_200), "edge 0.050, fair 0.600"),
    (event("order", "o", outcome="Up", side="Buy", shares=10**7, price_ticks=5_200, state="LIVE"),
     "Buy 10 Up @ 0.52 LIVE"),
    (event("fill", "f", **FILL), "bought 10 Up @ 0.52 ($5.20, fee $0.01)"),
    (event("rejection", "r", outcome="Up", side="Buy", shares=10**7, price_ticks=5_200, reason="no <money> & co"),
     "REJECTED"),
    (event("market_end", "m", outcome="Up", pnl_usd=-1_500_000, orders=2, fills=1, is_correction=False,
           strategies={"latency_arb": {"pnl_usd": -1_500_000, "fills": 1, "orders": 2}}),
     "latency_arb −$1.50 (1 fill)"),
    (event("settlement", "SETTLED Up +$1", pnl_usd=1), "SETTLED Up"),
    (event("redeemed", "redeemed 5 USD"), "redeemed 5 USD"),
    (event("refused_market", "REFUSED unknown rule"), "REFUSED unknown rule"),
    (event("halt", "daily loss halt set", halt="daily", stopping=False), "<b>HALT</b>"),
    (event("resume", "manual halt lifted", halt="manual"), "manual halt lifted"),
    (event("reconcile", "our books differ", level="ERROR"), "<b>BOOKS DIFFER</b>"),
    (event("notice", "something odd", level="ERROR"), "something odd"),
    (event("notice", "just so"), "just so"),
    (event("stop", "stopped with no order open", orders_may_be_open=False, pnl_usd=2_000_000, settled=3),
     "+$2.00, 3 windows"),
]  # fmt: skip
OFF = ("market_open", "strike", "signal", "order", "settlement", "notice")
EVERYTHING = {f"noise.{kind}": "silent" for kind in OFF}


def test_every_kind_of_event_reaches_the_phone_in_order_and_as_loud_as_set(folder):
    with staged(folder, **EVERYTHING, **{"lines_count": 1}) as stage:
        stage.emit(*(one for one, _ in KINDS))
        stage.api.wait_for_text("stopped with no order open")
        texts = [one["text"] for one in stage.api.sent][1:]  # the first tells whom it follows
        assert len(texts) == len(KINDS)
        assert [part in text for (_, part), text in zip(KINDS, texts, strict=True)] == [True] * len(KINDS), texts
        assert {one["chat_id"] for one in stage.api.sent} == {CHAT}
        assert all(text.startswith("[SIM] ") for text in texts)
        rejection = next(one for one in stage.api.sent if "REJECTED" in one["text"])
        assert "no &lt;money&gt; &amp; co" in rejection["text"]
        assert not rejection["silent"]
        loud = [part for (_, part), one in zip(KINDS, stage.api.sent[1:], strict=True) if not one["silent"]]
        assert loud == ["REJECTED", "<b>HALT</b>", "<b>BOOKS DIFFER</b>", "something odd", "+$2.00, 3 windows"]


def test_a_kind_that_is_off_is_not_sent_and_later_news_of_a_fill_neither(folder):
    with staged(folder) as stage:
        later = event("fill", "f", **{**FILL, "is_first": False, "state": "CONFIRMED"})
        stage.emit(event("order", "o", state="LIVE"), later, event("signal"))
        stage.emit(event("halt", "manual halt set", halt="manual", stopping=True))  # part of an end
        stage.emit(event("redeemed", "the last one"))
        stage.api.wait_for_text("the last one")
        assert len(stage.api.sent) == 2


def test_a_burst_of_fills_becomes_few_messages_whose_numbers_are_exact(folder):
    with staged(folder, gather_s=0.3) as stage:
        fills = [event("fill", "f", **{**FILL, "shares": 1_000_001 * n, "cost_usd": 10_007 * n}) for n in range(1, 201)]
        stage.emit(*fills)
        text = stage.api.wait_for_text("200 fills")
        assert "bought Up 20,100.0201 for $201.14" in text
        assert "fees $2.00" in text
        assert len(stage.api.sent) <= 3


def test_requests_that_are_too_many_are_repeated_after_the_time_telegram_asks_for(folder):
    with staged(folder) as stage:
        stage.api.wait_for_text("following")
        stage.api.mode = "flood"
        stage.emit(event("redeemed", "one"), event("redeemed", "two"))
        stage.api.wait_for(lambda: stage.api.calls["sendMessage"] >= 2)
        before = stage.api.calls["sendMessage"]
        stage.api.wait_for(lambda: stage.companion.sender.counters["retry after"] >= 1)
        stage.api.mode = "ok"
        stage.api.wait_for_text("two")
        assert stage.api.calls["sendMessage"] - before <= 2  # it waited instead of asking again and again
        assert sum("one" in text for text in stage.api.texts) == sum("two" in text for text in stage.api.texts) == 1


def test_outages_of_every_sort_are_survived_and_what_waited_arrives_once_and_in_order(folder):
    with staged(folder, timeout_s=0.3, lines_count=1) as stage:
        stage.api.wait_for_text("following")
        for number, mode in enumerate(("error", "hang", "down")):
            stage.api.down() if mode == "down" else setattr(stage.api, "mode", mode)
            sender = stage.companion.sender
            before = sender.counters["retries"]
            stage.emit(event("redeemed", f"first {number}"), event("redeemed", f"second {number}"))
            stage.api.wait_for(lambda sender=sender, before=before: sender.counters["retries"] > before + 1)
            assert sender.problem
            stage.api.up() if mode == "down" else setattr(stage.api, "mode", "ok")
            stage.api.wait_for_text(f"second {number}")
            stage.api.wait_for(lambda: not stage.companion.sender.problem)
        told = [text.split("redeemed</b> ")[1] for text in stage.api.texts if "redeemed" in text]
        told = [text.split(": ")[1] for text in told]
        assert told == [f"{word} {number}" for number in range(3) for word in ("first", "second")]
        stage.api.say("/mode")  # it listens again, too
        stage.api.wait_for_text("SIMULATED")


def test_telegram_that_is_down_at_the_start_is_waited_for(folder):
    with staged(folder, mode="error") as stage:
        stage.api.wait_for(lambda: stage.companion.poller.counters["errors"] >= 3)
        stage.api.push_old = stage.api.say("/halt")
        stage.api.mode = "ok"
        stage.api.wait_for_text("following")
        stage.api.wait_for(lambda: stage.companion.poller.is_listening)
        stage.api.say("/mode")
        stage.api.wait_for_text("SIMULATED")
        assert stage.api.dropped_pending == 1
        assert stage.daemon.done == []  # what waited before the start is dropped


def test_a_message_telegram_refuses_is_left_and_the_next_ones_go_on(folder):
    with staged(folder, lines_count=1) as stage:
        stage.api.wait_for_text("following")
        stage.api.mode = "refuse"
        stage.emit(event("redeemed", "refused"))
        stage.api.wait_for(lambda: stage.companion.sender.counters["refused"] == 1)
        stage.api.mode = "ok"
        stage.emit(event("redeemed", "next"))
        stage.api.wait_for_text("next")
        assert stage.companion.sender.counters["sent as plain text"] == 1  # it was tried without markup


def test_an_outbox_that_overflows_says_exactly_what_it_dropped_and_keeps_what_sounds(folder):
    with staged(folder, outbox_count=10) as stage:
        stage.api.wait_for_text("following")
        stage.api.mode = "error"
        stage.emit(event("redeemed", "in flight"))
        stage.api.wait_for(lambda: stage.companion.sender.counters["retries"] > 0)
        stage.emit(event("halt", "weekly loss halt set", halt="weekly"))
        fills = [event("fill", "f", **FILL) for _ in range(25)]
        stage.emit(*fills, *(event("redeemed", f"late {number}") for number in range(4)))
        stage.api.wait_for(lambda: sum(stage.companion.outbox.dropped.values()) == 20)
        assert stage.companion.outbox.dropped == {"fill": 20}
        stage.api.mode = "ok"
        text = stage.api.wait_for_text("dropped")
        assert "20 alerts were dropped while Telegram could not be reached: 20 fill" in text
        stage.api.wait_for_text("late 3")
        assert "weekly loss halt set" in stage.api.wait_for_text("HALT")
        assert sum(text.count("bought") for text in stage.api.texts) == 5
        stage.api.say("/status")
        assert "20 alerts dropped" in stage.api.wait_for_text("telegram:")


def test_the_same_news_again_and_again_is_told_once_and_then_counted(folder):
    with staged(folder, dedupe_s=1.0) as stage:
        for _ in range(40):
            stage.emit(event("notice", "disk is slow", level="ERROR"))
        text = stage.api.wait_for_text("more like")
        told = sum("disk is slow" in text for text in stage.api.texts)
        assert "disk is slow" in text
        stage.end()
        counted = sum(int(one.split("🔁 ")[1].split()[0]) for one in stage.api.texts if "🔁" in one)
        firsts = sum(one.count("🔴") - one.count("🔁") for one in stage.api.texts if "disk is slow" in one)
        assert counted + firsts == 40
        assert told <= 4


def test_a_feed_that_is_back_at_once_is_not_told_and_one_that_stays_away_is(folder):
    with staged(folder, blip_s=0.5) as stage:
        lost = event("feed_lost", "feed lost: spot", slug="", feed="spot")
        stage.emit(lost, event("feed_back", "feed back: spot", slug="", feed="spot"))
        stage.emit(event("feed_lost", "feed lost: oracle", slug="", feed="oracle"))
        stage.api.wait_for_text("feed lost: oracle")
        stage.emit(event("feed_back", "feed back: oracle", slug="", feed="oracle"))
        stage.api.wait_for_text("feed back: oracle")
        assert not any("spot" in text for text in stage.api.texts)
        assert stage.companion.follower.counters["blips"] == 1


def test_a_daemon_that_leaves_without_a_word_is_told_and_its_return_too(folder):
    with staged(folder) as stage:
        stage.daemon_dies()
        text = stage.api.wait_for_text("DAEMON GONE")
        assert "Orders may be open" in text
        assert "process 4711" in text
        assert "0 orders open, 1 position, $6.25 held" in text
        stage.api.say("/kill")
        stage.api.wait_for_text("not done: no daemon answers")
        stage.daemon_starts(Daemon(pid=4712))
        assert "process 4712" in stage.api.wait_for_text("BACK AGAIN")
        loud = [one["text"] for one in stage.api.sent if not one["silent"]]
        assert sum("GONE" in text or "BACK" in text for text in loud) == 2


def test_a_daemon_that_says_its_last_word_is_not_mourned_and_its_last_events_are_told(folder):
    with staged(folder, gone_s=1.0) as stage:
        stage.api.wait_for_text("following")
        stage.emit(event("stop", "stopped with no order open", slug=""))
        stage.daemon_dies({"ok": True, "ended": True, "orders_may_be_open": False})
        stage.api.wait_for_text("stopped with no order open")
        stage.api.wait_for(lambda: stage.companion.follower.silent_s > 2.0)
        assert stage.companion.follower.state == "ended"
        stage.daemon_starts(Daemon(pid=4712))
        stage.api.wait_for_text("process 4712")
        assert not any("GONE" in text or "BACK" in text for text in stage.api.texts)


def test_a_companion_that_died_with_its_daemon_says_back_again_at_the_next_start(folder):
    with staged(folder) as stage:
        stage.api.wait_for_text("following")  # and then everything at once is gone
    with staged(folder, with_daemon=False) as stage:
        stage.daemon_starts(Daemon(pid=4712))
        assert "process 4712" in stage.api.wait_for_text("BACK AGAIN")


@pytest.mark.parametrize("is_child", [True, False])
def test_a_companion_that_is_started_again_goes_on_where_it_ended(folder, is_child):
    with staged(folder, is_child=is_child) as stage:
        stage.emit(event("redeemed", "once"))
        stage.api.wait_for_text("once")
        stage.api.wait_for(lambda: not stage.companion.outbox.news.is_set())
        daemon = stage.daemon
    meanwhile = event("reconcile", "books differ while nobody looked", level="ERROR")
    daemon.events.append({"seq": len(daemon.events) + 1, **meanwhile})
    with staged(folder, with_daemon=False, is_child=is_child) as stage:
        stage.daemon_starts(daemon)
        stage.api.wait_for_text("following again (this companion ended in between")
        stage.api.wait_for_text("books differ while nobody looked")
        stage.emit(event("redeemed", "new"))
        stage.api.wait_for_text("new")
        assert not any("once" in text or "BACK" in text for text in stage.api.texts)
        assert sum("while nobody looked" in text for text in stage.api.texts) == 1


def test_an_event_that_cannot_be_understood_takes_no_other_with_it(folder):
    with staged(folder) as stage:
        odd = event("fill", "an odd fill", **{**FILL, "shares": None})
        stage.emit(event("redeemed", "before"), odd, event("redeemed", "after"))
        stage.api.wait_for_text("after")
        assert "fill: an odd fill" in stage.api.wait_for_text("an odd fill")


def test_a_child_whose_parent_died_says_so_stops_asking_and_ends(folder):
    with staged(folder, is_child=True, gone_s=10.0) as stage:
        stage.api.wait_for_text("following")
        stage.daemon_dies()
        stage.parent_dies()
        stage.joined(30.0)
        assert "its process ended" in stage.api.texts[-1]
        polls = stage.api.calls["getUpdates"]
        stage.api.say("/status")
        assert stage.api.waiting == 1
        assert stage.api.calls["getUpdates"] == polls


def test_a_child_whose_parent_ended_in_order_tells_the_end_and_nothing_of_a_death(folder):
    with staged(folder, is_child=True, gone_s=10.0, gather_s=30.0) as stage:
        stage.emit(event("stop", "stopped with no order open", slug=""))
        stage.daemon_dies({"ok": True, "ended": True, "orders_may_be_open": False})
        stage.parent_dies()
        stage.joined(30.0)
        assert "stopped with no order open" in stage.api.texts[-1]
        assert not any("GONE" in text for text in stage.api.texts)


def test_a_child_whose_parent_ended_in_order_before_it_was_heard_tells_an_end_and_no_death(folder):
    with staged(folder, is_child=True, with_daemon=False) as stage:  # its socket is gone: no crash leaves that
        stage.parent_dies()
        stage.joined(30.0)
        assert "it ended in order" in stage.api.texts[-1]
        assert not any("GONE" in text for text in stage.api.texts)


def test_a_child_whose_parent_was_killed_before_it_was_heard_says_so(folder):
    with staged(folder, is_child=True, with_daemon=False) as stage:
        path = socket_path(Path("state"), SAMPLE["account"], SAMPLE["session"])
        path.parent.mkdir(parents=True)
        path.touch()  # what a killed one leaves
        stage.parent_dies()
        stage.joined(30.0)
        assert "DAEMON GONE" in stage.api.texts[-1]


def test_a_comparison_that_could_not_be_made_is_not_told_as_a_difference(folder):
    with staged(folder) as stage:
        stage.emit(event("reconcile", "reconcile failed: GET /data/orders: refused", level="WARNING", slug=""))
        text = stage.api.wait_for_text("GET /data/orders")
        assert "NOT COMPARED" in text
        assert "DIFFER" not in text
        stage.emit(event("reconcile", "canceled 1 open orders that are not ours: 0x1", level="WARNING", slug=""))
        assert "DIFFER" in stage.api.wait_for_text("not ours")


def test_an_end_while_telegram_hangs_is_bounded(folder):
    with staged(folder, is_child=True, timeout_s=30.0, flush_s=0.5) as stage:
        stage.api.wait_for_text("following")
        stage.api.mode = "hang"
        stage.emit(event("redeemed", "never"))
        stage.api.wait_for(lambda: stage.api.failed["hang"] >= 1)
        stage.parent_dies()
        stage.joined(20.0)  # not 30: nothing waits for Telegram


def test_an_end_in_order_that_could_not_be_told_is_made_good_at_the_next_start(folder):
    with staged(folder, is_child=True, timeout_s=30.0, flush_s=30.0) as stage:
        stage.api.wait_for_text("following")
        stage.api.mode = "hang"
        stage.emit(event("stop", "stopped: ORDERS MAY BE OPEN", slug=""))
        stage.daemon_dies({"ok": True, "ended": True, "orders_may_be_open": True})
        stage.parent_dies()
        stage.joined(20.0)  # before the parent's own limit, not 30
    with staged(folder, with_daemon=False, is_child=True) as stage:
        stage.daemon_starts(Daemon(pid=4712))
        assert "process 4712" in stage.api.wait_for_text("BACK AGAIN")


def test_an_update_that_the_library_cannot_read_is_dropped_and_the_next_command_is_heard(folder):
    with staged(folder) as stage:
        stage.api.push({"update_id": 77, "message": {"message_id": 1, "date": "soon", "chat": {"id": 1}}})
        stage.api.wait_for(lambda: stage.companion.poller.counters["unreadable"] and not stage.api.waiting)
        stage.api.say("/mode")
        stage.api.wait_for_text("SIMULATED")
        assert stage.companion.poller.counters["unreadable"] == 1


def test_another_program_that_polls_the_same_bot_is_told(folder):
    with staged(folder) as stage:
        stage.api.wait_for(lambda: stage.api.calls["getUpdates"] >= 1)
        stage.api._pollers += 1  # somebody else's connection that stays
        stage.api.wait_for_text("another program asks Telegram")
        stage.api._pollers -= 1
        stage.api.say("/mode")
        stage.api.wait_for_text("SIMULATED")
        assert stage.companion.poller.counters["conflicts"] >= 4
