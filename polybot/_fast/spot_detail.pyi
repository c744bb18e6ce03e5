from typing import Generic, TypeVar

from polybot._fast.draws import Draws

_Trade = TypeVar("_Trade", bound=tuple[object, ...])
_Quote = TypeVar("_Quote", bound=tuple[object, ...])

class SpotDetail(Generic[_Trade, _Quote]):
    def __init__(
        self,
        draws: Draws,
        trade_type: type[_Trade],
        quote_type: type[_Quote],
        *,
        step_e8: int,
        lot_e8: int,
        event_delay_us: int,
        burst_scale: float,
        ln_qty: float,
        quiet_per_s: float,
        shape: dict[str, float],
        first_ids: tuple[int, int, int],
    ) -> None: ...
    def trades(self, at_ns: int, before: float, price: float, z: float) -> list[_Trade]: ...
    def quote(self, at_ns: int, price: float) -> _Quote: ...
    def quiet_quotes(self, before_ns: int, gap_ns: int) -> list[_Quote]: ...
