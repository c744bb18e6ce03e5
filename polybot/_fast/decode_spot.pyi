from polybot._fast.scan import FrameDecoder

class SpotDecoder(FrameDecoder):
    """Decoder of one symbol's trade, aggTrade and bookTicker streams."""

    market: int
    last_trade_id: int
    last_quote_id: int
    trades: int
    quotes: int
    duplicates: int
    overlaps: int
    stale_quotes: int
    empty_quotes: int
    gaps: int
    missing_trades: int
    wrong_symbol: int
    shutdowns: int
    control_errors: int

    def __init__(self, symbol: str, market: int = 65535) -> None: ...
    def reset_ids(self) -> None: ...
