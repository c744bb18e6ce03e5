"""Settings of the embedded venue's world: spot path, oracle, makers, takers, market lifecycle.

Owns names, units, defaults and ranges of everything under `venue.world`; `polybot.config` hangs it
into VenueConfig and conf/venue/sim.yaml repeats the defaults with a comment each.  Numbers aim at
recorded data (docs/VENUE.md says which); none of them is a way to hand a strategy an edge.
"""

from dataclasses import dataclass, field
from typing import Literal

from polybot.config_schema import ranged

__all__ = [
    "LifecycleConfig",
    "MakersConfig",
    "OracleConfig",
    "SpotConfig",
    "TakersConfig",
    "WorldConfig",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotConfig:
    """The spot exchange: a marked point process of bursts of trades around a martingale."""

    trades_per_s: float = ranged(28.0, 1.0, 1_000.0)  # mean over hours
    bursts_per_s: float = ranged(9.3, 1.0, 200.0)  # instants with trades; the price moves only there
    activity_sd: float = ranged(0.8, 0.0, 2.0)  # sd of ln(burst rate)
    activity_half_life_s: float = ranged(4.0, 0.1, 600.0)  # how long busy and quiet spells last
    max_gap_ms: int = ranged(900, 10, 60_000)  # longest silence between bursts
    quotes_per_s: float = ranged(80.0, 1.0, 1_000.0)  # bookTicker messages
    event_delay_us: int = ranged(1_200, 0, 1_000_000)  # event time minus trade time
    vol_sd: float = ranged(0.35, 0.0, 2.0)  # sd of ln(sigma)
    vol_half_life_s: float = ranged(1_800.0, 1.0, 1e6)  # how long sigma stays away from its mean
    jumps_per_h: float = ranged(34.0, 0.0, 3_600.0)  # mean count
    jump_variance_frac: float = ranged(0.25, 0.0, 0.9)  # share of all variance that comes in jumps
    jump_dof: float = ranged(6.0, 2.5, 100.0)  # Student t degrees of freedom of a jump
    history_h: float = ranged(18.0, 1.0, 168.0)  # candles there are before the venue starts
    warm_s: int = ranged(120, 1, 3_600)  # of which so many seconds trade by trade


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleConfig:
    """The price oracle: one smoothed, late print of spot per second, and its 60 s average."""

    spot_lag_ms: int = ranged(600, 0, 10_000)  # a print uses spot up to so long before its stamp
    smooth_ms: int = ranged(1_200, 200, 10_000)  # it is the mean of spot over so long, in 200 ms samples
    basis_bps: float = ranged(-6.0, -100.0, 100.0)  # spot exchange minus oracle, in its mean
    basis_sd_bps: float = ranged(0.5, 0.0, 50.0)  # of its slow wandering
    basis_half_life_s: float = ranged(600.0, 1.0, 1e6)  # how long it stays away from its mean
    publish_delay_ms: int = ranged(1_320, 0, 60_000)  # median of send time minus stamp
    publish_delay_sd_frac: float = ranged(0.18, 0.0, 1.0)  # sd of ln(delay)
    duplicate_frac: float = ranged(0.15, 0.0, 1.0)  # prints that are sent twice
    twap_window_s: int = ranged(60, 1, 600)  # of the averaged stream
    twap_lag_s: int = ranged(3, 0, 30)  # the average ends so long before its stamp
    history_s: int = ranged(120, 10, 600)  # that a new subscriber gets
    dropouts_per_h: float = ranged(0.0, 0.0, 3_600.0)  # silences of its stream; settlement still knows
    dropout_s: float = ranged(20.0, 1.0, 3_600.0)  # mean length of one


@dataclass(frozen=True, slots=True, kw_only=True)
class MakersConfig:
    """Makers: each quotes a ladder around the true fair, as late as `venue.makers` says."""

    count: int = ranged(5, 1, 20)  # how many, besides the deep one
    lag_min_ms: int = ranged(150, 0, 60_000)  # lagged: smallest mean lag of a maker behind spot
    lag_max_ms: int = ranged(600, 0, 60_000)  # lagged: largest mean lag of a maker
    digest_frac: float = ranged(0.95, 0.0, 1.0)  # lagged: share of a lag that is a gradual change of mind
    startle_usd: float = ranged(0.10, 0.0, 1.0)  # a change of fair as large as this is believed at once
    slow_min_ms: int = ranged(3_000, 0, 60_000)  # slow: smallest lag of a maker behind spot
    slow_max_ms: int = ranged(8_000, 0, 60_000)  # slow: largest lag of a maker
    half_spread_usd: float = ranged(0.0002, 0.0, 0.5)  # least distance of a new quote from fair
    keep_frac: float = ranged(1.0, 0.0, 5.0)  # a quote stays until it is so many ticks too far from fair
    fair_noise_usd: float = ranged(0.001, 0.0, 0.1)  # sd of a maker's own error (0 for instant)
    requote_ms: int = ranged(1_000, 0, 60_000)  # least time between a maker's quotes (0 for instant)
    refresh_ms: int = ranged(1_500, 50, 600_000)  # a ladder is refilled at least so often
    levels: int = ranged(7, 1, 40)  # per side
    touch_shares: float = ranged(32.0, 5.0, 1e6)  # median of the first level of a maker of middling size
    level_shares: float = ranged(19.0, 5.0, 1e6)  # median of its others
    shares_sd: float = ranged(1.36, 0.0, 2.0)  # sd of ln(shares)
    size_growth_frac: float = ranged(2.3, 0.1, 10.0)  # sizes of a maker over those of the next faster one
    deep_levels: int = ranged(30, 0, 90)  # of one more maker that quotes far from fair only
    deep_shares: float = ranged(380.0, 5.0, 1e6)  # median of its levels
    deep_offset_ticks: int = ranged(4, 1, 50)  # its first level's distance, in ticks of 0.01
    longshot_shares: float = ranged(150.0, 0.0, 1e6)  # median of bids at 0.01 for the loser (instant: none)
    longshot_least_usd: float = ranged(0.0015, 0.0, 0.01)  # worth below which nobody bids it
    ahead_s: float = ranged(120.0, 1.0, 86_400.0)  # quoting begins so long before the window


@dataclass(frozen=True, slots=True, kw_only=True)
class TakersConfig:
    """Noise takers trade at random; informed takers hit quotes that the spot price left behind."""

    noise_per_s: float = ranged(6.0, 0.0, 200.0)  # noise orders per second and market
    noise_before_frac: float = ranged(0.1, 0.0, 1.0)  # of that rate before the window starts
    noise_shares: float = ranged(11.6, 5.0, 1e6)  # median
    noise_shares_sd: float = ranged(0.9, 0.0, 3.0)  # sd of ln(shares)
    noise_sell_frac: float = ranged(0.2, 0.0, 1.0)  # share of their orders that sell
    informed_count: int = ranged(2, 0, 20)  # how many
    informed_lag_min_ms: int = ranged(150, 0, 60_000)  # how late they see spot
    informed_lag_max_ms: int = ranged(500, 0, 60_000)  # largest lag of one
    informed_min_edge_usd: float = ranged(0.01, 0.0, 0.5)  # after the taker fee
    informed_shares: float = ranged(25.0, 5.0, 1e6)  # median
    informed_cooldown_ms: int = ranged(400, 0, 600_000)  # between two orders of one


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleConfig:
    """When markets are listed, change their tick, close, resolve, and what Gamma tells when."""

    rule: Literal["", "twap", "point", "candle"] = ""  # of every market; "": of its interval (measurements only)
    intervals: tuple[str, ...] = ()  # listed beside the run's own interval
    windows_ahead: int = ranged(6, 2, 300)  # listed in advance, per interval
    running_window: bool = True  # also list the window that already runs at the start (never on a tape)
    list_on_request_h: float = ranged(24.0, 0.0, 168.0)  # a slug so far ahead is listed when asked for
    resolve_min_s: float = ranged(20.0, 0.0, 86_400.0)  # after the end
    resolve_max_s: float = ranged(90.0, 0.0, 86_400.0)  # latest
    metadata_min_s: float = ranged(60.0, 0.0, 86_400.0)  # after the end: priceToBeat and finalPrice appear
    metadata_max_s: float = ranged(180.0, 0.0, 86_400.0)  # latest
    tick_change: bool = True  # 0.01 becomes 0.001 near the ends
    tick_change_beyond_usd: float = ranged(0.04, 0.0, 0.5)  # mid nearer to 0 or 1 than this
    tick_change_late_s: float = ranged(180.0, 0.0, 86_400.0)  # only in the last so many seconds
    spot_cut_h: float = ranged(24.0, 0.01, 24.0)  # the spot exchange ends a socket after so long
    start_delay_s: float = ranged(0.5, 0.0, 60.0)  # wall: the world stands still so long at the start


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldConfig:
    """Everything about the embedded venue's world."""

    spot: SpotConfig = field(default_factory=SpotConfig)
    oracle: OracleConfig = field(default_factory=OracleConfig)
    makers: MakersConfig = field(default_factory=MakersConfig)
    takers: TakersConfig = field(default_factory=TakersConfig)
    lifecycle: LifecycleConfig = field(default_factory=LifecycleConfig)
