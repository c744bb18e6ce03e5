"""The banner at the start: what this run is, in words nobody can misread.

Owns the lines that say mode, venue, whether money is real, the risk table in force and the strategies
that are on.  Pure; the daemon passes the sections of its configuration and prints through Console.
"""

from collections.abc import Mapping

from polybot.config import AssetConfig, IntervalConfig, ModeConfig, RiskConfig, StrategyConfig, VenueConfig

__all__ = ["banner_lines"]

RULE = "=" * 78


def banner_lines(
    *,
    mode: ModeConfig,
    venue: VenueConfig,
    interval: IntervalConfig,
    asset: AssetConfig,
    risk: RiskConfig,
    strategies: Mapping[str, StrategyConfig],
    version: str = "",
) -> list[str]:
    """Lines of the banner, rulers included."""
    on = [name for name, item in strategies.items() if item.enabled]
    return [
        RULE,
        f"polybot {version}".rstrip()
        + f"   mode {mode.name.upper()}   venue {venue.name.upper()}   {_reality(mode, venue)}",
        f"asset {asset.name.upper()} ({asset.spot_symbol}, {asset.oracle_symbol})   interval {interval.name}",
        *_sim_lines(venue),
        *_risk_lines(risk, strategies),
        f"strategies on: {', '.join(on) if on else 'none'}",
        RULE,
    ]


def _reality(mode: ModeConfig, venue: VenueConfig) -> str:
    if venue.name == "sim" and mode.name == "paper":
        return "SIMULATED: embedded venue, and fills simulated here: not even it gets an order"
    if venue.name == "sim":
        return "SIMULATED: embedded venue on this machine, no real money"
    if mode.name == "paper":
        return "SIMULATED FILLS: real market data, no orders leave this machine"
    return "REAL ORDERS, REAL MONEY"


def _sim_lines(venue: VenueConfig) -> list[str]:
    if venue.name != "sim":
        return []
    makers = f"makers={venue.makers}"
    if venue.makers == "slow":
        makers += " (edge on purpose: for demonstration)"
    lines = [f"embedded venue: {makers}   speed {venue.speed:g}x   seed {venue.seed}"]
    if venue.tape:
        lines.append("spot prices: recorded")
    return lines


def _risk_lines(risk: RiskConfig, strategies: Mapping[str, StrategyConfig]) -> list[str]:
    lines = [
        f"risk {risk.name}: bankroll ${risk.bankroll_usd:,.2f}   max exposure {risk.max_exposure_frac:.1%}"
        f"   daily halt -{risk.daily_loss_halt_frac:.1%}   weekly halt -{risk.weekly_loss_halt_frac:.1%}",
        f"  {'strategy':<18} {'per trade':>10} {'total':>8} {'cooldown':>10} {'max orders':>11}",
    ]
    for name, row in risk.strategies.items():
        if name not in strategies:
            continue
        off = "" if strategies[name].enabled else "   off"
        lines.append(
            f"  {name:<18} {row.per_trade_frac:>10.2%} {row.total_frac:>8.2%} {row.cooldown_ms:>7} ms"
            f" {row.max_orders_per_market:>11}{off}"
        )
    return lines
