"""Random lives of orders at a venue, and every message about them: late, early, twice, on the wrong channel, or never.

A `Life` is what truly happens to one order of ours; `Venue.messages` is what is told of it, with the moment it
arrives.  Objects are such as the user channel and REST send them.  Nothing here knows how polybot books anything.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

ONE = 10_000
SHARE = 1_000_000
LOT = 10_000
BUY, SELL = 0, 1
GTC, FOK, FAK = 0, 2, 3
SIDES = ("BUY", "SELL")
PROVISIONAL = ("MATCHED", "MINED", "RETRYING")
FOREIGN_ID = "0x" + "f" * 64


def decimal(micro: int) -> str:
    """Micro-units as the venue writes a number."""
    text = f"{micro // SHARE}.{micro % SHARE:06d}".rstrip("0")
    return text.rstrip(".")


def price(ticks: int) -> str:
    """Ticks as the venue writes a price."""
    return f"{ticks / ONE:.4f}".rstrip("0")


@dataclass(slots=True)
class Part:
    """Our part of one maker leg of a match."""

    shares: int
    ticks: int
    taker: bool


@dataclass(slots=True)
class Match:
    """One trade of the venue with one or more orders of ours in it."""

    trade_id: str
    at: float
    body: dict[str, Any]
    path: list[tuple[float, str]]  # when each status began
    parts: list[tuple["Life", Part]]

    @property
    def fails(self) -> bool:
        return self.path[-1][1] == "FAILED"

    def status(self, at: float) -> str | None:
        """What the venue's own lists say of it at this moment."""
        told = [name for since, name in self.path if since <= at]
        return told[-1] if told else None


@dataclass(slots=True)
class Life:
    """One order of ours, from the inside of the venue."""

    seq: int
    order_id: str
    strategy: int
    outcome: int
    side: int
    order_type: int
    ticks: int
    asked: int
    shares: int  # as signed
    sent: float
    fate: str  # normal, rejected, killed, lost (no answer, and the venue never saw it)
    answered: bool = True  # the POST got an answer
    ended: float = 0.0
    end: str = ""  # MATCHED, CANCELED or CANCELED_EXPIRED_ORDER
    matches: list[Match] = field(default_factory=list)

    @property
    def is_taker(self) -> bool:
        return self.order_type in (FAK, FOK)

    def matched(self, at: float) -> int:
        """Micro-shares matched until then, whatever became of them."""
        own = [(m, p) for m in self.matches if m.at <= at for life, p in m.parts if life is self]
        return sum(part.shares for _, part in own)


