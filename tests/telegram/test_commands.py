"""Commands: every one answers, dangerous ones need a second step, nothing forged is carried out."""

import collections
import json
import re

import pytest
from telegram import Update

from polybot.telemetry.telegram import commander
from tests.telegram.bot_api import CHAT, USER, message_update
from tests.telegram.forgery import FORGERIES, forged
from tests.telegram.stage import staged

SEED = 20_261_122
REFUSALS = {
    "stranger's chat", "stranger in the chat", "group", "forwarded", "edited", "not a message", "stale", "no text",
    "in another's name", "too long", "repeated", "another bot's command", "no command", "bad confirmation",
}  # fmt: skip
BY = f"Telegram user {USER}"


def nonce_of(stage, verb):
    """Ask for a second step, as the phone does; its word."""
    before = len(stage.api.sent)
    stage.api.say(f"/{verb}")
    stage.api.wait_for(lambda: any(f"/{verb}_" in text for text in stage.api.texts[before:]))
    text = next(text for text in stage.api.texts[before:] if f"/{verb}_" in text)
    return re.search(rf"/{verb}_(\w+)", text)[1]


def answer_to(stage, text, part):
    """Say something; the answer that holds `part`."""
    before = len(stage.api.sent)
    stage.api.say(text)
    stage.api.wait_for(lambda: any(part in one for one in stage.api.texts[before:]))
    return next(one for one in stage.api.texts[before:] if part in one)


def test_every_command_of_the_menu_answers_with_what_the_daemon_says(folder):
    with staged(folder) as stage:
        wanted = {
            "status": "🟢 <b>trading</b>", "pnl": "this session", "daily": "no settled window", "positions": "position",
            "orders": "no open orders", "why": "latency_arb", "latency": "e2e", "calib": "no settled window",
            "equity": "no settled window", "risk": "exposure", "mode": "SIMULATED", "help": "/kill",
        }  # fmt: skip
        for verb, part in wanted.items():
            assert part in answer_to(stage, f"/{verb}", part)
        assert set(wanted) | set(commander.ACTS) == {verb for verb, _ in commander.MENU}
        positions = answer_to(stage, "/positions@polybot_test_bot", "cost")
        assert "12.5 Down, cost $6.25, mark $7.00 (+$0.75)" in positions
        assert "/help" in answer_to(stage, "good evening", "not understood")
        assert stage.daemon.done == []


def test_a_halt_is_done_at_once_and_the_others_only_with_their_word(folder):
    with staged(folder) as stage:
        assert answer_to(stage, "/halt", "✅") == "✅ halt done"
        for verb in ("resume", "flatten", "kill"):
            word = nonce_of(stage, verb)
            assert stage.daemon.done[-1][0] != verb
            assert answer_to(stage, f"/{verb}_{word}", "✅") == f"✅ {verb} done"
            assert "nothing of yours waits" in answer_to(stage, f"/{verb}_{word}", "not done")  # used up
        by = f"{BY} (uid "
        assert [one[0] for one in stage.daemon.done] == ["halt", "resume", "flatten", "kill"]
        assert all(one[1].startswith(by) and one[2] == "from the phone" for one in stage.daemon.done)


def test_a_word_is_for_one_command_one_session_and_a_limited_time(folder):
    with staged(folder, confirm_s=5.0) as stage:
        word = nonce_of(stage, "kill")
        assert "not the one" in answer_to(stage, f"/flatten_{word}", "not done")
        word = nonce_of(stage, "flatten")
        stage.daemon.facts["pid"] = 4_999  # another process answers under the same name
        stage.api.wait_for(lambda: "4999" in stage.companion.follower.session)
        assert "session that is over" in answer_to(stage, f"/flatten {word}", "not done")
        word = nonce_of(stage, "kill")
        later = stage.companion.clock.mono_ns() + 6 * 10**9
        open_one = stage.companion.commander._confirmations._open[CHAT, USER]
        open_one.until_ns -= later
        assert "too late" in answer_to(stage, f"/kill_{word}", "not done")
        assert stage.daemon.done == []


def test_words_cannot_be_guessed_more_than_a_few_times(folder):
    with staged(folder) as stage:
        word = nonce_of(stage, "kill")
        for number in range(3):
            answer_to(stage, f"/kill_aaaaaaa{number}", "not done")
        assert "nothing of yours waits" in answer_to(stage, f"/kill_{word}", "not done")
        assert stage.daemon.done == []


def test_the_same_update_twice_is_carried_out_once_and_an_old_one_not_at_all(folder):
    with staged(folder) as stage:
        halt = message_update(9_001, "/halt")
        again = message_update(9_002, "/halt", message_id=9_001)  # the same message under another number
        stage.api.push(halt, halt, again, message_update(9_003, "/halt", date=1))
        assert "not done" in answer_to(stage, "/mode", "not done")
        stage.api.wait_for_text("SIMULATED")
        assert [one[0] for one in stage.daemon.done] == ["halt"]
        assert stage.companion.guard.counters["repeated"] == 2
        assert stage.companion.guard.counters["stale"] == 1


