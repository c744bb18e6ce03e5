"""The dashboard's HTTP end: the page's files, the live websocket, answers to check, /metrics and /healthz.

Owns routes, the headers every answer has, and the bounds of viewers and of what they may send.  Reads only: no route
changes anything, at the daemon or here.  Every request goes through the gate (access) before its route.

    GET /?token=T          the printed address: sets the cookie, goes on to /
    GET /, /static/...     the page
    GET /live[?daemon=N]   websocket: first what is known, then every look (docs/DASHBOARD.md)
    GET /api/daemons, /api/watch[?daemon=N&number=K]
    GET /metrics           Prometheus
    GET /healthz           200 or 503, without a token; with one also why

Called by serving.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

from polybot import __version__
from polybot.clock import Clock
from polybot.config_dashboard import DashboardConfig
from polybot.telemetry.dashboard.access import Ask, Gate, bearer_of
from polybot.telemetry.dashboard.assets import Asset, load_assets
from polybot.telemetry.dashboard.follower import Follower, Look
from polybot.telemetry.dashboard.hub import Hub
from polybot.telemetry.metrics import CONTENT_TYPE_LATEST, exposition

__all__ = ["DashboardServer"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PAGE = "/static/index.html"
OPEN_PATHS = ("/healthz",)
MAX_HEADER_BYTES = 8_190
MAX_MESSAGE_BYTES = 1_024  # of a viewer's message
MAX_MESSAGES = 60  # of a viewer, a minute
PING_S = 20.0  # wall; a viewer that does not answer is gone
IDLE_S = 2.0  # wall; how often a page with no daemon is told so
NS_PER_S = 1_000_000_000
# Of an answer, what the page does not need: it has its like in `markets`, or comes apart.
NOT_SENT = frozenset({"events", "why", "ok"})


class DashboardServer:
    """Serves one hub; `runner` is ready to listen."""

    def __init__(self, hub: Hub, gate: Gate, settings: DashboardConfig, clock: Clock) -> None:
        self.viewers = 0
        self.let_go = 0  # viewers that took nothing, or broke off
        self._hub = hub
        self._gate = gate
        self._settings = settings
        self._clock = clock
        self._assets = load_assets()
        self._sockets: set[web.WebSocketResponse] = set()
        application = web.Application(middlewares=[self._guard], client_max_size=MAX_MESSAGE_BYTES)
        application.on_response_prepare.append(_add_headers)
        application.on_shutdown.append(self._end_sockets)
        application.router.add_get("/", self._page)
        application.router.add_get("/static/{name:.+}", self._asset)
        application.router.add_get("/live", self._live)
        application.router.add_get("/api/daemons", self._daemons)
        application.router.add_get("/api/watch", self._watch)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
        self.runner = web.AppRunner(
            application,
            access_log=None,  # an address may hold the token
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            shutdown_timeout=1.0,
        )

    # -- before every route -----------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        ask = self._ask(request)
        refusal = self._gate.judge(ask)
        if refusal is not None:
            return web.Response(status=refusal.status, text=f"{refusal.status} {refusal.why}\n")
        if self._gate.is_first(ask):
            self._gate.use(ask)
            answer = _go_on(is_link=ask.site not in (None, "none", "same-origin"))
            answer.set_cookie(
                self._gate.cookie_name, self._gate.cookie_value, httponly=True, samesite="Strict", path="/"
            )
            return answer
        try:
            return await handler(request)
        except web.HTTPException as refused:
            return web.Response(status=refused.status, text=f"{refused.status} {refused.reason}\n")

    def _ask(self, request: web.Request) -> Ask:
        headers = request.headers
        return Ask(
            method=request.method,
            path=request.path,
            host=headers.get("Host", ""),
            origin=headers.get("Origin"),
            site=headers.get("Sec-Fetch-Site"),
            cookie=request.cookies.get(self._gate.cookie_name, ""),
            bearer=bearer_of(headers),
            query_token=request.query.get("token", ""),
            is_websocket=request.path == "/live" or headers.get("Upgrade", "").lower() == "websocket",
            is_open=request.path in OPEN_PATHS,
        )

    # -- files ------------------------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        return _file(request, self._assets[PAGE])

    async def _asset(self, request: web.Request) -> web.Response:
        asset = self._assets.get(request.path)
        if asset is None:
            raise web.HTTPNotFound
        return _file(request, asset)

    # -- for programs -----------------------------------------------------------------------------------------

    async def _daemons(self, request: web.Request) -> web.Response:
        return _json({"daemons": self._hub.listed(), "viewers": self.viewers, "refused": self._gate.refused})

    async def _watch(self, request: web.Request) -> web.Response:
        """One answer in full: the newest, or one of the last by the number that a page shows."""
        follower = self._hub.chosen(request.query.get("daemon", ""))
        if follower is None:
            raise web.HTTPNotFound
        number = request.query.get("number", "")
        if number and not (number.isascii() and number.isdigit() and len(number) < 16):
            raise web.HTTPBadRequest
        look = follower.look(int(number)) if number else follower.newest
        if look is None:
            raise web.HTTPNotFound
        facts = {**_head(follower, look), "gone_ms": follower.gone_ms, "gone_why": follower.gone_why}
        return _json({**facts, "answer": look.answer})

    async def _metrics(self, request: web.Request) -> web.Response:
        answers = {
            name: follower.newest.answer if follower.is_live and follower.newest is not None else None
            for name, follower in self._hub.followers.items()
        }
        return web.Response(body=exposition(answers), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, request: web.Request) -> web.Response:
        """Well when every daemon that is followed answers and says so of itself, and there is one."""
        reasons = [] if self._hub.followers else ["no daemon found"]
        for follower in self._hub.followers.values():
            if not follower.is_live or follower.newest is None:
                reasons.append(f"{follower.name}: gone: {follower.gone_why}")
                continue
            health = follower.newest.answer.get("health") or {"ok": False, "reasons": ["no health told"]}
            if not health["ok"]:
                reasons += [f"{follower.name}: {word}" for word in health["reasons"]]
        told: dict[str, Any] = {"ok": not reasons}
        if self._gate.knows(self._ask(request)):
            told["reasons"] = reasons
        return _json(told, status=200 if not reasons else 503)

    # -- the page's live line ---------------------------------------------------------------------------------

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if self.viewers >= self._settings.viewers_count:
            return web.Response(status=503, text=f"503 {self.viewers} pages are open already\n")
        name = request.query.get("daemon", "")[:MAX_MESSAGE_BYTES]
        socket = web.WebSocketResponse(heartbeat=PING_S, max_msg_size=MAX_MESSAGE_BYTES, timeout=1.0)
        if not socket.can_prepare(request).ok:
            raise web.HTTPBadRequest
        self.viewers += 1
        try:
            await socket.prepare(request)
            self._sockets.add(socket)
            await self._serve_viewer(socket, name)
        finally:
            self.viewers -= 1
            self._sockets.discard(socket)
        return socket

    async def _serve_viewer(self, socket: web.WebSocketResponse, name: str) -> None:
        """Until either end hangs up: what it sends only shows that it lives, and too much of it ends it."""
        try:
            async with asyncio.TaskGroup() as group:
                teller = group.create_task(self._tell(socket, name))
                await self._listen(socket)
                teller.cancel()
        except* (ConnectionError, TimeoutError):
            self.let_go += 1
        await socket.close()

    async def _listen(self, socket: web.WebSocketResponse) -> None:
        count, begun_ns = 0, self._clock.mono_ns()
        async for message in socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            now_ns = self._clock.mono_ns()
            if now_ns - begun_ns > 60 * NS_PER_S:
                count, begun_ns = 0, now_ns
            count += 1
            if count > MAX_MESSAGES:
                return

    async def _tell(self, socket: web.WebSocketResponse, name: str) -> None:
        """Everything that is known, then every look; a daemon nobody named may give way to one that lives."""
        shown: Follower | None = None
        number = events = -1
        gone_told: int | None = None
        await self._send(socket, self._hello())
        while True:
            found, follower = self._hub.count, self._hub.chosen(name)
            if follower is not shown:
                shown, number, gone_told = follower, -1, None
                if follower is not None:
                    await self._send(socket, _all_of(follower))
                    events = follower.history.events.newest
            if follower is None:
                await self._send(socket, {"type": "none", "daemons": self._hub.listed()})
                await _first(self._hub.more_than(found), IDLE_S)
                continue
            changes = follower.changes
            look = follower.newest
            if look is not None and look.number != number:
                number = look.number
                told = _told(follower, look, events)
                await self._send(socket, {"type": "look", **told, "daemons": self._hub.listed()})
                events = look.events
            if follower.gone_ms != gone_told:
                gone_told = follower.gone_ms
                gone = {"since_ms": gone_told, "why": follower.gone_why, "daemons": self._hub.listed()}
                await self._send(socket, {"type": "gone" if gone_told is not None else "back", **gone})
            await _first(follower.beyond(changes), IDLE_S)

    def _hello(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "type": "hello",
            "version": __version__,
            "watch_ms": settings.watch_ms,
            "feed_warn_s": settings.feed_warn_s,
            "feed_bad_s": settings.feed_bad_s,
            "daemons": self._hub.listed(),
        }

    async def _send(self, socket: web.WebSocketResponse, message: Mapping[str, Any]) -> None:
        async with asyncio.timeout(self._settings.send_s):
            await socket.send_str(_dump({**message, "wall_ms": self._clock.now_ns() // 1_000_000}))

    async def _end_sockets(self, application: web.Application) -> None:
        for socket in tuple(self._sockets):
            await socket.close(code=1001, message=b"the dashboard ends")


def _go_on(*, is_link: bool) -> web.Response:
    """Send the browser to the page, the token left behind.

    From a link on another site it must go there by itself: a redirect would still count as that site's request, and
    not bring the cookie.
    """
    if not is_link:
        return web.Response(status=303, headers={"Location": "/"})
    page = '<!doctype html><meta http-equiv="refresh" content="0;url=/"><title>polybot</title><a href="/">polybot</a>'
    return web.Response(text=page, content_type="text/html")


def _head(follower: Follower, look: Look) -> dict[str, Any]:
    return {"name": follower.name, "number": look.number, "looked_ms": look.wall_ms}


def _told(follower: Follower, look: Look, events: int) -> dict[str, Any]:
    """A look as the page gets it, with the events beyond those it has."""
    facts = {key: value for key, value in look.answer.items() if key not in NOT_SENT}
    facts["latency"] = [
        {key: value for key, value in row.items() if key != "buckets"} for row in facts.get("latency") or ()
    ]
    gone = {"gone_ms": follower.gone_ms, "gone_why": follower.gone_why}
    return {**_head(follower, look), **gone, "facts": facts, "events": follower.history.events.after(events)}


def _all_of(follower: Follower) -> dict[str, Any]:
    """What a page gets when it comes, or turns to another daemon."""
    history = follower.history
    return {
        "type": "history",
        "name": follower.name,
        "curves": history.curves(),
        "money": history.money.columns(),
        "events": history.events.after(0),
        "events_missed": follower.missed,
    }


async def _first(change: Awaitable[None], limit_s: float) -> None:
    """Wait for a change, at most so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await change


def _dump(message: Any) -> str:
    return json.dumps(message, separators=(",", ":"), allow_nan=False)


def _json(message: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, text=_dump(message) + "\n", content_type="application/json")


def _file(request: web.Request, asset: Asset) -> web.Response:
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if request.headers.get("If-None-Match") == asset.etag:
        return web.Response(status=304, headers=headers)
    body = asset.body
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body = asset.packed
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers, content_type=asset.kind, charset="utf-8")


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries: no script but the page's own, no frame, no cache, no trace of where it came from."""
    host = request.headers.get("Host", "")
    line = f"ws://{host}" if host.replace(".", "").replace(":", "").replace("[", "").replace("]", "").isalnum() else ""
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {line}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Server"] = "polybot"
    response.headers.setdefault("Cache-Control", "no-store")
