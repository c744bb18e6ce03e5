"""The parts one by one, without network: merging, dropping, repeats, words that confirm, secrets, history, pictures."""

import io
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from polybot.config import default_config
from polybot.config_telegram import NoiseConfig, TelegramConfig
from polybot.credentials.sources import Secrets
from polybot.errors import ConfigError
from polybot.telemetry.telegram import answers, painter
from polybot.telemetry.telegram.access import TelegramSecrets, read_telegram_secrets
from polybot.telemetry.telegram.alerts import Alert, Labels, alert_of
from polybot.telemetry.telegram.bursts import compose
from polybot.telemetry.telegram.confirming import Confirmations
from polybot.telemetry.telegram.history import calibration, daily_rows, read_windows
from polybot.telemetry.telegram.markup import MAX_CHARS, cut_lines, money, plain, signed, size, table
from polybot.telemetry.telegram.memory import Memory
from polybot.telemetry.telegram.outbox import Outbox
from polybot.telemetry.telegram.repeats import Repeats
from polybot.telemetry.telegram.sender import Reply, describe, plain_text
from tests.telegram.bot_api import CHAT, TOKEN
from tests.telegram.stage import HELD
from tests.telegram.stage import SAMPLE as RECORDED

NS = 1_000_000_000
SAMPLE = RECORDED | HELD
EVERYTHING = NoiseConfig(**dict.fromkeys(NoiseConfig.__dataclass_fields__, "silent"))
KINDS = ("fill", "order", "halt", "rejection", "redeemed")


def alert(kind="fill", line="x", *, is_loud=False, **more):
    return Alert(kind, line, is_loud, 0, **more)


def letters(alerts, *, lines_count=10, drops=None, now_ns=0):
    return compose(alerts, lines_count=lines_count, tag="[SIM]", now_ns=now_ns, drops=drops or {})


@pytest.mark.parametrize("seed", range(30))
def test_merged_fills_sum_to_what_was_filled_whatever_the_mix(seed):
    rnd = random.Random(seed)
    fills = [
        alert(
            label=rnd.choice(["A", "B"]),
            word=rnd.choice(["bought Up", "sold Up", "bought Down"]),
            shares=rnd.randrange(1, 10**9),
            usd=rnd.randrange(1, 10**6) * 10_000,  # whole cents, so that the text is exact
            fee_usd=rnd.randrange(100) * 10_000,
        )
        for _ in range(rnd.randrange(12, 200))
    ]
    text = "\n".join(letter.html for letter in letters(fills))
    found = re.findall(r"(bought Up|sold Up|bought Down) ([\d.,]+) for", text)
    told_shares = {(word, float(number.replace(",", ""))) for word, number in found}
    for label in ("A", "B"):
        for word in ("bought Up", "sold Up", "bought Down"):
            total = sum(one.shares for one in fills if (one.label, one.word) == (label, word))
            assert total == 0 or (word, total / 1e6) in told_shares
    told = [round(float(one.replace(",", "")) * 100) for one in re.findall(r"for \$([\d.,]+\d)", text)]
    assert sum(told) == sum(one.usd for one in fills) // 10_000
    fees = [round(float(one.replace(",", "")) * 100) for one in re.findall(r"fees \$([\d.,]+\d)", text)]
    assert sum(fees) == sum(one.fee_usd for one in fills) // 10_000
    assert sum(int(count) for count in re.findall(r"(\d+) fills", text)) == len(fills)


def ended(slug, usd, word="Up", **more):
    return alert("market_end", slug, word=word, about=slug, usd=usd, **more)


def test_merged_ends_count_each_window_once_by_what_was_said_of_it_last():
    many = [ended(f"w{number}", 1_000_000) for number in range(12)]
    many += [ended("w3", -2_000_000), ended("later", 0, is_known=False)]  # w3 was corrected
    (letter,) = letters(many)
    assert letter.html == "[SIM] 🏁 13 windows ended: +$9.00, 1 not known yet"
    (letter,) = letters([ended(f"w{number}", 0, is_known=False) for number in range(11)])
    assert letter.html == "[SIM] 🏁 11 windows ended: 11 not known yet"


