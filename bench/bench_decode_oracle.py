"""Decoding oracle frames from Python: one a second and asset, so the budget is generous."""

from collections.abc import Callable

from polybot._fast.decode_oracle import OracleDecoder
from polybot._fast.event import EventBuffer

Budget = Callable[..., float]
FRAMES = 100
TWAP = (
    b'{"topic":"crypto_prices_twap_sixty","type":"update","timestamp":%d950,"payload":{"symbol":"btc/usd",'
    b'"timestamp":%d000,"value":78803.715261,"full_accuracy_value":"78803715261094101516288","window_s":60}}'
)


def test_oracle_price(budget: Budget) -> None:
    out = EventBuffer()
    frames = [TWAP % (second, second) for second in range(1_790_616_600, 1_790_616_600 + FRAMES)]

    def run() -> None:
        out.reset()
        decoder = OracleDecoder("btc/usd")
        for frame in frames:
            decoder.feed(frame, 1, out)

    budget(run, name="decode oracle TWAP", median_ns=10_000, inner=FRAMES)
    assert len(out) == FRAMES
