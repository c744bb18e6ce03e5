"""The venue's dead-man switch: while orders rest, a beat every few seconds, or it cancels them all.

Owns the heartbeat id and the last acknowledged beat.  The first beat arms the switch, 10 s (+ 5 s
sweep) without one cancel every order of this API key; a 400 that names another id is adopted.
Must not decide about entries: it says whether the switch is held.  Called by gateway.clob.
"""

import orjson

from polybot.errors import VenueUnavailable
from polybot.gateway.rest import ClobRest

__all__ = ["Heartbeat"]

PATH = "/v1/heartbeats"


class Heartbeat:
    """Beats of one account."""

    def __init__(self, rest: ClobRest) -> None:
        self._rest = rest
        self._heartbeat_id = ""
        self.missed = 0  # in a row

    async def beat(self) -> bool:
        """Send one beat, and one more when the venue corrects the id; True when acknowledged."""
        held, corrected = await self._send()
        if corrected:
            held, _ = await self._send()
        self.missed = 0 if held else self.missed + 1
        return held

    async def _send(self) -> tuple[bool, bool]:
        try:
            response = await self._rest.post(PATH, {"heartbeat_id": self._heartbeat_id})
        except VenueUnavailable:
            return False, False
        told = _read_id(response.body)
        if not told or response.status not in (200, 400):
            return False, False
        corrected = response.status == 400 and told != self._heartbeat_id
        self._heartbeat_id = told
        return response.status == 200, corrected


def _read_id(raw: bytes) -> str:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return ""
    told = body.get("heartbeat_id") if isinstance(body, dict) else None
    return told if isinstance(told, str) else ""
