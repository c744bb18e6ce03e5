"""A Telegram Bot API server of our own on loopback: what the real one answers, and how it fails.

Serves getMe, deleteWebhook, getUpdates (long polling, offsets, 409 for a second poller), sendMessage, sendPhoto and
setMyCommands for one token, in an event loop and thread of its own, so that a test may block.  `mode` makes it fail:
"ok", "flood" (429 with Retry-After), "error" (502), "hang" (takes requests, answers none), "refuse" (400).
`down()` closes the port and every connection, `up()` opens the same port again.
"""

import asyncio
import json
import threading
import time
from collections import Counter

from aiohttp import web

__all__ = ["CHAT", "TOKEN", "USER", "BotApi", "message_update"]

TOKEN = "123456789:AAf4Kx2mQ-bT_9sZ1vLw8yRcEhUoJnPdGi"
CHAT = USER = 555_000_111
WAIT_S = 60.0


def message_update(update_id, text, *, chat=CHAT, user=USER, date=None, message_id=None, **more):
    """A private text message as Telegram sends it; `more` are further fields of the message."""
    kind = more.pop("chat_type", "private" if chat > 0 else "supergroup")
    message = {
        "message_id": update_id if message_id is None else message_id,
        "date": int(time.time()) if date is None else date,
        "chat": {"id": chat, "type": kind, **({"first_name": "Ann"} if kind == "private" else {"title": "G"})},
        "from": {"id": user, "is_bot": False, "first_name": "Ann"},
        "text": text,
        **more,
    }
    if text is not None and text.startswith("/"):
        message["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
    return {"update_id": update_id, "message": {key: value for key, value in message.items() if value is not None}}


class BotApi:
    """One server; use as a context manager."""

    def __init__(self, token=TOKEN):
        self.token = token
        self.mode = "ok"
        self.retry_after_s = 1
        self.sent = []  # every message taken: method, chat_id, text, silent
        self.calls = Counter()  # by method, whatever came of it
        self.failed = Counter()  # by mode
        self.dropped_pending = 0
        self.port = 0
        self._updates = []
        self._next_id = 1_000
        self._pollers = 0
        self._is_closing = False
        self._loop = asyncio.new_event_loop()
        self._news = None
        self._runner = self._site = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_down(self):
        return self._runner is None

    @property
    def texts(self):
        return [one["text"] for one in self.sent]

    def __enter__(self):
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *caught):
        self.mode = "ok"
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def up(self):
        """Listen again on the same port."""
        self._call(self._start())

    def down(self):
        """Nobody listens: connections are refused."""
        self._call(self._stop())

    def push(self, *updates):
        """Hand updates to whoever polls; what is said later has larger numbers."""
        self._next_id = max(self._next_id, *(one["update_id"] for one in updates))
        self._call(self._push(updates))

    def say(self, text, **more):
        """An allowed person writes; returns the number of the update."""
        self._next_id += 1
        number = self._next_id
        self.push(message_update(number, text, **more))
        return number

    def wait_for(self, is_so, limit_s=WAIT_S):
        """Wait until the condition holds; fails the test when it never does."""
        deadline = time.monotonic() + limit_s
        while not is_so():
            assert time.monotonic() < deadline, f"waited {limit_s} s; sent so far: {self.texts[-20:]}"
            time.sleep(0.01)

    def wait_for_text(self, part, limit_s=WAIT_S):
        """The first message that holds `part`."""
        self.wait_for(lambda: any(part in text for text in self.texts), limit_s)
        return next(text for text in self.texts if part in text)

    @property
    def waiting(self):
        """Updates nobody confirmed yet."""
        return len(self._updates)

    # -- in the server's loop -----------------------------------------------------------------------------------

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)

    async def _start(self):
        self._news = self._news or asyncio.Condition()
        application = web.Application(client_max_size=32 << 20)
        application.router.add_route("*", "/bot{token}/{method}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.0, access_log=None)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await self._site.start()
        self.port = self._site._server.sockets[0].getsockname()[1]

    async def _stop(self):
        if self._runner is not None:
            self._is_closing = True
            async with self._news:  # who waits in a long poll goes
                self._news.notify_all()
            await self._runner.cleanup()
            self._is_closing = False
            self._runner = None

    async def _push(self, updates):
        async with self._news:
            self._updates.extend(updates)
            self._news.notify_all()

    async def _serve(self, request):
        method = request.match_info["method"]
        self.calls[method] += 1
        if request.match_info["token"] != self.token:
            return _error(401, "Unauthorized")
        if self.mode == "hang":
            self.failed["hang"] += 1
            while self.mode == "hang":
                await asyncio.sleep(0.02)
            raise web.HTTPServiceUnavailable
        if self.mode == "flood":
            self.failed["flood"] += 1
            retry = {"retry_after": self.retry_after_s}
            return _error(429, f"Too Many Requests: retry after {self.retry_after_s}", parameters=retry)
        if self.mode == "error":
            self.failed["error"] += 1
            return web.Response(status=502, text="<html>Bad Gateway</html>")
        if self.mode == "refuse" and method.startswith("send"):
            self.failed["refuse"] += 1
            return _error(400, "Bad Request: can't parse entities")
        form = dict(await request.post()) if request.can_read_body else {}
        handler = getattr(self, f"_on_{method.lower()}", None)
        return _error(404, "Not Found") if handler is None else await handler(form)

    async def _on_getme(self, form):
        me = {"id": 123456789, "is_bot": True, "first_name": "P", "username": "polybot_test_bot"}
        return _result(me | {"can_join_groups": True, "can_read_all_group_messages": False})

    async def _on_deletewebhook(self, form):
        if str(form.get("drop_pending_updates", "")).lower() == "true":
            self.dropped_pending += len(self._updates)
            self._updates.clear()
        return _result(True)

    async def _on_setmycommands(self, form):
        return _result(True)

    async def _on_getupdates(self, form):
        if self._pollers:
            return _error(409, "Conflict: terminated by other getUpdates request")
        offset, timeout_s = int(form.get("offset", 0)), float(form.get("timeout", 0))
        if offset:
            self._updates = [one for one in self._updates if one["update_id"] >= offset]
        self._pollers += 1
        try:
            async with self._news:
                if not self._updates and timeout_s:
                    try:
                        async with asyncio.timeout(timeout_s):
                            await self._news.wait_for(lambda: self._updates or self.mode != "ok" or self._is_closing)
                    except TimeoutError:
                        pass
        finally:
            self._pollers -= 1
        return _result(self._updates[:100])

    async def _on_sendmessage(self, form):
        return self._take("sendMessage", form, form["text"])

    async def _on_sendphoto(self, form):
        photo = form["photo"]
        self.photo = photo.file.read()
        return self._take("sendPhoto", form, form.get("caption", ""))

    def _take(self, method, form, text):
        silent = str(form.get("disable_notification", "")).lower() == "true"
        self.sent.append(
            {"method": method, "chat_id": int(form["chat_id"]), "text": text, "silent": silent, "at": time.monotonic()}
        )
        chat = {"id": int(form["chat_id"]), "type": "private", "first_name": "A"}
        return _result({"message_id": len(self.sent), "date": int(time.time()), "chat": chat, "text": text})


def _result(value):
    return web.Response(text=json.dumps({"ok": True, "result": value}), content_type="application/json")


def _error(code, words, **more):
    body = {"ok": False, "error_code": code, "description": words, **more}
    return web.Response(status=code, text=json.dumps(body), content_type="application/json")