class Venue:
    """One market: makes lives, then their messages."""

    def __init__(self, rng: Random, *, tokens: tuple[str, str], condition_id: str, strategies: int) -> None:
        self.rng = rng
        self.tokens = tokens
        self.condition_id = condition_id
        self.strategies = strategies
        self.lives: list[Life] = []
        self.matches: list[Match] = []

    # -- what happens -----------------------------------------------------------------------------------------

    def live(self, seq: int) -> Life:
        """One order and everything that happens to it."""
        rng = self.rng
        order_type = rng.choice((FAK, FAK, FOK, GTC, GTC, GTC))
        shares = rng.randrange(500, 9_000) * LOT
        asked = shares + rng.choice((0, 0, 0, 1, 37)) * LOT if order_type == FAK else shares
        side = BUY if rng.random() < 0.7 else SELL
        fate = rng.choices(
            ("normal", "rejected", "killed" if order_type != GTC else "normal", "lost"), (88, 4, 4, 4)
        )[0]
        life = Life(
            seq=seq,
            order_id=f"0x{rng.getrandbits(256):064x}",
            strategy=rng.randrange(self.strategies),
            outcome=rng.randrange(2),
            side=side,
            order_type=order_type,
            ticks=rng.choice((rng.randrange(1, 100) * 100, rng.randrange(1, ONE))),
            asked=asked,
            shares=shares,
            sent=rng.uniform(0.0, 60.0),
            fate=fate,
            answered=fate != "lost" and rng.random() < 0.8,
        )
        if fate == "normal":
            self._match(life)
        self.lives.append(life)
        return life

    def _match(self, life: Life) -> None:
        """Draw its matches and its end."""
        rng, at = self.rng, life.sent + self.rng.uniform(0.05, 0.4)
        left = life.shares
        count = rng.choice((1, 1, 1, 2, 3)) if life.is_taker else rng.choice((0, 1, 1, 2, 3, 5))
        for number in range(count):
            if left <= 0:
                break
            all_of_it = life.order_type == FOK or rng.random() < 0.3
            part = (
                left if all_of_it else min(left, rng.choice((left // 2 + 1, rng.randrange(1, left + 1), 1)))
            )
            taker = life.is_taker or (number == 0 and rng.random() < 0.15)
            self._trade(life, at, part, taker=taker)
            left -= part
            at += rng.uniform(0.0, 0.1) if life.is_taker else rng.uniform(0.5, 40.0)
        life.ended = at + rng.uniform(0.0, 30.0 if not life.is_taker else 0.1)
        life.end = "MATCHED" if left <= 0 else rng.choice(("CANCELED", "CANCELED", "CANCELED_EXPIRED_ORDER"))

    def _trade(self, life: Life, at: float, shares: int, *, taker: bool) -> None:
        rng = self.rng
        trade_id = f"{rng.getrandbits(128):032x}"
        body: dict[str, Any] = {
            "event_type": "trade",
            "type": "TRADE",
            "id": trade_id,
            "market": self.condition_id,
            "match_time": str(1_790_000_000 + int(at)),
            "fee_rate_bps": "0",
        }
        legs, parts = (self._taken if taker else self._made)(life, shares, body)
        body["maker_orders"] = legs
        match = Match(trade_id, at, body, self._path(at), parts)
        self.matches.append(match)
        for mine in {id(owner): owner for owner, _ in parts}.values():
            mine.matches.append(match)

    def _taken(
        self, life: Life, shares: int, body: dict[str, Any]
    ) -> tuple[list[Any], list[tuple[Life, Part]]]:
        """Our order came in and met one to four resting ones, some of them on the other token (mint or merge)."""
        rng = self.rng
        body |= {
            "taker_order_id": life.order_id if rng.random() < 0.9 else "0x" + life.order_id[2:].upper(),
            "asset_id": self.tokens[life.outcome],
            "side": SIDES[life.side],
            "size": decimal(shares),
            "price": price(life.ticks),
        }
        if rng.random() < 0.1:
            return [], [(life, Part(shares, life.ticks, True))]
        legs: list[Any] = []
        parts: list[tuple[Life, Part]] = []
        left = shares
        while left > 0:
            piece = left if len(legs) == 3 or rng.random() < 0.5 else rng.randrange(1, left + 1)
            # At our limit or better.
            room = life.ticks - 1 if life.side == BUY else ONE - 1 - life.ticks
            gain = rng.choice((0, min(room, 100), min(room, rng.randrange(0, 300))))
            ticks = life.ticks - gain if life.side == BUY else life.ticks + gain
            crosses = rng.random() < 0.4
            legs.append(
                {
                    "order_id": f"0x{rng.getrandbits(256):064x}",
                    "asset_id": self.tokens[1 - life.outcome if crosses else life.outcome],
                    "side": SIDES[life.side if crosses else 1 - life.side],
                    "price": price(ONE - ticks if crosses else ticks),
                    "matched_amount": decimal(piece),
                }
            )
            parts.append((life, Part(piece, ticks, True)))
            left -= piece
        return legs, parts

    def _made(
        self, life: Life, shares: int, body: dict[str, Any]
    ) -> tuple[list[Any], list[tuple[Life, Part]]]:
        """A stranger met our resting order, in one leg or two, and strangers before and after it."""
        rng = self.rng
        crosses = rng.random() < 0.4
        cuts = [shares] if shares < 2 or rng.random() < 0.8 else [shares // 2, shares - shares // 2]
        legs = [
            {
                "order_id": life.order_id,
                "asset_id": self.tokens[life.outcome],
                "side": SIDES[life.side],
                "price": price(life.ticks),
                "matched_amount": decimal(piece),
            }
            for piece in cuts
        ]
        for _ in range(rng.choice((0, 0, 1, 2))):
            other = {
                **legs[0],
                "order_id": FOREIGN_ID,
                "matched_amount": decimal(rng.randrange(1, 50 * SHARE)),
            }
            legs.insert(rng.randrange(len(legs) + 1), other)
        body |= {
            "taker_order_id": FOREIGN_ID,
            "asset_id": self.tokens[1 - life.outcome if crosses else life.outcome],
            "side": SIDES[life.side if crosses else 1 - life.side],
            "size": decimal(sum(round(float(leg["matched_amount"]) * SHARE) for leg in legs)),
            "price": "0.123456789" if crosses else price(life.ticks),  # the taker's average: nothing of ours
        }
        return legs, [(life, Part(piece, life.ticks, False)) for piece in cuts]

    def _path(self, at: float) -> list[tuple[float, str]]:
        """When a trade reaches each status."""
        rng = self.rng
        steps = ["MATCHED"]
        if rng.random() < 0.9:
            steps.append("MINED")
        while rng.random() < 0.15:
            steps += ["RETRYING", "MINED"]
        steps.append("FAILED" if rng.random() < 0.12 else "CONFIRMED")
        path = []
        for name in steps:
            path.append((at, name))
            at += rng.uniform(0.1, 12.0)
        return path

    # -- what is told -----------------------------------------------------------------------------------------

    def messages(self) -> list[tuple[float, int, str, Any]]:
        """(when it arrives, tie, what, details) of everything told before the last comparison, in order."""
        told: list[tuple[float, int, str, Any]] = []
        for life in self.lives:
            self._told_of_order(told, life)
        for match in self.matches:
            self._told_of_trade(told, match)
        told.sort()
        return told

    def _add(self, told: list[Any], at: float, what: str, details: Any) -> None:
        told.append((at, len(told), what, details))

    def _told_of_order(self, told: list[Any], life: Life) -> None:
        rng = self.rng
        self._add(told, life.sent + rng.uniform(0.05, 4.0), "answer", life)
        if life.fate != "normal":
            return
        steps = [(life.sent + 0.05, "PLACEMENT", "LIVE")] if life.order_type == GTC else []
        steps += [(match.at, "UPDATE", "MATCHED" if life.is_taker else "LIVE") for match in life.matches]
        if life.end != "MATCHED":
            steps.append((life.ended, "CANCELLATION", life.end))
        for at, kind, status in steps:
            for _ in range(rng.choices((0, 1, 2), (10, 80, 10))[0]):
                raw = self.order_row(life, at, status)
                raw |= {"event_type": "order", "type": kind}
                if kind == "CANCELLATION" and rng.random() < 0.1:
                    raw["size_matched"] = ""
                self._add(told, at + rng.expovariate(10.0), "order", raw)
        for _ in range(rng.choice((0, 0, 1))):
            seen = life.sent + rng.uniform(0.1, 90.0)
            self._add(told, seen + rng.expovariate(0.5), "order", self.order_row(life, seen))

    def _told_of_trade(self, told: list[Any], match: Match) -> None:
        rng = self.rng
        for at, status in match.path:
            for _ in range(rng.choices((0, 1, 2), (12, 76, 12))[0]):
                self._add(told, at + rng.expovariate(4.0), "trade", {**match.body, "status": status})
        for _ in range(rng.choice((0, 0, 1))):
            seen = match.at + rng.uniform(0.0, 50.0)
            status = match.status(seen)
            self._add(told, seen + rng.expovariate(0.5), "trade", self.trade_row(match, status or "MATCHED"))

    def order_row(self, life: Life, at: float, status: str | None = None) -> dict[str, Any]:
        """The order as the venue lists it at this moment."""
        matched = life.matched(at)
        text = status or ""
        if status is None:
            open_now = at < life.ended
            text = ("MATCHED" if life.is_taker else "LIVE") if open_now else f"ORDER_STATUS_{life.end}"
        return {
            "id": life.order_id if self.rng.random() < 0.95 else "0x" + life.order_id[2:].upper(),
            "market": self.condition_id,
            "asset_id": self.tokens[life.outcome],
            "side": SIDES[life.side],
            "original_size": decimal(life.shares),
            "size_matched": decimal(matched),
            "price": price(life.ticks),
            "status": text,
        }

    def trade_row(self, match: Match, status: str) -> dict[str, Any]:
        """The trade as REST lists it."""
        text = "MATCHED_NOT_BROADCASTED" if status == "MATCHED" and self.rng.random() < 0.3 else status
        return {**match.body, "status": f"TRADE_STATUS_{text}"}