def test_merged_counts_hold_those_that_were_told_as_a_number():
    repeats = Repeats(10.0)
    told = [one for _ in range(20) for one in repeats.admit(alert("rejection", "r", word="no", same_as="r"), 0)]
    told += [*repeats.due(0, is_end=True), *(alert("rejection", word="why") for _ in range(10))]
    assert letters(told)[0].html == "[SIM] ❌ 30 REJECTIONS: 20 × no, 10 × why"


def test_few_alerts_stay_as_they_are_and_many_lines_become_several_messages_in_order():
    few = [alert(line=f"line {number}") for number in range(10)]
    assert [letter.html for letter in letters(few)] == ["[SIM] " + "\n".join(one.line for one in few)]
    many = [alert("redeemed", f"line {number}") for number in range(25)]
    texts = [letter.html.removeprefix("[SIM] ") for letter in letters(many)]
    assert [len(text.splitlines()) for text in texts] == [10, 10, 5]
    assert "\n".join(texts).splitlines() == [one.line for one in many]
    long = [alert("redeemed", "y" * 1_500) for _ in range(5)]
    assert all(len(letter.html) <= MAX_CHARS + 10 for letter in letters(long))
    late = letters([alert("redeemed", "old")], now_ns=3_600 * NS)
    assert late[0].html == "[SIM] [00:00:00 UTC] old"


@pytest.mark.parametrize("seed", range(10))
def test_every_alert_is_taken_once_in_order_or_counted_as_dropped(seed):
    rnd = random.Random(seed)
    box = Outbox(20)
    taken, drops, put = [], {}, {}
    for number in range(500):
        one = alert(rnd.choice(KINDS), str(number), is_loud=rnd.random() < 0.1)
        put[one.kind] = put.get(one.kind, 0) + 1
        box.put(one)
        assert len(box) <= 20
        if rnd.random() < 0.02:
            batch = box.take()
            assert len({one.is_loud for one in batch}) == 1
            taken += batch
            for kind, count in box.take_drops().items():
                drops[kind] = drops.get(kind, 0) + count
    while len(box):
        taken += box.take()
    for kind, count in box.take_drops().items():
        drops[kind] = drops.get(kind, 0) + count
    numbers = [int(one.line) for one in taken]
    assert numbers == sorted(set(numbers))
    for kind in KINDS:
        assert sum(one.kind == kind for one in taken) + drops.get(kind, 0) == put[kind]
    assert box.dropped == drops


def test_a_sounding_alert_is_dropped_only_when_nothing_silent_is_left():
    box = Outbox(3)
    for number in range(3):
        box.put(alert("halt", str(number), is_loud=True))
    box.put(alert("fill", "new"))
    assert box.dropped == {"fill": 1}  # the new one is the only silent one
    box.put(alert("halt", "3", is_loud=True))
    assert box.dropped == {"fill": 1, "halt": 1}
    assert [one.line for one in box.take()] == ["1", "2", "3"]


def test_drops_that_could_not_be_told_are_told_later():
    box = Outbox(1)
    box.put(alert())
    box.put(alert())
    drops = box.take_drops()
    box.give_back_drops(drops)
    box.put(alert("order"))
    assert box.take_drops() == {"fill": 2}
    assert "3 alerts were dropped" in letters([alert()], drops={"fill": 2, "order": 1})[0].html


@pytest.mark.parametrize("seed", range(10))
def test_repeats_tell_each_text_and_lose_no_count(seed):
    rnd = random.Random(seed)
    repeats, told, now_ns = Repeats(10.0), [], 0
    for _ in range(2_000):
        now_ns += rnd.randrange(NS)
        word = str(rnd.randrange(400))
        told += repeats.admit(alert("notice", word, same_as=word), now_ns)
    told += repeats.due(now_ns, is_end=True)
    counts = [int(one.line.split()[1]) if one.line.startswith("🔁") else 1 for one in told]
    assert sum(counts) == 2_000
    assert list(repeats.admit(alert(same_as=""), now_ns)) == [alert(same_as="")]


