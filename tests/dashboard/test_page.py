"""The page in a browser: live values of a running daemon, a restart, every state, phone and desk, what it refuses.

All tests here share one Chromium, one embedded venue, one daemon and one dashboard process.
"""

import asyncio
import csv
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from polybot.control.watcher import Watcher
from polybot.telemetry.dashboard.access import token_path
from tests.dashboard.made import MadeSource
from tests.dashboard.served import Served

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 120.0
WAIT_MS = 1_000.0 * WAIT_S
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESK, PHONE = {"width": 1_280, "height": 900}, {"width": 390, "height": 844}
NONE, MINUS = "\u2013", "\u2212"


# -- what is shared ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: the page is not tested (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield found
        found.close()


class Process:
    """`python -m polybot ...` in a folder; what it says is read all the time, so that it never waits for us."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.lines: list[str] = []
        self._said = threading.Condition()
        self._is_over = False
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "polybot", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with self._popen.stdout as stream:
            for line in stream:
                with self._said:
                    self.lines.append(line)
                    self._said.notify_all()
        with self._said:
            self._is_over = True
            self._said.notify_all()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def says(self, pattern: str) -> str:
        """The last group of the first line that has the pattern, waited for."""
        with self._said:
            assert self._said.wait_for(lambda: self._is_over or self._found(pattern), WAIT_S), self.lines
            found = self._found(pattern)
        assert found, "".join(self.lines)
        return found[found.re.groups]

    def end(self, number: int = signal.SIGKILL) -> tuple[int, list[str]]:
        """Send a signal (0: none) and wait; the exit code and every line."""
        if number and self._popen.poll() is None:
            self._popen.send_signal(number)
        code = self._popen.wait(WAIT_S)
        self._reader.join(WAIT_S)
        return code, self.lines

    def _found(self, pattern: str):
        return next((found for line in self.lines if (found := re.search(pattern, line))), None)


class World:
    """One embedded venue, one daemon that trades there, one dashboard beside it: real processes, one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        venue = self.start("sim", "venue.speed=4", "venue.makers=slow", "venue.seed=4")
        self.sim_url = venue.says(r"venue\.attach=(\S+)")
        self.address = self.start("dashboard", "port=0", "watch_ms=200").says(r"dashboard  (\S+)")
        self.base, _, self.token = self.address.partition("/?token=")
        self.daemon = self.trade()

    def start(self, *words: str) -> Process:
        self.processes.append(Process(self.folder, *words))
        return self.processes[-1]

    def trade(self) -> Process:
        """A daemon that is ready."""
        process = self.start("telemetry.console=plain", f"venue.attach={self.sim_url}")
        process.says("entries open")
        return process

    def get(self, path: str) -> bytes:
        request = urllib.request.Request(self.base + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return answer.read()

    def ask(self) -> dict:
        """What the daemon itself says now, past the dashboard."""

        async def watch():
            watcher = Watcher(self.folder / "state")
            try:
                return await watcher.watch()
            finally:
                watcher.close()

        with ThreadPoolExecutor(1) as apart:  # playwright has a loop of its own here
            return apart.submit(asyncio.run, watch()).result(WAIT_S)

    def close(self) -> None:
        for process in reversed(self.processes):
            process.end()


@pytest.fixture(scope="module")
def world(browser):
    with tempfile.TemporaryDirectory(prefix="w") as folder:  # a short name: a socket's path has at most 107 bytes
        found = World(Path(folder))
        yield found
        found.close()


@pytest.fixture
def opened(browser):
    """Open a page at an address; whatever its console complains of is kept in `.complaints`."""
    contexts = []

    def open_page(address: str, viewport=DESK, scheme="dark"):
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.goto(address)
        return SimpleNamespace(page=page, complaints=complaints, context=context)

    yield open_page
    for context in contexts:
        context.close()


def wait_state(page, state: str) -> None:
    page.wait_for_selector(f'body[data-state="{state}"]')


READ = """() => {
  const text = (node) => (node ? node.textContent : null);
  const table = (parent, selector, name, value) => Object.fromEntries(
    [...parent.querySelectorAll(selector)].map((node) => [node.dataset[name], value(node)]));
  const card = document.querySelector(".market");
  const rungs = (name, side) => [...card.querySelectorAll(`[data-f=ladder-${name}] .rung.${side}`)]
    .map((rung) => [text(rung.querySelector(".level")), text(rung.querySelector(".size"))]).filter((row) => row[0]);
  return {
    number: document.body.dataset.look, daemon: document.body.dataset.daemon, state: document.body.dataset.state,
    clock: text(document.getElementById("clock")), banner: text(document.getElementById("banner-word")),
    where: text(document.getElementById("banner-where")), who: text(document.getElementById("banner-who")),
    slug: card.dataset.slug,
    f: Object.fromEntries([...card.querySelectorAll("[data-f]")].filter((node) => !node.children.length)
      .map((node) => [node.dataset.f, text(node)])),
    tiles: table(document, ".tile", "tile", (node) => text(node.querySelector("b"))),
    ladder: Object.fromEntries(["up", "down"].map((name) => [name,
      { ask: rungs(name, "ask"), bid: rungs(name, "bid") }])),
    strategies: table(card, ".strategy", "strategy", (node) => table(node, "[data-count]", "count",
      (part) => text(part.firstChild))),
    denials: table(card, ".strategy", "strategy", (node) => [...node.querySelectorAll(".denials .chip")]
      .map((chip) => [text(chip.firstChild), text(chip.lastChild)])),
    feeds: table(document, ".feed", "feed", (node) => text(node.lastChild)),
    latency: table(document, "#latency tbody tr", "stage", (node) => text(node.children[1])),
    totals: table(document, "#by-strategy tr", "row", (node) => [...node.children].slice(1).map(text)),
    lost: table(document, "#telemetry .pair", "pair", (node) => text(node.lastChild)),
    fills: [...document.querySelectorAll("#events li[data-kind=fill]")].map((node) => node.dataset.order),
    orders: [...document.querySelectorAll("#events li[data-kind=order]")].map((node) => node.dataset.order),
  };
}"""


# Does the line below the banner have these words?
SAYS = "(words) => document.getElementById('banner-who').textContent.includes(words)"


def seen(world, opened):
    """A live page's values of one moment, and the whole answer of that same look."""
    wait_state(opened.page, "live")
    opened.page.wait_for_selector(".market")
    values = opened.page.evaluate(READ)
    found = json.loads(world.get(f"/api/watch?daemon={values['daemon']}&number={values['number']}"))
    assert found["number"] == int(values["number"])
    return values, found["answer"]


# -- numbers as the page writes them, written anew ---------------------------------------------------------------------


def money(micro):
    return f"{MINUS if micro < 0 else ''}${abs(micro) / 1e6:,.2f}"


def result(micro):
    return f"{'' if round(abs(micro) / 1e4) == 0 else MINUS if micro < 0 else '+'}${abs(micro) / 1e6:,.2f}"


def signed(value, digits):
    return f"{'+' if value >= 0 else MINUS}{abs(value):.{digits}f}"


def minutes(seconds):
    return f"{int(max(0, seconds)) // 60}:{int(max(0, seconds)) % 60:02d}"


def digits_of(levels):
    return max([2, *(2 if ticks % 100 == 0 else 3 if ticks % 10 == 0 else 4 for ticks, _ in levels)])


def number(text):
    return float(text.replace(",", "").replace(MINUS, "-").removesuffix("k")) * (1e3 if text.endswith("k") else 1)


# -- a running daemon --------------------------------------------------------------------------------------------------


def test_every_live_value_on_the_page_is_the_engines_at_that_moment(world, opened) -> None:
    page = opened(world.address)
    before = world.ask()
    page.page.wait_for_function("() => document.querySelector('.market [data-f=strike]')?.textContent.includes('.')")
    values, answer = seen(world, page)
    after = world.ask()
    market = next(one for one in answer["markets"] if one["slug"] == values["slug"])
    f = values["f"]
    assert f["spot"] == f"{market['spot']:,.2f}"
    assert f["strike"] == f"{market['strike']:,.2f}"
    assert f["distance"] == signed(market["spot"] - market["strike"], 2)
    assert f["left"] == minutes(market["left_s"])
    assert f["fair"] == (NONE if market["fair_up"] is None else f"{market['fair_up']:.4f}")
    assert f["z"] == (NONE if market["z"] is None else signed(market["z"], 3))
    for name in ("up", "down"):
        for side, key in (("ask", "asks"), ("bid", "bids")):
            levels = market[name][key][:8]
            digits = digits_of(market[name]["asks"][:8] + market[name]["bids"][:8])
            shown = values["ladder"][name][side][:: -1 if side == "ask" else 1]
            assert [row[0] for row in shown] == [f"{ticks / 1e4:.{digits}f}" for ticks, _ in levels]
            sizes = [size / 1e6 for _, size in levels]
            assert [number(row[1]) for row in shown] == pytest.approx(sizes, rel=6e-3, abs=0.5)
    for one in market["strategies"]:
        counts = values["strategies"][one["name"]]
        assert counts["signals"] == f"{one['signals']:,}"
        assert counts["orders"] == f"{one['orders']:,}"
        assert counts["denied"] == f"{sum(one['denied'].values()):,}"
        most = sorted(one["denied"].values(), reverse=True)[:4]
        assert [number(times) for _, times in values["denials"][one["name"]]] == most
    exposure = answer["exposure"]
    assert values["tiles"] | {
        "day": result(answer["pnl"]["day_usd"]),
        "week": result(answer["pnl"]["week_usd"]),
        "session": result(answer["totals"]["pnl_usd"]),
        "marked": result(answer["pnl"]["marked_usd"]),
        "exposure": money(exposure["open_usd"] + exposure["reserved_usd"]),
        "cash": money(exposure["cash_usd"]),
        "windows": str(answer["windows"]["settled"]),
        "traded": f"{answer['totals']['orders']:,} / {answer['totals']['fills']:,}",
    } == values["tiles"]
    assert values["totals"].keys() == answer["totals"]["by_strategy"].keys()
    for name, sums in answer["totals"]["by_strategy"].items():
        row = values["totals"][name]
        assert row[:3] == [f"{sums[key]:,}" for key in ("signals", "orders", "fills")]
        assert row[4] == result(sums["pnl_usd"])
    assert values["latency"] == {row["name"]: f"{row['count']:,}" for row in answer["latency"]}
    assert {name: float(age.split()[0]) for name, age in values["feeds"].items()} == pytest.approx(
        answer["feeds"], abs=0.051
    )
    lost = {key: f"{n:,}" for key, n in answer["telemetry"].items() if key != "disk_error"}
    assert {key: values["lost"][key] for key in lost} == lost
    assert answer["session"] in values["who"] and answer["account"] in values["who"]
    assert "SIMULATED" in values["where"]
    # And that answer is the daemon's: asked past the dashboard, just before and just after.
    assert before["now_ns"] <= answer["now_ns"] <= after["now_ns"]
    assert (answer["pid"], answer["session"]) == (world.daemon.pid, after["session"])
    for key in ("signals", "orders", "fills"):
        assert before["totals"][key] <= answer["totals"][key] <= after["totals"][key]
    strikes = {one["slug"]: one["strike"] for one in after["markets"]}
    assert strikes.get(market["slug"], market["strike"]) == market["strike"]
    assert page.complaints == []


def test_orders_and_fills_of_the_list_are_those_of_the_files(world, opened) -> None:
    page = opened(world.address)
    page.page.wait_for_selector("#events li[data-kind=fill]")
    values, _ = seen(world, page)
    for name in ("fills", "orders"):
        rows = []
        for path in world.folder.glob(f"logs/5m/*/{name}.csv"):
            with path.open(newline="") as file:
                rows += [row["order_seq"] for row in csv.DictReader(file)]
        assert values[name]
        assert set(values[name]) <= set(rows)
    page.page.get_by_role("button", name="Fills").click()
    kinds = page.page.evaluate("() => [...document.querySelectorAll('#events li')].map((node) => node.dataset.kind)")
    assert "fill" in kinds
    assert set(kinds) <= {"fill", "settlement", "market_end", "redeemed"}


def test_metrics_and_health_of_the_running_daemon_are_its_own(world) -> None:
    deadline = time.monotonic() + WAIT_S
    while not json.loads(world.get("/api/daemons"))["daemons"][-1]["live"]:
        assert time.monotonic() < deadline
    text = world.get("/metrics").decode()
    assert re.search(r'^polybot_up\{daemon="0x\w+-\w+"\} 1\.0$', text, re.MULTILINE)
    assert re.search(r"^polybot_stage_latency_seconds_bucket\{.*le=\"\+Inf\"", text, re.MULTILINE)
    assert set(json.loads(world.get("/healthz"))) == {"ok", "reasons"}


@pytest.mark.parametrize(("name", "viewport", "scheme"), [("desk", DESK, "dark"), ("phone", PHONE, "light")])
def test_a_picture_of_the_live_page_fits_its_screen(world, opened, tmp_path, name, viewport, scheme) -> None:
    page = opened(world.address, viewport, scheme)
    wait_state(page.page, "live")
    page.page.wait_for_selector(".market .u-over")
    path = tmp_path / f"{name}.png"
    page.page.screenshot(path=path)
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert (width, height) == (viewport["width"], viewport["height"])
    assert path.stat().st_size > 20_000
    assert page.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    small = """() => [...document.querySelectorAll("main *")].filter((node) => node.children.length === 0
      && node.textContent.trim() && node.offsetParent && parseFloat(getComputedStyle(node).fontSize) < 9.5).length"""
    assert page.page.evaluate(small) == 0
    assert page.complaints == []


def test_the_page_survives_a_restart_of_the_daemon_and_never_shows_the_dead_one_as_live(world, opened) -> None:
    page = opened(world.address)
    wait_state(page.page, "live")
    old = world.daemon
    old.end()
    wait_state(page.page, "gone")
    text = page.page.inner_text("#banner")
    assert re.search(r"DAEMON GONE\s+since \d\d:\d\d:\d\d, for \d+:\d\d: \w", text)  # and why
    style = "(name) => getComputedStyle(document.querySelector('main'))[name]"
    assert page.page.evaluate(style, "filter") == "grayscale(1)"
    assert float(page.page.evaluate(style, "opacity")) < 0.6
    frozen = page.page.evaluate(READ)
    assert "polybot_up{" in (text := world.get("/metrics").decode())
    assert "polybot_spot_usd{" not in text
    world.daemon = world.trade()
    wait_state(page.page, "live")
    page.page.wait_for_function(SAYS, arg=f"process {world.daemon.pid}")
    values, answer = seen(world, page)
    assert answer["pid"] == world.daemon.pid != old.pid
    assert values["daemon"] == frozen["daemon"]
    assert int(values["number"]) > int(frozen["number"])
    assert page.complaints == []


def test_a_wrong_token_shows_nothing_and_the_right_one_is_not_left_in_the_address(world, opened) -> None:
    page = opened(f"{world.base}/?token=wrong")
    assert page.page.inner_text("body").startswith("401")
    assert "polybot_" not in str(page.context.cookies())
    page = opened(world.address)
    wait_state(page.page, "live")
    assert page.page.url == f"{world.base}/"
    assert world.token not in page.page.content()
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], world.token in cookie["value"]) == (True, "Strict", False)
    assert page.page.evaluate("() => document.cookie") == ""
    assert token_path(world.folder / "state").read_text().strip() == world.token


