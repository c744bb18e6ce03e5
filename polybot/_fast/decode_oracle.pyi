from polybot._fast.scan import FrameDecoder

class OracleDecoder(FrameDecoder):
    """Decoder of one asset's oracle prices from RTDS and PolyBolt."""

    market: int
    twap_window_s: int
    spots: int
    twaps: int
    backfilled: int
    duplicates: int
    gaps: int
    wrong_symbol: int
    wrong_source: int
    wrong_window: int
    value_mismatch: int

    def __init__(self, symbol: str, market: int = 65535, twap_window_s: int = 60) -> None: ...
    def new_connection(self) -> None: ...
