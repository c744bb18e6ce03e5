"""What stands in for what a recording of books alone does not tell, each named in words for the manifest.

Owns the order of belief: a list of markets, then the rule of that date, then the settings `record.assume`; and the
labels of such tapes.  Nothing is filled in silently.  Must not read frames.  Called by books.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from polybot._fast.event import StrikeSource
from polybot.config_record import AssumeConfig
from polybot.market.spec import MarketSpec
from polybot.market.window import parse_slug
from polybot.tape.importers.markets import KnownMarket, guessed_spec, rule_of
from polybot.tape.importers.spot_path import ImpliedPath, NoPath, SpotPath, SpotTrades, TapedPath

__all__ = ["Assumed"]

GRID = 10_000
PPM = 1_000_000
IMPLIED_LABEL = "real books; spot implied from mids, circular"
TAPED_LABEL = "real books; spot from another recording"
BARE_LABEL = "real books without spot"
CIRCULAR = (
    "the spot path was computed from the mids by the pricing formula: edges against it prove nothing about prices, "
    "only mechanics"
)


class Assumed:
    """One market of a recording: `spec`, `told` (strike, outcome), `spot`, and what had to be assumed for them."""

    def __init__(
        self,
        assume: AssumeConfig,
        known: KnownMarket | None,
        *,
        slug: str,
        condition_id: str,
        tokens: Sequence[str],
    ) -> None:
        """`tokens`: most frames first."""
        self._assume = assume
        self.said: list[str] = []
        self.missing: list[str] = []
        self.warnings: list[str] = []
        self.told: dict[str, Any] = {} if known is None else known.told()
        self.spec = self._guess(slug, condition_id, tokens) if known is None else known.spec
        self._complete()
        self.spot: SpotPath = NoPath()
        self.label = BARE_LABEL

    def choose_spot(self, trades: SpotTrades | None) -> None:
        """Decide where spot prices come from: `trades` when there are some, else as `assume.spot` says.

        Raises TapeError for trades of another time.
        """
        if trades is not None:
            self._take(trades)
        elif self._assume.spot != "none":
            self._imply()
        if isinstance(self.spot, NoPath):
            self.missing.append("spot and oracle")
        else:
            delay = f"{self._assume.oracle_delay_ms} ms late, without a basis"
            self.said.append(f"the oracle is spot once a second, {delay}")
            self.missing.append("spot and oracle of its own")
        if "strike" not in self.told and self.spot.strike is not None:
            stamp_ns, unknown = self.spec.start_ns, int(StrikeSource.STRIKE_UNKNOWN)
            strike = {"value": self.spot.strike, "source": unknown, "stamp_ns": stamp_ns, "variance": 0.0}
            self.told["strike"] = strike
        if "strike" not in self.told:
            self.missing.append("strike")

    def _guess(self, slug: str, condition_id: str, tokens: Sequence[str]) -> MarketSpec:
        assume = self._assume
        which = "the only token recorded" if len(tokens) == 1 else "the token with more frames"
        self.said.append(f"{which} is called Up: the recording does not say which it is")
        smallest = f"smallest order {assume.min_size_shares:g} shares"
        self.said.append(f"tick size {assume.tick_size_ticks / GRID:g}, {smallest}")
        return replace(
            guessed_spec(slug, parse_slug(slug).windows[0], condition_id, tuple(tokens)),
            tick_size_ticks=assume.tick_size_ticks,
            min_size_ushares=round(assume.min_size_shares * PPM),
        )

    def _complete(self) -> None:
        """Rule, fees and hold, where they are not told."""
        assume, spec = self._assume, self.spec
        if not spec.rule:
            rule, twap_s = rule_of(spec.interval, spec.start_ns)
            spec = replace(spec, rule=rule, twap_window_s=twap_s)
            self.said.append(f"resolution rule {rule}{f' of {twap_s} s' if twap_s else ''}: the one of that date")
        if spec.fees_enabled and spec.fee_rate_ppm is None:
            spec = replace(spec, fee_rate_ppm=round(assume.fee_frac * PPM), fee_exponent=1)
            self.said.append(f"taker fee {assume.fee_frac:g} x price x (1 - price) per share, makers none")
        if not spec.taker_delay_ms:
            spec = replace(spec, taker_delay_ms=assume.taker_delay_ms)
            self.said.append(f"a taker order is held {assume.taker_delay_ms} ms")
        self.spec = spec

    def _take(self, trades: SpotTrades) -> None:
        assume = self._assume
        self.spot = TapedPath(
            self.spec,
            trades,
            warm_s=assume.warm_s,
            delay_ms=assume.delay_ms,
            oracle_delay_ms=assume.oracle_delay_ms,
        )
        self.label = TAPED_LABEL
        self.said.append(f"spot from {trades.name}")
        if not trades.has_receive_times:
            self.said.append(f"its trades are received {assume.delay_ms} ms after the exchange's stamp")
        if "strike" not in self.told:
            self.said.append("the strike is that spot at the start")

    def _imply(self) -> None:
        assume = self._assume
        strike = float(self.told["strike"]["value"]) if "strike" in self.told else assume.strike_usd
        try:
            self.spot = ImpliedPath(
                self.spec, strike=strike, sigma_annual=assume.sigma_annual, oracle_delay_ms=assume.oracle_delay_ms
            )
        except ValueError as error:
            self.missing.append(f"a spot path: {error}")
            return
        self.label = IMPLIED_LABEL
        self.warnings.append(CIRCULAR)
        self.said.append(f"spot implied from the mids with sigma {assume.sigma_annual:g} a year; quantities are 1")
        if "strike" not in self.told:
            self.said.append(f"strike nominal: {strike:g} USD")