def test_a_page_of_another_site_gets_nothing_of_the_dashboard(world, opened) -> None:
    attempt = """async (base) => {
      const line = await new Promise((done) => {
        const socket = new WebSocket(base.replace("http", "ws") + "/live");
        socket.onopen = () => done("open"); socket.onerror = () => done("refused");
      });
      const asked = fetch(base + "/api/watch", { credentials: "include" });
      const said = await asked.then((answer) => answer.text(), () => "refused");
      return [line, said];
    }"""
    with Served({}) as other:
        page = opened(world.address)
        wait_state(page.page, "live")
        own = page.page.evaluate(attempt, world.base)
        assert own[0] == "open"
        assert '"answer"' in own[1]
        stranger = page.context.new_page()
        stranger.goto(f"{other.base}/healthz")
        assert stranger.evaluate(attempt, world.base) == ["refused", "refused"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_in_order(world, number) -> None:
    board = world.start("dashboard", "port=0")
    board.says(r"dashboard  (\S+)")
    code, lines = board.end(number)
    assert (code, len(lines)) == (0, 1), lines


def test_a_host_that_is_not_this_machine_is_refused_with_the_fix(world) -> None:
    board = world.start("dashboard", "port=0", "dashboard.host=0.0.0.0")
    code, lines = board.end(0)
    assert (code, len(lines)) == (2, 1), lines
    assert "ssh -L" in lines[0]


# -- states, with answers made by hand ---------------------------------------------------------------------------------

HALT = {"kind": "manual", "by": "telegram (uid 0)", "reason": "news <b>at ten</b>"}
STATES = {
    "trading": ({}, "good", "TRADING", "entries are open"),
    "halted": ({"halts": [HALT]}, "bad", "HALTED (manual)", "by telegram (uid 0): news <b>at ten</b>"),
    "closed": ({"entries": {"open": False, "reason": "VENUE_DOWN"}}, "warn", "ENTRIES CLOSED", "by VENUE_DOWN"),
    "starting": ({"ready": False}, "warn", "STARTING", "entries are closed"),
    "stopping": ({"stopping": True, "halts": [HALT]}, "warn", "STOPPING", "no new orders"),
    "ill": ({"health": {"ok": False, "reasons": ["stale spot"], "loop_lag_ms": {}}}, "warn", "NOT WELL", "stale spot"),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_the_banner_says_how_it_stands(opened, name) -> None:
    changes, tone, word, text = STATES[name]
    with Served({"one": MadeSource(**changes)}) as served:
        page = opened(served.address)
        wait_state(page.page, "live")
        assert page.page.get_attribute("#banner", "data-tone") == tone
        assert page.page.inner_text("#banner-word") == word
        assert text in page.page.inner_text("#banner-text")
        assert page.complaints == []


@pytest.mark.parametrize(
    ("venue", "mode", "chip"),
    [("sim", "live", "SIMULATED"), ("polymarket", "paper", "SIMULATED FILLS"), ("polymarket", "live", "REAL MONEY")],
)
def test_whether_money_is_real_is_always_said(opened, venue, mode, chip) -> None:
    with Served({"one": MadeSource(venue=venue, mode=mode)}) as served:
        page = opened(served.address, PHONE)
        wait_state(page.page, "live")
        assert page.page.locator(".chip.simulated, .chip.real").all_inner_texts() == [chip]
        assert page.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_feeds_and_losses_are_coloured_by_their_limits(opened) -> None:
    feeds = {"spot": 0.1, "oracle": 3.0, "book btc-updown-5m-1795337100": 9.0, "user": None}
    telemetry = {"records_dropped": 0, "rows_lost": 12, "rows_waiting": 9, "errors": 0, "disk_error": "no space"}
    with Served({"one": MadeSource(feeds=feeds, telemetry=telemetry)}) as served:
        page = opened(served.address)
        wait_state(page.page, "live")
        tones = "() => [...document.querySelectorAll('.feed')].map((node) => [node.dataset.feed, node.dataset.tone])"
        assert [tone for _, tone in page.page.evaluate(tones)] == ["good", "warn", "bad", "bad"]
        assert page.page.inner_text("#telemetry-word") == "disk: no space"
        assert page.page.get_attribute("[data-pair=rows_lost]", "data-tone") == "bad"
        assert page.page.get_attribute("[data-pair=rows_waiting]", "data-tone") is None


def test_a_dashboard_that_ends_and_comes_back_is_said_and_found_again(opened) -> None:
    source = MadeSource()
    first = Served({"one": source})
    page = opened(first.address)
    wait_state(page.page, "live")
    first.close()
    wait_state(page.page, "lost")
    assert "NO CONNECTION" in page.page.inner_text("#banner")
    assert page.page.evaluate("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"
    second = Served({"one": source}, port=first.port)
    try:
        wait_state(page.page, "live")
    finally:
        second.close()


def test_no_news_for_long_is_shown_as_old_though_the_line_is_open(opened) -> None:
    source = MadeSource()
    with Served({"one": source}) as served:
        page = opened(served.address)
        wait_state(page.page, "live")
        held = asyncio.Event()
        served.call(lambda: setattr(source, "watch", held.wait))
        wait_state(page.page, "late")
        assert "NO NEWS" in page.page.inner_text("#banner")


def test_of_several_daemons_one_is_chosen_and_without_any_it_says_so(opened) -> None:
    sources = {}
    with Served(sources) as served:
        page = opened(served.address)
        wait_state(page.page, "none")
        assert "NO DAEMON" in page.page.inner_text("#banner")
        sources["first"] = MadeSource(asset="btc", session="s-first")
        wait_state(page.page, "live")
        sources["second"] = MadeSource(asset="eth", session="s-second")
        page.page.wait_for_selector("#pick:not([hidden])")
        page.page.select_option("#daemons", "first")
        page.page.wait_for_selector('body[data-daemon="first"]')
        page.page.wait_for_function(SAYS, arg="s-first")
        page.page.select_option("#daemons", "second")
        page.page.wait_for_selector('body[data-daemon="second"]')
        page.page.wait_for_function(SAYS, arg="s-second")
        assert page.complaints == []
