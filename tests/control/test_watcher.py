"""Watchers over a real unix socket: cursors, bounds, the last word, restarts of the daemon, several daemons."""

import asyncio
import json
import os
from contextlib import asynccontextmanager

import orjson
import pytest
import uvloop

from polybot.config_control import ControlConfig
from polybot.control.address import socket_path
from polybot.control.server import ControlServer
from polybot.control.watcher import Watcher, list_daemons
from polybot.errors import NoDaemon
from polybot.telemetry.recent import RecentEvents

LONG_S = 60.0
SETTINGS = ControlConfig(answer_s=60.0)
ENDED = {"ok": True, "ended": True, "orders_may_be_open": False}


class Acts:
    """An operator with a ring of events."""

    def __init__(self, *, account="0xAb", session="s1", started_ns=1, limit=500):
        self.is_ready = True
        self.recent = RecentEvents(4_096, scrub=str)
        self.done = []
        self.limit = limit
        self.identity = {"account": account, "session": session, "pid": os.getpid(), "started_ns": started_ns}

    def happen(self, count=1, kind="notice", text="a word"):
        for _ in range(count):
            self.recent.add(kind, text, ts_ns=1)

    def _do(self, *what):
        self.done.append(what)
        return what[0]

    def halt(self, by, reason):
        return self._do("halted", by, reason)

    def resume(self, by, reason=""):
        return self._do("resumed", by, reason)

    def flatten(self, by, reason):
        return self._do("flattened", by, reason)

    def kill(self, by, reason):
        return self._do("killed", by, reason)

    def hello(self):
        return self.identity

    def status(self):
        return self.identity

    def watch(self, since):
        return {**self.identity, **_facts(self.recent.since(since, limit=self.limit, limit_bytes=1 << 18))}

    def unseen(self, since):
        return _facts(self.recent.newest(since, limit=2_000, limit_bytes=1 << 19))


def _facts(seen):
    events = [orjson.Fragment(event) for event in seen.events]
    return {"events": events, "events_next": seen.next, "events_missed": seen.missed}


@asynccontextmanager
async def daemon(folder, acts, **changes):
    """A control server that says its last word at the end; `mono_ns` stands, so nothing refills the rate limit."""
    path = socket_path(folder, acts.identity["account"], acts.identity["session"])
    config = ControlConfig(**{"requests_per_s": 1_000.0, **changes})
    server = ControlServer(acts, path, config, mono_ns=lambda: 0)
    await server.start()
    try:
        yield server
    finally:
        server.close(ENDED)
        await until(lambda: server.is_heard)


async def until(is_so):
    while not is_so():
        await asyncio.sleep(0.005)


