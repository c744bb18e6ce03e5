"""Faults planted in the embedded venue on request, each one thing that `polybot doctor` must find and name.

Owns what is planted and what it changes: answers on their way out, and which websockets are mute.  The venue's own
books stay as they are.  Planted by POST /plant on the venue's private address (`sim_url`): one JSON object with the
names below; it replaces what was planted before, {} heals.  Must not know sockets.  Called by sim.venue.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import orjson

from polybot.transport import HttpResponse

__all__ = ["CHANNELS", "Planted", "planted_from"]

NS = 1_000_000_000
MICRO = 1_000_000
CHANNELS = ("spot", "oracle", "polybolt", "market", "user")
_CHANNEL_OF = {"spot": "spot", "rtds": "oracle", "polybolt": "polybolt"}
_BLOCKED = {"blocked": True, "ip": "127.0.0.1", "country": "US", "region": "NY"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """What is wrong; the defaults are what is right."""

    blocked: bool = False  # the location check says so
    closed_only: bool = False  # the account may not open positions
    version: int = 0  # what GET /version says instead
    rule: str = ""  # resolution source of every market
    no_allowance: bool = False  # no contract may move the wallet's money
    balance_usd: float = -1.0  # what the balance is said to be
    wallet_type: int = -1  # the only signature type whose wallet holds anything
    clock_off_s: float = 0.0  # whoever joins from now on gets a clock that is so far ahead; wall seconds
    mute: tuple[str, ...] = ()  # websockets that connect and bring no data (PONGs still come)

    def is_mute(self, service: str, path: str, text: str) -> bool:
        """Is this message of a websocket lost?"""
        channel = _CHANNEL_OF.get(service) or ("user" if path.endswith("/user") else "market")
        return channel in self.mute and not (text == "PONG" and channel != "user")

    def changed(self, service: str, path: str, query: Mapping[str, str], answer: HttpResponse) -> HttpResponse:
        """Return the answer as it leaves; refusals stay what they are."""
        if answer.status != 200:
            return answer
        data = self._changed(service, path, query, orjson.loads(answer.body))
        return replace(answer, body=orjson.dumps(data))

    def _changed(self, service: str, path: str, query: Mapping[str, str], data: Any) -> Any:
        if service == "geoblock" and self.blocked:
            return _BLOCKED
        if service == "gamma" and self.rule:
            return _with_rule(data, self.rule)
        if service == "sim" and path == "/info" and self.clock_off_s:
            return {**data, "mono_ns": data["mono_ns"] - round(self.clock_off_s * NS)}
        if service != "clob":
            return data
        if path == "/version" and self.version:
            return {"version": self.version}
        if path == "/auth/ban-status/closed-only":
            return {"closed_only": self.closed_only}
        if path == "/balance-allowance" and query.get("asset_type") == "COLLATERAL":
            return self._purse(data, query.get("signature_type", ""))
        return data

    def _purse(self, data: Mapping[str, Any], kind: str) -> dict[str, Any]:
        balance, allowances = data["balance"], data["allowances"]
        if self.balance_usd >= 0.0:
            balance = str(round(self.balance_usd * MICRO))
        if self.wallet_type >= 0 and kind != str(self.wallet_type):
            balance, allowances = "0", dict.fromkeys(allowances, "0")
        if self.no_allowance:
            allowances = dict.fromkeys(allowances, "0")
        return {"balance": balance, "allowances": allowances}


def planted_from(body: bytes) -> Planted:
    """Read what is to be planted; raises ValueError for a name or value that does not exist."""
    data = orjson.loads(body)
    if not isinstance(data, dict):
        raise ValueError("an object is needed")
    known = {field.name: field.default for field in fields(Planted)}
    for name, value in data.items():
        wanted = known.get(name)
        if name == "mute":
            if not isinstance(value, list) or not set(value) <= set(CHANNELS):
                raise ValueError(f"mute is a list of {', '.join(CHANNELS)}")
        elif wanted is None or not _fits(value, wanted):
            raise ValueError(f"{name}={value} is not allowed: there are {', '.join(known)}")
    return Planted(**{**data, "mute": tuple(data.get("mute", ()))})


def _fits(value: object, like: object) -> bool:
    if isinstance(like, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(like)


def _with_rule(data: Any, rule: str) -> Any:
    """The same JSON, every resolution source another one."""
    if isinstance(data, list):
        return [_with_rule(item, rule) for item in data]
    if not isinstance(data, dict):
        return data
    return {
        key: rule if key == "resolutionSource" else _with_rule(value, rule) for key, value in data.items()
    }