def test_what_stops_trading_is_never_refused_for_being_one_too_many(folder):
    with staged(folder, commands_per_s=0.01, commands_burst=1) as stage:
        stage.api.say("/mode")
        for _ in range(20):
            stage.api.say("/status")
        assert answer_to(stage, "/halt", "✅") == "✅ halt done"
        assert stage.companion.guard.counters["too many"] == 20


def test_an_act_whose_answer_is_lost_is_never_called_done(folder):
    with staged(folder) as stage:
        stage.daemon.is_ready = False
        text = answer_to(stage, "/halt", "NOT sure")
        assert "starting" in text
        assert stage.daemon.done == []


@pytest.mark.parametrize("seed", [SEED])
def test_ten_thousand_forged_updates_execute_nothing_and_get_no_answer(folder, seed):
    """9,500 through the library's dispatch as parsed updates, 500 over HTTP in batches of a hundred."""
    with staged(folder, gone_s=600.0) as stage:  # busy with forgeries it may miss the daemon's word for a while
        kill, used = nonce_of(stage, "kill"), nonce_of(stage, "flatten")  # the second replaced the first
        answer_to(stage, f"/flatten_{used}", "✅")
        kill = nonce_of(stage, "kill")
        done = list(stage.daemon.done)
        # What is forged here is valid but for its origin: the word of a kill that waits, a halt.
        commands = ["/halt", "/kill", "/resume", "/flatten", f"/kill_{kill}", f"/kill {kill}", f"/flatten_{used}"]
        outside = [one for one in FORGERIES if one.__name__ not in ("_garbled", "_wrong_word")]
        updates = forged(9_500, seed=seed, commands=commands, forgeries=outside)
        bot, dispatch = stage.companion.application.bot, stage.companion.application.process_update

        async def feed():
            for update in updates:
                await dispatch(Update.de_json(update, bot))

        before = len(stage.api.sent)
        stage.run(feed())
        assert stage.daemon.done == done
        assert stage.companion.commander.counters == {"flatten": 1}
        said = stage.api.texts[before:]
        assert [text for text in said if "not done: it came" not in text] == []  # to us, about stale ones
        over_http = forged(500, seed=seed + 1, commands=commands, first_id=6_000_000)
        stage.api.push(*over_http)
        stage.api.wait_for(lambda: stage.api.waiting == 0)  # guesses of the word and garbled commands among them
        counters = stage.companion.guard.counters
        while not any("SIMULATED" in text for text in stage.api.texts):  # a quick machine has used up the bucket
            refused = counters["too many"]
            stage.api.say("/mode")
            stage.api.wait_for(
                lambda refused=refused: counters["too many"] > refused
                or any("SIMULATED" in text for text in stage.api.texts)
            )
        assert stage.daemon.done == done
        assert sum(counters.values()) >= 10_000
        assert set(counters) >= REFUSALS
        assert {one["chat_id"] for one in stage.api.sent} == {CHAT}
        kill = nonce_of(stage, "kill")  # and the real one still works
        assert answer_to(stage, f"/kill_{kill}", "✅") == "✅ kill done"
        assert len(stage.daemon.done) == len(done) + 1


def test_the_forgeries_would_do_harm_if_nobody_looked(folder, monkeypatch):
    """Otherwise that nothing happens would prove nothing: the same updates before a guard that believes everything."""
    with staged(folder) as stage:
        guard = stage.companion.guard
        monkeypatch.setattr("polybot.telemetry.telegram.guard._why_odd", lambda message: "")
        monkeypatch.setattr(guard, "_why_stranger", lambda message: "")
        monkeypatch.setattr(guard, "_is_repeated", lambda update_id, message_id: False)
        guard._stale_s, guard._started_s = 1e12, 0
        dispatch, bot = stage.companion.application.process_update, stage.companion.application.bot

        async def feed():
            for update in forged(300, seed=SEED, commands=["/halt"]):
                await dispatch(Update.de_json(update, bot))

        stage.run(feed())
        assert len(stage.daemon.done) > 100


def test_forgeries_of_one_seed_are_the_same_and_every_sort_occurs():
    one, two = (forged(2_000, seed=SEED, commands=["/kill"]) for _ in range(2))
    strip = [json.dumps(update, sort_keys=True).split('"date"')[0] for update in one]
    assert strip == [json.dumps(update, sort_keys=True).split('"date"')[0] for update in two]
    kinds = collections.Counter(key for update in one for key in update if key != "update_id")
    assert set(kinds) >= {"message", "edited_message", "callback_query", "inline_query", "channel_post"}
