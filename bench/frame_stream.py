"""Websocket frames of the spot exchange and of the market channel as a saturated loopback sends them.

Owns the spelling (as the venues spell it) and a price that hardly moves: every frame is looked at by the whole engine,
and now and then, for JUMP_FRAMES of JUMP_EVERY, spot is far enough from the book for a strategy to decide.  All stamps
lie within the first second after `start_ns`, ids have no gaps.  Called by bench/frame_server.py.
"""

import random
from collections.abc import Iterator

__all__ = ["MARKET", "TOKEN_DOWN", "TOKEN_UP", "market_frames", "packed", "spot_frames"]

TOKEN_UP = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
TOKEN_DOWN = "52114319501245915516055106046884209969926127482827954674443846427813813222426"
MARKET = "0x" + "ab" * 32
PRICE = 100_000.0
TRADES_OF = 145, 30  # trades in so many spot frames, as measured on the real exchange; the others are quotes
JUMP_EVERY, JUMP_FRAMES, JUMP_USD = 20_000, 40, 60.0
LEVELS = 49  # a side of a book
# Of 70 frames of the market channel, as measured: books, prints; the others are price changes.
BOOKS, PRINTS, OF = 12, 8, 70
TEXT = 0x81


def spot_frames(count: int, start_ns: int) -> Iterator[bytes]:
    """Combined-stream trades and best quotes of BTCUSDT."""
    rng, cents, trades = random.Random(1), 0, 0
    of, wanted = TRADES_OF
    for number in range(1, count + 1):
        cents = max(-20, min(20, cents + rng.choice((-1, 0, 0, 1))))
        jump = JUMP_USD if number % JUMP_EVERY >= JUMP_EVERY - JUMP_FRAMES else 0.0
        price = f"{PRICE + jump + cents / 100:.2f}000000"
        us = start_ns // 1_000 + number
        if trades * of <= number * wanted:
            trades += 1
            yield (
                f'{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{us + 100},"s":"BTCUSDT","t":{trades},'
                f'"p":"{price}","q":"0.00{rng.randrange(100, 999)}000","T":{us},"m":true,"M":true}}}}'
            ).encode()
        else:
            ask = f"{PRICE + jump + (cents + 1) / 100:.2f}000000"
            yield (
                f'{{"stream":"btcusdt@bookTicker","data":{{"u":{number},"s":"BTCUSDT","b":"{price}",'
                f'"B":"1.50000000","a":"{ask}","A":"2.25000000"}}}}'
            ).encode()


def market_frames(count: int, start_ns: int) -> Iterator[bytes]:
    """Books about 0.50, one cent wide, changes of sizes away from the best prices, and prints; the first is a book."""
    rng, stamp = random.Random(2), start_ns // 1_000_000
    for number in range(count):
        place = number % OF
        head = f'{{"market":"{MARKET}","asset_id":"{TOKEN_UP}","timestamp":"{stamp + number * 900 // count}"'
        if place % (OF // BOOKS) == 0 and place // (OF // BOOKS) < BOOKS:
            bids = ",".join(_level(50 - k, rng) for k in range(LEVELS - 1, -1, -1))
            asks = ",".join(_level(51 + k, rng) for k in range(LEVELS - 1, -1, -1) if 51 + k < 100)
            sides = f'"bids":[{bids}],"asks":[{asks}]'
            yield f'{head},"hash":"ab",{sides},"tick_size":"0.01","event_type":"book"}}'.encode()
        elif place % (OF // PRINTS) == 3 and place // (OF // PRINTS) < PRINTS:
            size = rng.randrange(5, 90)
            yield f'{head},"price":"0.51","size":"{size}","side":"BUY","event_type":"last_trade_price"}}'.encode()
        else:
            yield _change(rng, stamp + number * 900 // count)


def _level(cents: int, rng: random.Random) -> str:
    return f'{{"price":"0.{cents:02d}","size":"{rng.randrange(5_000, 60_000) / 100}"}}'


def _change(rng: random.Random, stamp: int) -> bytes:
    """A new size at one bid for Up, mirrored for Down."""
    cents, size = rng.randrange(30, 49), rng.randrange(5_000, 60_000) / 100
    rows = [
        f'{{"asset_id":"{token}","price":"0.{price:02d}","size":"{size}","side":"{side}","hash":"ab",'
        f'"best_bid":"{bid}","best_ask":"{ask}"}}'
        for token, price, side, bid, ask in (
            (TOKEN_UP, cents, "BUY", "0.5", "0.51"),
            (TOKEN_DOWN, 100 - cents, "SELL", "0.49", "0.5"),
        )
    ]
    head = f'{{"market":"{MARKET}","price_changes":[{",".join(rows)}]'
    return f'{head},"timestamp":"{stamp}","event_type":"price_change"}}'.encode()


def packed(payload: bytes) -> bytes:
    """One whole text frame as a server sends it (not masked)."""
    size = len(payload)
    head = bytes((TEXT, size)) if size < 126 else bytes((TEXT, 126)) + size.to_bytes(2, "big")
    return head + payload