def play(story):
    """Run a story as the companions would, on uvloop."""

    async def live():
        async with asyncio.timeout(LONG_S):
            await story()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A state folder with a short name."""
    monkeypatch.chdir(tmp_path)
    return tmp_path.__class__("state")


def numbers(answer):
    return [event["seq"] for event in answer["events"]]


def test_a_watcher_sees_each_later_event_once(folder):
    async def story():
        acts = Acts()
        acts.happen(3)
        async with daemon(folder, acts):
            watcher = Watcher(folder, settings=SETTINGS)
            assert numbers(await watcher.watch()) == []
            acts.happen(2)
            assert numbers(await watcher.watch()) == [4, 5]
            assert numbers(await watcher.watch()) == []
            assert watcher.hello["account"] == "0xAb"
            watcher.close()

    play(story)


def test_from_the_start_means_everything_still_kept_and_the_rest_is_counted(folder):
    async def story():
        acts = Acts(limit=500)
        acts.happen(10_000)
        async with daemon(folder, acts):
            watcher = Watcher(folder, settings=SETTINGS, from_start=True)
            got, missed = [], 0
            while got[-1:] != [10_000]:
                answer = await watcher.watch()
                assert 0 < len(answer["events"]) <= 500
                got += numbers(answer)
                missed += answer["events_missed"]
            assert (got, missed) == (list(range(10_000 - 4_095, 10_001)), 10_000 - 4_096)
            watcher.close()

    play(story)


def test_two_watchers_have_cursors_of_their_own(folder):
    async def story():
        acts = Acts()
        async with daemon(folder, acts) as server:
            first, second = Watcher(folder, settings=SETTINGS), Watcher(folder, settings=SETTINGS)
            await first.watch()
            acts.happen(1)
            await second.watch()
            acts.happen(1)
            assert numbers(await first.watch()) == [1, 2]
            assert numbers(await second.watch()) == [2]
            assert server.counters["refused"] == 0
            first.close()
            second.close()

    play(story)


def test_the_last_word_brings_what_was_not_seen_and_then_there_is_no_daemon(folder):
    async def story():
        acts = Acts()
        watcher, late = Watcher(folder, settings=SETTINGS), Watcher(folder, settings=SETTINGS)
        async with daemon(folder, acts):
            await watcher.watch()
            await late.watch()
            acts.happen(2)
            assert numbers(await watcher.watch()) == [1, 2]
            acts.happen(1)
            acts.happen(1, kind="stop", text="stopped with no order open")
        word = await watcher.watch()
        assert word.items() >= ENDED.items()
        assert (numbers(word), word["events"][-1]["kind"], word["events_missed"]) == ([3, 4], "stop", 0)
        assert numbers(await late.watch()) == [1, 2, 3, 4]
        with pytest.raises(NoDaemon, match="no daemon runs"):
            await watcher.watch()

    play(story)


def test_a_last_word_that_answers_an_act_is_an_error_there_and_is_not_lost(folder):
    async def story():
        acts = Acts()
        watcher = Watcher(folder, settings=SETTINGS)
        async with daemon(folder, acts):
            await watcher.watch()
            acts.happen(2)
        with pytest.raises(NoDaemon, match="has ended"):
            await watcher.act("halt", "news")
        assert acts.done == []
        word = await watcher.watch()
        assert (word["ended"], numbers(word)) == (True, [1, 2])

    play(story)


def test_a_look_that_is_given_up_leaves_no_answer_for_the_next_one(folder):
    async def story():
        acts = Acts()
        async with daemon(folder, acts):
            watcher = Watcher(folder, settings=SETTINGS)
            await watcher.watch()
            acts.happen(1)
            given_up = asyncio.create_task(watcher.watch())
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.wait([given_up])
            acts.happen(1)
            assert numbers(await watcher.watch()) == [1, 2]
            assert await watcher.act("halt", "news") == "halted"
            watcher.close()

    play(story)


def test_who_never_watched_hears_a_last_word_without_events(folder):
    async def story():
        acts = Acts()
        async with daemon(folder, acts):
            reader, writer = await asyncio.open_unix_connection(socket_path(folder, "0xAb", "s1"))
            writer.write(b'{"do": "status"}\n')
            await reader.readline()
            acts.happen(1)
        assert json.loads(await reader.readline()) == ENDED
        writer.close()

    play(story)


def test_a_long_last_word_reaches_a_watcher_that_reads_it_late(folder):
    async def story():
        acts = Acts()
        async with daemon(folder, acts) as server:
            watcher = Watcher(folder, settings=SETTINGS)
            await watcher.watch()
            acts.happen(2_500, text="x" * 150)
            server.close(ENDED)
            word = await watcher.watch()
        assert numbers(word)[-1] == 2_500
        assert len(word["events"]) + word["events_missed"] == 2_500
        assert len(word["events"]) > 1_000

    play(story)


def test_a_broken_connection_to_the_same_daemon_loses_and_repeats_nothing(folder):
    async def story():
        acts = Acts()
        async with daemon(folder, acts) as server:
            watcher = Watcher(folder, settings=SETTINGS)
            await watcher.watch()
            acts.happen(2)
            for client in tuple(server._clients):
                client._transport.abort()
            await until(lambda: not server._clients)
            assert numbers(await watcher.watch()) == [1, 2]
            watcher.close()
            acts.happen(1)
            assert numbers(await watcher.watch()) == [3]
            watcher.close()

    play(story)


def test_another_process_is_read_from_its_first_event(folder):
    async def story():
        before, after = Acts(), Acts(session="s2", started_ns=2)
        watcher = Watcher(folder, settings=SETTINGS)
        async with daemon(folder, before):
            before.happen(50)
            await watcher.watch()
        assert (await watcher.watch())["ended"]
        after.happen(3, kind="start")
        async with daemon(folder, after):
            answer = await watcher.watch()
            assert (answer["session"], numbers(answer), answer["events_missed"]) == ("s2", [1, 2, 3], 0)
            watcher.close()

    play(story)


def test_acts_reach_the_operator_once_and_refusals_are_errors(folder):
    async def story():
        acts = Acts()
        async with daemon(folder, acts):
            watcher = Watcher(folder, settings=SETTINGS)
            assert await watcher.act("halt", "news", "phone") == "halted"
            assert await watcher.act("resume", via="phone") == "resumed"
            by = f"phone (uid {os.getuid()})"
            assert acts.done == [("halted", by, "news"), ("resumed", by, "")]
            with pytest.raises(NoDaemon, match="unknown_verb"):
                await watcher.act("sell_everything")
            watcher.close()
        assert len(acts.done) == 2

    play(story)


def test_an_act_whose_answer_was_lost_is_not_sent_again(folder):
    async def story():
        acts = Acts()
        async with daemon(folder, acts) as server:
            watcher = Watcher(folder, settings=SETTINGS)
            await watcher.watch()

            def cut(by, reason):
                acts.done.append("halted")
                for client in tuple(server._clients):
                    client._transport.abort()
                return "halted"

            acts.halt = cut
            with pytest.raises(NoDaemon, match="hung up"):
                await watcher.act("halt", "news")
            assert acts.done == ["halted"]
            assert (await watcher.watch())["ok"]
            watcher.close()

    play(story)


def test_several_daemons_are_listed_and_chosen_by_the_beginning_of_a_name(folder):
    async def story():
        one, two = Acts(account="0xAa", session="s1"), Acts(account="0xBb", session="s2")
        one.happen(1)
        two.happen(2)
        async with daemon(folder, one), daemon(folder, two):
            assert await list_daemons(folder, SETTINGS) == ["0xAa-s1", "0xBb-s2"]
            with pytest.raises(NoDaemon, match="2 daemons run here"):
                await Watcher(folder, settings=SETTINGS).watch()
            with pytest.raises(NoDaemon, match="no daemon fits 0xcc"):
                await Watcher(folder, "0xcc", SETTINGS).watch()
            for target in ("0xbb", "s2", "0xBb-s2"):
                watcher = Watcher(folder, target, SETTINGS, from_start=True)
                assert numbers(await watcher.watch()) == [1, 2]
                watcher.close()
        assert await list_daemons(folder, SETTINGS) == []

    play(story)


def test_a_stale_socket_file_is_nobody(folder):
    async def story():
        path = socket_path(folder, "0xAb", "s1")
        path.parent.mkdir(parents=True)
        path.touch()
        with pytest.raises(NoDaemon, match="no daemon found .* left without a last word"):
            await Watcher(folder, settings=SETTINGS).watch()

    play(story)


def test_watchers_beyond_the_rate_are_refused_like_anybody(folder):
    async def story():
        acts = Acts()
        async with daemon(folder, acts, requests_per_s=4.0) as server:
            watcher = Watcher(folder, settings=SETTINGS)
            answers = [await watcher.watch() for _ in range(10)]
            assert [answer["ok"] for answer in answers] == [True] * 3 + [False] * 7  # one went for the greeting
            assert answers[-1]["error"].startswith("too many requests")
            assert server.counters["refused"] == 7
            watcher.close()

    play(story)


def test_a_watcher_that_does_not_read_its_answers_is_let_go(folder):
    async def story():
        acts = Acts()
        acts.happen(4_000, text="x" * 400)
        async with daemon(folder, acts) as server:
            _, writer = await asyncio.open_unix_connection(socket_path(folder, "0xAb", "s1"))
            writer.write(b'{"do": "watch", "since": "1"}\n' * 30)
            await until(lambda: server.counters["let_go"])
            assert server._clients == {}
            writer.close()

    play(story)


def test_a_watcher_waits_for_a_daemon_that_starts_before_it_acts_but_looks_at_once(folder):
    async def story():
        acts = Acts()
        acts.is_ready = False
        async with daemon(folder, acts):
            watcher = Watcher(folder, settings=SETTINGS)
            assert (await watcher.watch())["ok"]
            acting = asyncio.create_task(watcher.act("halt", "news"))
            await asyncio.sleep(0)
            assert not acts.done
            acts.is_ready = True
            assert await acting == "halted"
            watcher.close()

    play(story)