def test_a_confirmation_works_once_for_its_own_command_chat_user_session_and_time():
    who = {"chat_id": 1, "user_id": 2, "session": "s", "mono_ns": 0}

    def fresh():
        confirmations = Confirmations(valid_s=60.0)
        return confirmations, confirmations.ask("kill", **who)

    confirmations, word = fresh()
    assert re.fullmatch(r"[a-z0-9]{8}", word)
    assert confirmations.take("kill", word, **who) == ""
    assert confirmations.take("kill", word, **who) != ""
    for change in ({"chat_id": 9}, {"user_id": 9}, {"session": "t"}, {"mono_ns": 61 * NS}):
        confirmations, word = fresh()
        assert confirmations.take("kill", word, **(who | change)) != ""
    confirmations, word = fresh()
    assert confirmations.take("flatten", word, **who) != ""
    second = confirmations.ask("kill", **who)
    assert second != word
    assert confirmations.take("kill", word, **who) != ""
    assert confirmations.take("kill", second, **who) == ""


def test_words_of_confirmations_do_not_repeat():
    confirmations = Confirmations(valid_s=1.0)
    words = {confirmations.ask("kill", chat_id=1, user_id=1, session="", mono_ns=0) for _ in range(2_000)}
    assert len(words) == 2_000


def secrets(**environ):
    return Secrets(environ)


