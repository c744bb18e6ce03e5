"""Settings of the embedded venue's faults: how often each kind strikes, and how long what lasts takes.

Owns names, units, defaults and ranges of everything under `venue.fault`; `polybot.config` hangs it into VenueConfig
and conf/venue/sim.yaml repeats the defaults with a comment each.  Nothing strikes unless `venue.faults` says so.
The figures are our choice: no record of the real venue's fault rates exists.
"""

from dataclasses import dataclass, field

from polybot.config_schema import ranged

__all__ = ["AccountFaults", "ChannelFaults", "FaultConfig", "ModeFaults", "RestFaults", "TradeFaults"]


def _frac(default: float) -> float:
    """A share of all chances, at `venue.faults=light`."""
    made: float = ranged(default, 0.0, 1.0)
    return made


def _per_h(default: float) -> float:
    """A mean count per venue hour, at `venue.faults=light`."""
    made: float = ranged(default, 0.0, 3_600.0)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class RestFaults:
    """One request of the CLOB's REST API: shares of the requests that can be struck so."""

    timeout_before_frac: float = _frac(0.002)
    timeout_after_frac: float = _frac(0.002)
    reset_before_frac: float = _frac(0.002)
    reset_after_frac: float = _frac(0.002)
    error_before_frac: float = _frac(0.002)
    error_after_frac: float = _frac(0.002)
    too_many_frac: float = _frac(0.002)
    empty_frac: float = _frac(0.002)
    truncated_frac: float = _frac(0.002)
    no_order_id_frac: float = _frac(0.005)
    late_frac: float = _frac(0.003)
    twice_frac: float = _frac(0.003)
    order_missing_frac: float = _frac(0.02)
    order_stale_frac: float = _frac(0.02)
    trades_lag_frac: float = _frac(0.02)
    page_short_frac: float = _frac(0.02)
    page_holed_frac: float = _frac(0.01)
    cursor_repeated_frac: float = _frac(0.01)
    late_max_s: float = ranged(12.0, 0.0, 600.0)
    retry_after_s: float = ranged(3.0, 0.0, 600.0)
    lag_s: float = ranged(4.0, 0.0, 600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFaults:
    """One websocket channel: shares of its messages, and counts per hour of what lasts."""

    drop_frac: float = _frac(0.002)
    delay_frac: float = _frac(0.002)
    swap_frac: float = _frac(0.002)
    duplicate_frac: float = _frac(0.002)
    garbage_frac: float = _frac(0.001)
    truncate_frac: float = _frac(0.001)
    close_per_h: float = _per_h(4.0)
    gap_per_h: float = _per_h(4.0)
    freeze_per_h: float = _per_h(4.0)
    delay_max_s: float = ranged(3.0, 0.0, 600.0)
    gap_s: float = ranged(6.0, 0.0, 600.0)
    freeze_s: float = ranged(12.0, 0.0, 600.0)


def _user_channel() -> ChannelFaults:
    """A quiet channel: each message matters more, and more of them are struck."""
    return ChannelFaults(
        drop_frac=0.02,
        delay_frac=0.03,
        swap_frac=0.03,
        duplicate_frac=0.03,
        garbage_frac=0.01,
        truncate_frac=0.01,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeFaults:
    """Spells of the whole venue: mean counts per hour, and lengths in venue seconds."""

    restart_per_h: float = _per_h(1.0)
    restart_s: float = ranged(90.0, 0.0, 3_600.0)
    post_only_s: float = ranged(120.0, 0.0, 3_600.0)
    disabled_per_h: float = _per_h(2.0)
    disabled_s: float = ranged(15.0, 0.0, 3_600.0)
    cancel_only_per_h: float = _per_h(2.0)
    cancel_only_s: float = ranged(15.0, 0.0, 3_600.0)
    rate_storm_per_h: float = _per_h(2.0)
    rate_storm_s: float = ranged(10.0, 0.0, 3_600.0)
    beats_lost_per_h: float = _per_h(2.0)
    beats_lost_s: float = ranged(20.0, 0.0, 3_600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeFaults:
    """What becomes of a match: shares of the trades of accounts with a key."""

    retry_frac: float = _frac(0.05)
    fail_frac: float = _frac(0.02)
    slow_frac: float = _frac(0.05)
    retry_s: float = ranged(5.0, 0.0, 600.0)
    slow_s: float = ranged(25.0, 0.0, 600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFaults:
    """Somebody else at work on the trader's account: mean counts per hour."""

    foreign_orders_per_h: float = _per_h(2.0)
    foreign_stays_s: float = ranged(20.0, 0.0, 3_600.0)
    manual_trades_per_h: float = _per_h(2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultConfig:
    """Everything that may go wrong at the embedded venue."""

    storm_factor: float = ranged(5.0, 1.0, 1_000.0)  # `venue.faults=storm` multiplies every share and count
    begin_s: float = ranged(10.0, 0.0, 86_400.0)  # nothing strikes so soon after the venue's start
    spell_s: float = ranged(40.0, 0.1, 86_400.0)  # faults come in spells so long
    calm_s: float = ranged(20.0, 0.0, 86_400.0)  # and so long there are none: the world heals
    end_s: float = ranged(0.0, 0.0, 1e7)  # after the start; from then on none at all (0: never ends)
    rest: RestFaults = field(default_factory=RestFaults)
    market_channel: ChannelFaults = field(default_factory=ChannelFaults)
    user_channel: ChannelFaults = field(default_factory=_user_channel)
    mode: ModeFaults = field(default_factory=ModeFaults)
    trade: TradeFaults = field(default_factory=TradeFaults)
    account: AccountFaults = field(default_factory=AccountFaults)
