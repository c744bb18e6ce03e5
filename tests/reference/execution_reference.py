"""Simulated execution in plain Python: dicts, lists, Fractions, everything sorted anew for every question.

Written from the rules of docs/PAPER.md, to compare the core with.  Results are tuples
(recv_ns, kind, market, outcome, side, flags, seq, x, y, i, j) in the order they come about.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from polybot._fast import event as ev

UP, DOWN, BUY, SELL = 0, 1, 0, 1
TOP = 10_000
TERMINAL = (ev.OS_FILLED, ev.OS_CANCELED, ev.OS_EXPIRED, ev.OS_REJECTED)
LAG_NS = 1_000_000_000
FAR = 2**60


def half_up(value: Fraction) -> int:
    return int(value + Fraction(1, 2))


def notional(ushares: int, ticks: int) -> int:
    return half_up(Fraction(ushares * ticks, TOP))


def leg(outcome: int, ushares: int, ticks: int) -> int:
    """A pair is exactly 1 USD: Down pays the rest of what Up pays."""
    return notional(ushares, ticks) if outcome == UP else ushares - notional(ushares, TOP - ticks)


@dataclass
class Order:
    seq: int
    market: int
    outcome: int
    side: int
    kind: int
    price: int
    size: int
    asked: int
    usd: int
    post_only: bool
    expires_ns: int
    status: int = int(ev.OS_SENT)
    filled: int = 0
    reserve: int = 0
    joined: int = -1
    ahead: int = 0
    seen: int = 0
    pending: int = 0
    credit: int = 0
    cut: int = 0
    lag_ns: int = 0
    lost: bool = False
    cancel_wanted: bool = False
    fills: list[tuple[int, int, int, int]] = field(default_factory=list)
    confirmed: int = 0

    @property
    def left(self) -> int:
        return self.size - self.filled


@dataclass
class Market:
    spec: Any
    tick: int
    levels: dict[tuple[int, int], int] = field(default_factory=dict)  # (side, ticks) of Up -> micro-shares
    known: bool = False
    blind: bool = False
    is_open: bool = True
    taken: dict[tuple[int, int], int] = field(default_factory=dict)
    position: list[int] = field(default_factory=lambda: [0, 0])
    held: list[int] = field(default_factory=lambda: [0, 0])
    cost: int = 0
    fees: int = 0

    def shown(self, outcome: int, side: int, ticks: int) -> int:
        return self.levels.get(up_terms(outcome, side, ticks), 0)

    def fee(self, ushares: int, ticks: int) -> int:
        if not self.spec.fees_enabled:
            return 0
        p = Fraction(ticks, TOP)
        exact = Fraction(self.spec.fee_rate_ppm, 10**6) * (p * (1 - p)) ** self.spec.fee_exponent * ushares
        return half_up(exact / 10) * 10 if exact >= 10 else 0


def up_terms(outcome: int, side: int, ticks: int) -> tuple[int, int]:
    return (side, ticks) if outcome == UP else (1 - side, TOP - ticks)


class SlowExecution:
    """The same calls as polybot._fast.execution.SimExecution, and `out` as a list of tuples."""

    def __init__(self, *, cash_usd, confirm_ns, cancel_ns=0, queue=0, extra_ticks=0, first_key=1):
        self.cash_usd, self.held_usd = cash_usd, 0
        self.confirm_ns, self.cancel_ns, self.queue, self.extra = confirm_ns, cancel_ns, queue, extra_ticks
        self.key = first_key
        self.now_ns = self.serial = self.joins = 0
        self.markets: dict[int, Market] = {}
        self.orders: dict[int, Order] = {}
        self.due: list[tuple[int, int, str, int, int]] = []
        self.out: list[tuple[Any, ...]] = []

    # -- calls

    def add_market(self, index, spec):
        self.markets[index] = Market(spec, spec.tick_size_ticks)
        self._later(spec.end_ns, "close", index)

    def place(self, market, *, order_seq, outcome, side, order_type, price_ticks, ushares, arrive_ns, **more):
        usd = more.get("usd", -1)
        self.orders[order_seq] = Order(
            order_seq,
            market,
            outcome,
            side,
            order_type,
            price_ticks,
            ushares,
            more.get("asked", 0) or ushares,
            notional(ushares, price_ticks) if usd < 0 else usd,
            more.get("post_only", False),
            more.get("expires_ns", 0),
        )
        self._later(arrive_ns, "arrive", order_seq)

    def cancel(self, order_seq, arrive_ns):
        order = self.orders.get(order_seq)
        if order is None or order.status in TERMINAL:
            return False
        self._later(arrive_ns, "cancel", order_seq)
        return True

    def settle(self, market, winner):
        paid = self.markets[market].position[winner]
        self.cash_usd += paid
        self.markets[market].position = [0, 0]
        return paid

    def position(self, market):
        return tuple(self.markets[market].position)

    def open_orders(self):
        return [seq for seq, order in self.orders.items() if order.status not in TERMINAL]

    def taken(self, market):
        return self.markets[market].taken

    def advance(self, now_ns):
        while self.due and min(self.due)[0] <= now_ns:
            action = min(self.due)
            self.due.remove(action)
            self.now_ns = max(self.now_ns, action[0])
            self._act(*action[2:])
        self.now_ns = max(self.now_ns, now_ns)

    def process(self, rows):
        for row in rows:
            at = int(row["recv_ns"])
            if self.due and min(self.due)[0] < at:
                self.advance(at - 1)
            self.now_ns = max(self.now_ns, at)
            if row["kind"] == ev.EV_FEED_STATE:
                if row["i"] == ev.FEED_MARKET and row["j"] in (ev.FS_DISCONNECTED, ev.FS_STALE):
                    for index, market in self.markets.items():
                        if row["market"] in (index, ev.NO_MARKET):
                            market.blind = True
            elif int(row["market"]) in self.markets:
                self._on_event(self.markets[int(row["market"])], row)

    # -- data

    def _on_event(self, m, row):
        kind, outcome, side, i, j = (int(row[name]) for name in ("kind", "outcome", "side", "i", "j"))
        if kind == ev.EV_BOOK_SNAPSHOT:
            m.levels.clear()
            m.known, m.blind = True, False
            m.tick = i or m.tick
        elif kind == ev.EV_BOOK_LEVEL or (kind == ev.EV_BOOK_DELTA and m.known):
            m.levels.pop(up_terms(outcome, side, i), None)
            if j:
                m.levels[up_terms(outcome, side, i)] = j
        elif kind == ev.EV_TICK_SIZE and i > 0 and i != m.tick:
            m.levels.clear()
            m.known, m.tick = False, i
        elif kind == ev.EV_PUBLIC_TRADE:
            self._on_print(m, outcome, side, i, j)
            return
        if int(row["flags"]) & ev.F_END and m.known:
            m.taken = {k: min(v, m.levels.get(k, 0)) for k, v in m.taken.items() if m.levels.get(k, 0)}
            for order in self._line(m, 0) + self._line(m, 1):
                self._follow(m, order)

    def _line(self, m, up_side):
        """Resting orders of a side of Up: best price first, then who came first."""
        mine = [o for o in self.orders.values() if self.markets[o.market] is m and o.joined >= 0]
        mine = [
            o for o in mine if o.status not in TERMINAL and up_terms(o.outcome, o.side, o.price)[0] == up_side
        ]
        sign = -1 if up_side == BUY else 1
        return sorted(mine, key=lambda o: (sign * up_terms(o.outcome, o.side, o.price)[1], o.joined))

    def _follow(self, m, o):
        shown = m.shown(o.outcome, o.side, o.price)
        gone = o.seen - shown
        if o.lost:
            o.lost, o.ahead = False, shown
        elif gone > 0:
            if self.now_ns - o.lag_ns > LAG_NS:
                o.pending = o.credit = o.cut = 0
            explained = min(gone, o.pending)
            o.pending -= explained
            canceled = gone - explained
            before = o.ahead
            if self.queue == 1:
                o.ahead -= o.ahead * canceled // o.seen
            o.ahead = min(o.ahead, shown)
            o.credit += canceled
            o.cut = min(o.cut + before - o.ahead, o.credit)
            if canceled:
                o.lag_ns = self.now_ns
        o.seen = shown

    def _on_print(self, m, outcome, side, ticks, size):
        taker_side, up = up_terms(outcome, side, ticks)
        left = size
        for o in self._line(m, 1 - taker_side):
            price = up_terms(o.outcome, o.side, o.price)[1]
            if price > up if taker_side == BUY else price < up:
                break
            mine = left
            if price != up:
                o.ahead, o.lost = 0, False
            else:
                if self.now_ns - o.lag_ns > LAG_NS:
                    o.pending = o.credit = o.cut = 0
                known = min(left, o.credit)
                back = min(o.cut, known)
                o.credit, o.cut = o.credit - known, o.cut - back
                o.pending += left - known
                o.lag_ns = self.now_ns
                mine = max(0, left - back - o.ahead)
                o.ahead -= min(o.ahead, left - back)
            got = min(mine, o.left)
            if got > 0:
                left -= got
                self._fill(m, o, o.price, got, ev.F_MAKER)
                if o.left:
                    self._hold(m, o, self._needed(m, o, False))
                    self._update(o, ev.OS_PARTIAL)
                else:
                    self._finish(m, o, ev.OS_FILLED if o.filled >= o.asked else ev.OS_CANCELED)

    # -- actions

    def _later(self, due_ns, what, seq, item=0):
        self.serial += 1
        self.due.append((max(due_ns, self.now_ns), self.serial, what, seq, item))

    def _act(self, what, seq, item):
        if what == "close":
            m = self.markets[seq]
            m.is_open = False
            for o in list(self.orders.values()):
                if o.market == seq and o.status not in (*TERMINAL, ev.OS_SENT):
                    self._finish(m, o, ev.OS_CANCELED)
            return
        o = self.orders.get(seq)
        if o is None:
            return
        m = self.markets[o.market]
        if what == "confirm":
            self._tell_fill(o, item, ev.TS_CONFIRMED)
            o.confirmed += 1
            self._forget(o)
        elif o.status in TERMINAL:
            return
        elif what == "arrive":
            self._arrive(m, o)
        elif what == "match":
            self._execute(m, o)
        elif what == "expire":
            self._finish(m, o, ev.OS_EXPIRED)
        elif o.status in (ev.OS_SENT, ev.OS_DELAYED):
            o.cancel_wanted = True
        else:
            self._finish(m, o, ev.OS_CANCELED)

    def _arrive(self, m, o):
        takes = bool(self._offers(m, o))
        in_full = sum(size for _, _, size in self._offers(m, o)) >= o.size
        minimum = m.spec.min_size_ushares
        if not m.is_open:
            self._finish(m, o, ev.OS_REJECTED, 219)
        elif o.price % m.tick or not m.tick <= o.price <= TOP - m.tick:
            self._finish(m, o, ev.OS_REJECTED, 207)
        elif o.size < minimum:
            self._finish(m, o, ev.OS_REJECTED, 208)
        elif takes and o.post_only:
            self._finish(m, o, ev.OS_REJECTED, 213)
        elif takes and o.side == BUY and o.usd < 1_000_000:
            self._finish(m, o, ev.OS_REJECTED, 209)
        elif (o.kind == ev.FAK and not takes) or (o.kind == ev.FOK and not in_full):
            self._finish(m, o, ev.OS_CANCELED, 214)
        elif not self._hold(m, o, self._needed(m, o, takes)):
            self._finish(m, o, ev.OS_REJECTED, 215)
        else:
            if o.kind == ev.GTD and o.expires_ns:
                self._later(o.expires_ns, "expire", o.seq)
            if takes and m.spec.taker_delay_ms:
                self._later(self.now_ns + m.spec.taker_delay_ms * 10**6, "match", o.seq)
                self._update(o, ev.OS_DELAYED, -1)
            else:
                self._execute(m, o)

    def _offers(self, m, o):
        """(shown price, price paid, micro-shares) within the limit, best first, in the order's own terms."""
        if m.blind or not m.known:
            return []
        found = []
        for (side, up), size in m.levels.items():
            own = up if o.outcome == UP else TOP - up
            if side == 1 - up_terms(o.outcome, o.side, o.price)[0]:
                paid = own + (1 if o.side == BUY else -1) * (0 if o.post_only else self.extra) * m.tick
                within = paid <= o.price if o.side == BUY else paid >= o.price
                if within and 0 < paid < TOP and size > m.taken.get((side, up), 0):
                    found.append((own, paid, size - m.taken.get((side, up), 0)))
        return sorted(found, reverse=o.side == SELL)

    def _execute(self, m, o):
        if o.price % m.tick:
            self._finish(m, o, ev.OS_CANCELED)
            return
        offers = self._offers(m, o)
        if o.kind == ev.FOK and sum(size for _, _, size in offers) < o.left:
            self._finish(m, o, ev.OS_CANCELED)
            return
        self._cancel_own(m, o, offers)
        for own, paid, size in offers:
            part = min(size, o.left)
            if part:
                key = up_terms(o.outcome, 1 - o.side, own)
                m.taken[key] = m.taken.get(key, 0) + part
                self._fill(m, o, paid, part, 0)
        if not o.left:
            self._finish(m, o, ev.OS_FILLED if o.filled >= o.asked else ev.OS_CANCELED)
        elif o.kind in (ev.FAK, ev.FOK):
            if o.filled:
                self._update(o, ev.OS_MATCHED)
            self._finish(m, o, ev.OS_CANCELED)
        else:
            self._rest(m, o)

    def _cancel_own(self, m, o, offers):
        mine_side, limit = up_terms(o.outcome, o.side, o.price)
        for mine in self._line(m, 1 - mine_side):
            up = up_terms(mine.outcome, mine.side, mine.price)[1]
            if up > limit if mine_side == BUY else up < limit:
                break
            own = up if o.outcome == UP else TOP - up
            better = sum(size for price, _, size in offers if (price < own if o.side == BUY else price > own))
            if min(better, o.left) + (0 if mine.lost else mine.ahead) >= o.left:
                break
            self._finish(m, mine, ev.OS_CANCELED)

    def _rest(self, m, o):
        o.lost = m.blind or not m.known
        o.seen = 0 if o.lost else m.shown(o.outcome, o.side, o.price)
        o.ahead = FAR if o.lost else o.seen
        o.lag_ns = self.now_ns
        self.joins += 1
        o.joined = self.joins
        self._hold(m, o, self._needed(m, o, False))
        if o.cancel_wanted:
            self._later(self.now_ns + self.cancel_ns, "cancel", o.seq)
        self._update(o, ev.OS_PARTIAL if o.filled else ev.OS_LIVE)

    # -- books

    def _needed(self, m, o, as_taker):
        if o.side == SELL:
            return o.left
        return notional(o.left, o.price) + (m.fee(o.left, o.price) if as_taker else 0)

    def _hold(self, m, o, amount):
        more = amount - o.reserve
        if o.side == BUY:
            if more > 0 and more > self.cash_usd - self.held_usd:
                return False
            self.held_usd += more
        else:
            if more > 0 and more > m.position[o.outcome] - m.held[o.outcome]:
                return False
            m.held[o.outcome] += more
        o.reserve = amount
        return True

    def _fill(self, m, o, ticks, size, flags):
        sign = 1 if o.side == BUY else -1
        fee = 0 if flags else m.fee(size, ticks)
        cost = sign * leg(o.outcome, size, ticks) + fee
        self.cash_usd -= cost
        m.cost += cost
        m.fees += fee
        m.position[o.outcome] += sign * size
        o.filled += size
        o.fills.append((self.key, ticks, size, int(flags)))
        self.key += 1
        self._later(self.now_ns + self.confirm_ns, "confirm", o.seq, len(o.fills) - 1)
        self._tell_fill(o, len(o.fills) - 1, ev.TS_MATCHED)

    def _tell_fill(self, o, item, status):
        key, ticks, size, flags = o.fills[item]
        row = (self.now_ns, int(ev.EV_FILL), o.market, o.outcome, o.side, flags, o.seq)
        self.out.append((*row, float(status), float(key), ticks, size))

    def _update(self, o, status, matched=None, reason=0):
        o.status = int(status)
        told = o.filled if matched is None else matched
        row = (self.now_ns, int(ev.EV_ORDER_UPDATE), o.market, o.outcome, o.side, 0, o.seq)
        self.out.append((*row, float(reason), 0.0, int(status), told))

    def _finish(self, m, o, status, reason=0):
        o.joined = -1
        self._hold(m, o, 0)
        self._update(o, status, reason=reason)
        self._forget(o)

    def _forget(self, o):
        if o.status in TERMINAL and o.confirmed == len(o.fills):
            self.orders.pop(o.seq, None)