def test_token_and_ids_are_read_from_environment_and_file_and_shown_nowhere(tmp_path):
    settings = TelegramConfig()
    both = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": str(CHAT)}
    found = read_telegram_secrets(settings, secrets(**both))
    assert found == TelegramSecrets(TOKEN, CHAT, frozenset({CHAT}))
    assert TOKEN not in repr(found)
    assert TelegramSecrets.from_mapping(found.to_mapping()) == found
    group = read_telegram_secrets(settings, secrets(**both | {"TELEGRAM_CHAT_ID": "-100", "TELEGRAM_USER_ID": "1, 2"}))
    assert (group.chat_id, group.user_ids) == (-100, {1, 2})
    assert read_telegram_secrets(settings, secrets(**both | {"TELEGRAM_CHAT_ID": "-100"})).user_ids == frozenset()
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    from_file = read_telegram_secrets(replace(settings, token_file=str(path)), secrets(TELEGRAM_CHAT_ID="5"))
    assert (from_file.token, from_file.chat_id) == (TOKEN, 5)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="open to others"):
        read_telegram_secrets(replace(settings, token_file=str(path)), secrets(TELEGRAM_CHAT_ID="5"))


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "no Telegram token is given"),
        ({"TELEGRAM_BOT_TOKEN": "1234"}, "no Telegram chat is given"),
        ({"TELEGRAM_BOT_TOKEN": "not-a-token", "TELEGRAM_CHAT_ID": "1"}, "token \\(hidden\\) is none"),
        ({"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": "@me"}, "not a whole number"),
        ({"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": "0"}, "must not be 0"),
        ({"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": "1", "TELEGRAM_USER_ID": "ann"}, "not a whole number"),
    ],
)
def test_what_is_missing_or_wrong_is_named_without_the_token(environ, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read_telegram_secrets(TelegramConfig(), Secrets(dict(environ)))
    assert "not-a-token" not in str(caught.value)


def test_events_of_a_recorded_session_all_have_a_line_and_escape_what_they_quote():
    labels = Labels()
    for market in SAMPLE["markets"]:
        labels.learn(market["slug"], market)
    lines = [alert_of(one, noise=EVERYTHING, labels=labels, at_ns=0) for one in SAMPLE["events"]]
    told = [one for one in lines if one is not None]
    assert len(told) >= 10
    assert all(0 < len(one.line) < 500 for one in told)
    assert any("BTC 5m" in one.line for one in told)
    evil = {"kind": "notice", "level": "ERROR", "text": "<b>&x</b>\n<a href='x'>", "slug": "<i>", "data": {}}
    line = alert_of(evil, noise=EVERYTHING, labels=labels, at_ns=0).line
    assert "&lt;b&gt;&amp;x&lt;/b&gt; &lt;a href" in line
    assert "<i>" not in line
    unknown = alert_of({"kind": "brand_new", "text": "t"}, noise=NoiseConfig(), labels=labels, at_ns=0)
    assert not unknown.is_loud
    failed = {"kind": "fill", "text": "FILL FAILED", "data": {"state": "FAILED", "is_first": False}}
    assert alert_of(failed, noise=NoiseConfig(), labels=labels, at_ns=0).is_loud


def test_defaults_let_a_trader_sleep_and_wake_him_when_it_matters():
    noise = NoiseConfig()
    loud = {name for name in NoiseConfig.__dataclass_fields__ if getattr(noise, name) == "on"}
    assert loud == {"daemon_gone", "daemon_back", "halt", "reconcile", "rejection", "error", "stop"}


def test_answers_hold_the_daemons_figures_and_survive_what_is_missing():
    facts = {**SAMPLE, "halts": [{"kind": "daily", "by": "<risk>", "reason": "loss limit"}]}
    text = answers.status_text(facts)
    assert text.startswith("🔴 <b>HALTED (daily) by &lt;risk&gt;: loss limit</b>")
    assert signed(SAMPLE["pnl"]["marked_usd"]) in text
    assert money(SAMPLE["exposure"]["cash_usd"]) in text
    assert "NO ANSWER for 45 s" in answers.status_text(facts, silent_s=45.0)
    bare = {**SAMPLE, "markets": [], "latency": [], "totals": None, "health": None}
    assert answers.why_text(bare) == "no window is open now"
    assert answers.latency_text(bare) == "nothing was measured yet"
    assert "day" in answers.pnl_text(bare)
    assert "trading" in answers.status_text(bare)
    for write in (answers.positions_text, answers.orders_text, answers.risk_text, answers.mode_text, answers.why_text):
        assert 0 < len(write(SAMPLE)) < MAX_CHARS
    nearest = {"gate": "edge", "value": 0.021, "threshold": 0.03, "wanted": "at least"}
    nearest |= {"passed": 4, "of": 6, "left_s": 75}
    one = {"name": "latency_arb", "enabled": True, "signals": 3, "orders": 1, "dropped": 1, "denied": {"COOLDOWN": 1}}
    market = {**SAMPLE["markets"][0], "left_s": 60, "strategies": [{**one, "nearest": nearest}]}
    why = answers.why_text({**SAMPLE, "markets": [market]})
    assert "3 signals, 1 orders, 1 dropped" in why
    assert "denied: COOLDOWN 1" in why
    assert "nearest miss: edge 0.021, wanted at least 0.03 (4 of 6 gates) with 75 s left" in why


def test_real_money_carries_no_tag_and_is_called_real():
    facts = {**SAMPLE, "venue": "polymarket", "mode": "live"}
    assert answers.tag_of(facts) == ""
    assert "REAL ORDERS" in answers.mode_text(facts)
    assert answers.tag_of({**facts, "mode": "paper"}) == "[PAPER]"


def test_text_is_cut_and_counted_as_people_read_it():
    assert plain("a\nb\x00<c>" + "d" * 500, 10) == "a b &lt;c&gt;dd…"
    assert [money(-1_234_560_000), signed(0), signed(-5_000), money(None)] == ["−$1,234.56", "+$0.00", "−$0.01", "–"]
    assert [size(5_000_000), size(1), size(1_234_567_890)] == ["5", "0.000001", "1,234.56789"]
    assert cut_lines(["x" * 100] * 50, 500).endswith("… 46 more lines")
    assert table([("a", "b"), ("long", "<1>")]) == "<pre>a      b\nlong &lt;1&gt;</pre>"
    assert plain_text("<b>a &lt; b</b>") == "a < b"
    assert TOKEN not in describe(ValueError(f"The token `{TOKEN}` was rejected"))


def test_memory_outlives_its_process_and_damage(tmp_path):
    path = tmp_path / "x" / "m.json"
    assert not Memory(path).is_left_open("a")
    Memory(path).keep("up", "a")
    assert Memory(path).is_left_open("b")
    assert not Memory(path).is_left_open("a")
    assert Memory(path).was_followed("a")
    Memory(path).hear(["0xa", "s", 7, 1], "42")
    assert Memory(path).heard == (("0xa", "s", 7, 1), "42")
    Memory(path).keep("ended", "a")
    assert not Memory(path).is_left_open("b")
    assert not path.parent.exists()
    Memory(path).keep("gone", "a")
    path.write_text("{")
    assert not Memory(path).is_left_open("b")


HEAD = "slug,start,end,outcome,fills,fees_micro_usd,pnl_micro_usd\n"


def history(tmp_path):
    """Three settled windows on two days, one open, one row torn."""
    folder = tmp_path / "5m"
    rows = ["w1,s,2026-01-01T10:00:00Z,Up,2,10,1500000", "w2,s,2026-01-01T10:05:00Z,Down,1,10,-500000"]
    rows += ["w3,s,2026-01-02T10:00:00Z,Up,0,0,250000", "w4,s,2026-01-02T10:05:00Z,,0,0,", "w5,s,2026"]
    folder.mkdir()
    (folder / "markets.csv").write_text(HEAD + "\n".join(rows))
    for name, fair in (("w1", 0.75), ("w2", 0.25), ("w3", 0.75)):
        (folder / name).mkdir()
        lines = [f"{n},{300 - n},1,{fair},0.5,0.6" for n in range(30)]
        text = "\n".join(["ts_ms,tau_s,spot,fair_up,bid,ask", *lines, "1,2,3,x"])
        (folder / name / "samples.csv").write_text(text)
    return tmp_path


def test_history_counts_settled_windows_by_day_and_forecasts_in_bins(tmp_path):
    windows = read_windows(history(tmp_path))
    assert [one.slug for one in windows] == ["w1", "w2", "w3"]
    assert daily_rows(windows, days=5) == [("2026-01-02", 1, 0, 250_000), ("2026-01-01", 2, 3, 1_000_000)]
    found = calibration(tmp_path, windows)
    assert found.bins == ((0.25, 0.0, 3), (0.75, 1.0, 6))
    assert (found.windows, found.samples, found.brier) == (3, 9, pytest.approx(0.0625))
    assert read_windows(tmp_path / "none") == []


@pytest.mark.parametrize("verb", ["equity", "calib"])
def test_a_picture_is_drawn_and_without_the_library_a_table_is_sent(tmp_path, monkeypatch, verb):
    image = pytest.importorskip("PIL.Image")
    facts = {"venue": "sim", "mode": "live"}
    artist = painter.Painter(history(tmp_path), facts=lambda: facts, send=lambda reply: None)
    drawn = artist._answer(verb, Reply(1, "", 0))
    assert image.open(io.BytesIO(drawn.picture)).size > (700, 500)
    assert "simulated" in drawn.html
    monkeypatch.setattr(painter, "_library", lambda: None)
    plain_one = artist._answer(verb, Reply(1, "", 0))
    assert plain_one.picture == b""
    assert "<pre>" in plain_one.html
    days = artist._answer("daily", Reply(1, "", 0))
    assert "+$1.00" in days.html


def test_settings_reach_the_companion_and_wrong_ones_are_refused():
    config = default_config(**{"telegram.noise.fill": "on", "telegram.stale_s": 30})
    assert (config.telegram.noise.fill, config.telegram.stale_s) == ("on", 30.0)
    wrong = {"noise.fill": "loud", "api_url": "http://example.org", "token_env": "abc", "outbox_count": 0}
    for key, value in wrong.items():
        with pytest.raises(ConfigError, match=f"telegram.{key}"):
            default_config(**{f"telegram.{key}": value})


def test_a_trading_process_does_not_load_the_telegram_library():
    code = "import sys, polybot.daemon, polybot.companions; sys.exit(bool({'telegram', 'httpx'} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=120).returncode == 0
