"""The dashboard over real loopback sockets: every refusal, the cookie, headers, bounds, and what programs get."""

import asyncio
import json
import re
import socket
from contextlib import suppress

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from polybot.telemetry.dashboard.assets import load_assets
from tests.dashboard.made import MadeSource, made_answer
from tests.dashboard.served import LIMIT_S, TOKEN, Served

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def served():
    with Served({"one": MadeSource()}) as found:
        yield found


def raw(served, request, *, host=None, more=""):
    """(status, head, body) of one request as it is written; nothing is made better on the way."""
    host = f"127.0.0.1:{served.port}" if host is None else host
    text = f"{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=LIMIT_S) as line:
        line.sendall(text.encode())
        data = b""
        while piece := line.recv(65_536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body


def get(served, path, *, more="", **given):
    return raw(served, f"GET {path}", more=f"Authorization: Bearer {TOKEN}\r\n{more}", **given)


def asked(served, path):
    """JSON of one path, once there is a look."""
    status, _, body = get(served, path)
    assert status == 200, body
    return json.loads(body)


def run(coroutine):
    async def bounded():
        async with asyncio.timeout(LIMIT_S):
            return await coroutine

    return asyncio.run(bounded())


def first_look(served):
    async def wait():
        address = f"{served.base}/api/daemons"
        async with aiohttp.ClientSession() as session, session.get(address, headers=BEARER) as said:
            return (await said.json())["daemons"]

    while not (found := run(wait())) or not found[0]["live"]:
        pass
    return found


# -- refusals ----------------------------------------------------------------------------------------------------------

PATHS = ("/", "/static/index.html", "/static/app.js", "/api/daemons", "/api/watch", "/metrics", "/live", "/nothing")


@pytest.mark.parametrize("path", PATHS)
def test_every_path_needs_the_token(served, path) -> None:
    more = f"Origin: http://127.0.0.1:{served.port}\r\n"
    for word in ("", "Authorization: Bearer wrong\r\n", f"Cookie: {served.gate.cookie_name}=wrong\r\n"):
        status, _, body = raw(served, f"GET {path}", more=more + word)
        assert status in (401, 429), path
        assert TOKEN.encode() not in body
        assert b"polybot" not in body.replace(b"python -m polybot dashboard", b"")


@pytest.mark.parametrize("path", PATHS)
def test_every_path_refuses_another_host_and_another_origin_whoever_asks(served, path) -> None:
    assert get(served, path, host="evil.example:8765")[0] == 421
    assert get(served, path, more="Origin: http://evil.example\r\n")[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/api/watch", "/live", "/metrics", "/healthz"])
def test_no_path_takes_anything(served, method, path) -> None:
    status, _, _ = raw(served, f"{method} {path}", more=f"Authorization: Bearer {TOKEN}\r\nContent-Length: 0\r\n")
    assert status == 405


@pytest.mark.parametrize(
    "path",
    ["/static/../access.py", "/static/../../../errors.py", "/static/%2e%2e/access.py", "/static/..%2faccess.py",
     "/static/%2e%2e%2faccess.py", "/static//etc/passwd", "/static/....//access.py", "/static/..\\access.py",
     "/static/%5c..%5caccess.py", "/static/%00index.html", "/static/index.html%00", "/static/vendor/", "/static/",
     "/static", "/../../../../etc/passwd", "//etc/passwd", "/static/app.js/..", "/static/INDEX.HTML",
     "/static/%252e%252e/access.py", "/dashboard.token", "/static/dashboard.token"],
)  # fmt: skip
def test_no_path_leads_out_of_the_pages_own_files(served, path) -> None:
    status, _, body = get(served, path)
    assert status in (400, 404), (path, body[:80])
    assert b"import" not in body
    assert b"root:" not in body


def test_only_the_pages_own_files_are_served_and_all_of_them_are(served) -> None:
    assets = load_assets()
    assert "/static/vendor/uPlot-LICENSE.txt" in assets
    for path, asset in assets.items():
        status, head, body = get(served, path)
        assert (status, body) == (200, asset.body)
        assert asset.kind in head
    status, head, body = get(served, "/static/app.js", more="Accept-Encoding: gzip\r\n")
    assert body == assets["/static/app.js"].packed
    assert get(served, "/static/app.js", more=f"If-None-Match: {assets['/static/app.js'].etag}\r\n")[0] == 304


def test_the_page_loads_nothing_from_elsewhere_and_has_no_script_of_its_own_in_it() -> None:
    for path, asset in load_assets().items():
        text = asset.body.decode()
        if "/vendor/" not in path:
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
        if path.endswith(".html"):
            assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle=|javascript:", text)


@pytest.mark.parametrize("size", [9_000, 100_000])
def test_a_request_without_an_end_is_refused(served, size) -> None:
    with suppress(ConnectionError):  # hung up while we still wrote
        assert get(served, "/api/watch?number=" + "9" * size)[0] in (400, 414)
    with suppress(ConnectionError):
        assert get(served, "/", more=f"X-Long: {'x' * size}\r\n")[0] in (400, 431)
    assert get(served, "/healthz")[0] in (200, 503)


# -- the printed address -----------------------------------------------------------------------------------------------


def test_the_printed_address_sets_a_strict_cookie_and_goes_on_without_the_token(served) -> None:
    status, head, body = raw(served, f"GET /?token={TOKEN}")
    assert status == 303
    assert re.search(r"^Location: /\r?$", head, re.MULTILINE)
    cookie = re.search(r"^Set-Cookie: (.*?)\r?$", head, re.MULTILINE)[1]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert TOKEN not in head + body.decode()
    pair = cookie.partition(";")[0]
    assert raw(served, "GET /", more=f"Cookie: {pair}\r\n")[0] == 200
    assert raw(served, "GET /api/daemons", more=f"Cookie: {pair}\r\n")[0] == 200


def test_from_a_link_on_another_site_the_browser_is_sent_on_by_the_page_itself(served) -> None:
    status, head, body = raw(served, f"GET /?token={TOKEN}", more="Sec-Fetch-Site: cross-site\r\n")
    assert (status, b'content="0;url=/"' in body, "SameSite=Strict" in head) == (200, True, True)
    assert TOKEN.encode() not in body


def test_a_code_in_the_printed_address_works_once(served) -> None:
    code = served.gate.new_code()
    assert raw(served, f"GET /?token={code}")[0] == 303
    assert raw(served, f"GET /?token={code}")[0] in (401, 429)


def test_every_answer_forbids_frames_foreign_scripts_caches_and_referrers(served) -> None:
    for path in ("/", "/static/app.js", "/api/daemons", "/nothing", "/metrics", "/healthz"):
        _, head, _ = get(served, path)
        policy = re.search(r"Content-Security-Policy: (.*)", head)[1]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        for line in ("X-Frame-Options: DENY", "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer"):
            assert line in head
        assert re.search(r"Cache-Control: no-(store|cache)", head)
        assert "aiohttp" not in head


def test_an_odd_host_gets_no_word_into_the_policy(served) -> None:
    _, head, _ = get(served, "/", host="localhost;script-src *")
    assert "script-src *" not in head


# -- for programs ------------------------------------------------------------------------------------------------------


def test_an_answer_is_given_by_its_number_as_long_as_it_is_kept(served) -> None:
    first_look(served)
    newest = asked(served, "/api/watch")
    again = asked(served, f"/api/watch?daemon=one&number={newest['number']}")
    assert again["answer"] == newest["answer"]
    assert newest["answer"]["markets"][0]["slug"] == made_answer()["markets"][0]["slug"]
    for query, wanted in (("number=999999", 404), ("number=-1", 400), ("number=1e3", 400), ("daemon=other", 404)):
        assert get(served, f"/api/watch?{query}")[0] == wanted


def test_metrics_are_what_prometheus_reads(served) -> None:
    first_look(served)
    _, head, body = get(served, "/metrics")
    assert "text/plain" in head
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert families["polybot_up"].samples[0].value == 1.0
    assert families["polybot_strike_usd"].samples[0].value == made_answer()["markets"][0]["strike"]


def test_health_is_told_to_anybody_and_its_reasons_to_viewers() -> None:
    ill = {"ok": False, "reasons": ["loop_lag"], "loop_lag_ms": {"last": 1.0, "worst": 5e3}, "data_age_s": 0.1}
    sources = {"well": MadeSource()}
    with Served(sources) as served:
        first_look(served)
        status, _, body = raw(served, "GET /healthz")
        assert (status, json.loads(body)) == (200, {"ok": True})
        sources["ill"] = MadeSource(health=ill)
        while (told := json.loads(get(served, "/healthz")[2]))["reasons"] != ["ill: loop_lag"]:
            pass
        assert told["ok"] is False
        assert raw(served, "GET /healthz")[0] == 503
        sources["well"].gone = "no daemon runs"
        while "well: gone: no daemon runs" not in json.loads(get(served, "/healthz")[2])["reasons"]:
            pass
        families = text_string_to_metric_families(get(served, "/metrics")[2].decode())
        up = next(family for family in families if family.name == "polybot_up")
        assert {sample.labels["daemon"]: sample.value for sample in up.samples} == {"well": 0.0, "ill": 1.0}


def test_without_a_daemon_it_is_not_well() -> None:
    with Served({}) as served:
        status, _, body = get(served, "/healthz")
        assert (status, json.loads(body)["reasons"]) == (503, ["no daemon found"])
        assert get(served, "/api/watch")[0] == 404


# -- the live line -----------------------------------------------------------------------------------------------------


def connect(session, served, **headers):
    own = {"Origin": served.base, **BEARER, **headers}
    return session.ws_connect(f"{served.base}/live", headers={key: value for key, value in own.items() if value})


def test_a_page_gets_what_is_known_and_then_every_look_with_its_events_once(served) -> None:
    async def listen():
        async with aiohttp.ClientSession() as session, connect(session, served) as line:
            return [await line.receive_json() for _ in range(8)]

    first_look(served)
    hello, history, *looks = run(listen())
    assert (hello["type"], history["type"]) == ("hello", "history")
    assert {look["type"] for look in looks} == {"look"}
    numbers = [look["number"] for look in looks]
    assert numbers == list(range(numbers[0], numbers[0] + 6))
    assert all(look["gone_ms"] is None and "events" not in look["facts"] for look in looks)
    told = [event["seq"] for message in (history, *looks) for event in message["events"]]
    assert len(told) == len(set(told))
    assert len([event for look in looks for event in look["events"]]) >= 5


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": ""}, {"Authorization": "Bearer wrong"}, {"Authorization": ""},
     {"Host": "evil.example"}],
)  # fmt: skip
def test_a_websocket_of_another_site_or_without_the_token_is_refused(served, headers) -> None:
    async def attempt():
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await connect(session, served, **headers)
            return caught.value.status

    assert run(attempt()) in (401, 403, 421, 429)


