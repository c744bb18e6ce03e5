"""The venue as a child process over real loopback sockets."""

import asyncio
import json
import os

import aiohttp
import pytest
from sim.world import SPOT_STREAMS

from polybot.config import default_config
from polybot.errors import ConfigError, VenueError
from polybot.gateway.http import LaneClient
from polybot.sim.process import SimProcess, fetch_info

LIMIT_S = 240


def run(coroutine):
    async def bounded():
        async with asyncio.timeout(LIMIT_S):
            return await coroutine

    return asyncio.run(bounded())


async def first_trade(url):
    async with aiohttp.ClientSession() as client, client.ws_connect(url + SPOT_STREAMS) as ws:
        async for message in ws:
            data = json.loads(message.data)
            if data["stream"].endswith("@trade"):
                return data["data"]


async def whole_life(config, tmp_path):
    sim = await SimProcess.start(config, ledger_path=tmp_path / "venue.ledger", log_path=tmp_path / "sim.log")
    http = LaneClient(config.gateway)
    try:
        venue = sim.info.venue(config.venue)
        trade = await first_trade(venue.spot_ws_urls[0])
        answer = await http.request("GET", venue.clob_url + "/time")
        joined = await fetch_info(http, sim.info.urls["sim_url"])
        missing = await http.request("GET", venue.gamma_url + "/events/slug/nothing")
        with pytest.raises(VenueError, match="no embedded venue"):
            await fetch_info(http, venue.gamma_url)
        is_running, now_ns = sim.is_running, sim.info.clock().now_ns()
    finally:
        await http.close()
        code = await sim.stop()
    return sim, joined, trade, int(answer.body), missing.status, is_running, now_ns, code


def test_a_child_serves_tells_how_to_join_and_ends_with_its_pipe(tmp_path):
    config = default_config(**{"venue.speed": 5.0, "venue.world.spot.history_h": 1.0})
    sim, joined, trade, served_s, status, was_running, now_ns, code = run(whole_life(config, tmp_path))
    assert was_running
    assert code == 0
    assert not sim.is_running
    assert joined == sim.info
    assert joined.speed == 5.0
    assert len(joined.private_key) == 66
    assert status == 404
    assert trade["T"] * 1_000 >= sim.info.epoch_ns - 200_000_000
    assert abs(now_ns / 1e9 - served_s) < 60
    assert (tmp_path / "venue.ledger").exists()
    assert (tmp_path / "sim.log").read_text() == ""


def test_the_child_does_not_get_the_parents_secrets(monkeypatch):
    from polybot.sim.process import child_environment

    monkeypatch.setenv("POLYMARKET_PRIVATE_KEY", "0xsecret")
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "secret")
    kept = child_environment()
    assert "PATH" in kept
    assert not [name for name, value in kept.items() if "secret" in value]
    assert set(kept) <= set(os.environ) | {"PYTHONPATH"}


def test_a_tape_that_is_missing_is_refused_before_anything_starts(tmp_path):
    config = default_config(**{"venue.tape": str(tmp_path / "absent.gz")})
    with pytest.raises(ConfigError, match=r"absent\.gz"):
        run(SimProcess.start(config))


def test_a_child_that_cannot_start_says_why(tmp_path):
    config = default_config(**{"venue.world.spot.history_h": 1.0})
    (tmp_path / "no-folder").write_text("")
    with pytest.raises(ConfigError, match="no-folder"):
        run(SimProcess.start(config, ledger_path=tmp_path / "no-folder" / "venue.ledger"))
