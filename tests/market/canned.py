"""Canned HTTP answers and market JSON as the venue sends it, for tests of polybot.market."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polybot.config import VenueConfig
from polybot.errors import VenueUnavailable
from polybot.transport import HttpResponse

NS = 1_000_000_000
START_S = 1_790_127_600  # 2026-09-23T01:40:00Z
SLUG = f"btc-updown-5m-{START_S}"
CONDITION = "0xc77927db1e825c26dfadd89a4113dd0c4cc2609a2a3f9cb455546662ba074676"
TOKEN_UP = "15329049429643092784575279708521316783620398456746213132371567405585638717474"
TOKEN_DOWN = "33215755676580564146338381586841381125623704954041225555979286173231064394422"
GAMMA = "http://gamma"
CLOB = "http://clob"
VENUE = VenueConfig(gamma_url=GAMMA, clob_url=CLOB)


@dataclass
class Http:
    """Answers by URL up to the question mark; a list is served one by one, the last one for ever."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = 5.0,
    ) -> HttpResponse:
        assert method == "GET"
        self.asked.append(url)
        answer = self.answers.get(url, self.answers.get(url.split("?", maxsplit=1)[0]))
        if isinstance(answer, Sequence):
            answer = answer.next()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return HttpResponse(answer, {}, b"{}")
        if answer is None:
            return HttpResponse(404, {}, b'{"error":"not found"}')
        return HttpResponse(200, {}, answer if isinstance(answer, bytes) else json.dumps(answer).encode())


class Sequence:
    """One answer after the other; the last one repeats."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def next(self) -> Any:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class StepClock:
    """Venue time that moves only by sleeping."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def mono_ns(self) -> int:
        return self._now_ns

    async def sleep(self, seconds: float) -> None:
        self._now_ns += int(seconds * NS)
        await asyncio.sleep(0)

    def real_s(self, seconds: float) -> float:
        return seconds


def gamma_market(**changes: Any) -> dict[str, Any]:
    market = {
        "slug": SLUG,
        "conditionId": CONDITION,
        "outcomes": '["Up", "Down"]',
        "clobTokenIds": json.dumps([TOKEN_UP, TOKEN_DOWN]),
        "outcomePrices": '["0.505", "0.495"]',
        "startDate": "2026-09-22T01:48:25.368423Z",
        "eventStartTime": "2026-09-23T01:40:00Z",
        "endDate": "2026-09-23T01:45:00Z",
        "acceptingOrders": True,
        "enableOrderBook": True,
        "active": True,
        "closed": False,
        "orderMinSize": 5,
        "orderPriceMinTickSize": 0.01,
        "negRisk": False,
        "feesEnabled": True,
        "feeSchedule": {"exponent": 1, "rate": 0.07, "takerOnly": True, "rebateRate": 0.2},
        "secondsDelay": 0,
        "resolutionSource": "https://data.chain.link/streams/btc-usd-twap-60s-streams",
        "cryptoMarketConfig": {
            "id": "btc-5m-twap-60",
            "asset": "btc",
            "duration": "5m",
            "twapEnabled": True,
            "twapLookbackSeconds": 60,
        },
        "version": "v1",
    }
    market.update(changes)
    return {key: value for key, value in market.items() if value != "absent"}


def gamma_event(market: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    event: dict[str, Any] = {"slug": SLUG, "markets": [gamma_market() if market is None else market]}
    event.update(changes)
    return event


def clob_market(**changes: Any) -> dict[str, Any]:
    """GET /clob-markets/{condition_id} as recorded on 2026-09-22."""
    market = {
        "r": {"mi": 50, "ma": 4.5, "moas": 30},
        "t": [{"t": TOKEN_UP, "o": "Up"}, {"t": TOKEN_DOWN, "o": "Down"}],
        "c": CONDITION,
        "mos": 5,
        "mts": 0.01,
        "mbf": 1000,
        "tbf": 1000,
        "ao": True,
        "aot": "2026-09-22T01:47:18Z",
        "itode": True,
        "fd": {"r": 0.07, "e": 1, "to": True},
        "v": "v1",
    }
    market.update(changes)
    return {key: value for key, value in market.items() if value != "absent"}


def listed(gamma: dict[str, Any] | None = None, clob: dict[str, Any] | None = None, **answers: Any) -> Http:
    """A venue that shows the market of START_S."""
    http = Http(
        {
            f"{GAMMA}/events/slug/{SLUG}": gamma_event(gamma),
            f"{CLOB}/clob-markets/{CONDITION}": clob_market() if clob is None else clob,
        }
    )
    http.answers.update(answers)
    return http


UNAVAILABLE = VenueUnavailable("no answer")
