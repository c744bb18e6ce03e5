from polybot._fast.scan import FrameDecoder

COUNT_NAMES: tuple[str, ...]

class ClobDecoder(FrameDecoder):
    """Decoder of the CLOB market channel for the markets added to it."""

    def add_market(
        self, index: int, token_up: bytes, token_down: bytes, condition_id: bytes = b""
    ) -> None: ...
    def remove_market(self, index: int) -> None: ...
    def markets(self) -> list[int]: ...