def test_more_pages_than_allowed_are_refused_and_a_closed_one_makes_room() -> None:
    async def crowd(served):
        async with aiohttp.ClientSession() as session:
            lines = [await connect(session, served) for _ in range(2)]
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await connect(session, served)
            await lines[0].close()
            while served.server.viewers >= 2:
                await asyncio.sleep(0.01)
            lines.append(await connect(session, served))
            assert (await lines[-1].receive_json())["type"] == "hello"
            for line in lines:
                await line.close()
            return caught.value.status

    with Served({"one": MadeSource()}, viewers_count=2) as served:
        assert run(crowd(served)) == 503


@pytest.mark.parametrize("message", ["x" * 2_000, None])
def test_a_viewer_that_sends_too_much_is_let_go(served, message) -> None:
    async def flood():
        async with aiohttp.ClientSession() as session, connect(session, served) as line:
            with suppress(ConnectionError):
                for _ in range(1 if message else 100):
                    await line.send_str(message or "{}")
            while (await line.receive()).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass

    run(flood())


def test_a_daemon_that_goes_and_comes_back_is_told_with_the_moment_it_went() -> None:
    async def listen(served, source):
        async with aiohttp.ClientSession() as session, connect(session, served) as line:
            while (await line.receive_json())["type"] != "look":
                pass
            source.gone = "no daemon runs"
            while (gone := await line.receive_json())["type"] != "gone":
                pass
            async with connect(session, served) as late:
                seen = [await late.receive_json() for _ in range(4)]
            source.gone = ""
            while (back := await line.receive_json())["type"] != "look":
                pass
            return gone, seen, back

    source = MadeSource()
    with Served({"one": source}) as served:
        gone, seen, back = run(listen(served, source))
    assert gone["why"] == "no daemon runs"
    assert [message["type"] for message in seen] == ["hello", "history", "look", "gone"]
    assert seen[2]["gone_ms"] == seen[3]["since_ms"] == gone["since_ms"]
    assert back["gone_ms"] is None


def test_pages_are_told_goodbye_when_the_dashboard_ends() -> None:
    async def listen(served):
        async with aiohttp.ClientSession() as session, connect(session, served) as line:
            await line.receive_json()
            await asyncio.to_thread(served.close)
            while (message := await line.receive()).type != aiohttp.WSMsgType.CLOSE:
                pass
            return message.data

    assert run(listen(Served({"one": MadeSource()}))) == 1001
