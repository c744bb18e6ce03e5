"""The strategies a configuration can name: the built-in ones and the base for a user's own.

A strategy's yaml names its class by `_target_`; the parameters beside it are its keyword arguments.
"""

from polybot._fast.certainty_capture import CertaintyCapture
from polybot._fast.convexity_fade import ConvexityFade
from polybot._fast.cross_timeframe import CrossTimeframe
from polybot._fast.latency_arb import LatencyArb
from polybot._fast.lp_extreme import LpExtreme
from polybot._fast.state import MarketState, SpotState
from polybot._fast.strategy import Signal, Strategy, Trigger
from polybot._fast.strike_misalign import StrikeMisalign

__all__ = [
    "CertaintyCapture",
    "ConvexityFade",
    "CrossTimeframe",
    "LatencyArb",
    "LpExtreme",
    "MarketState",
    "Signal",
    "SpotState",
    "Strategy",
    "StrikeMisalign",
    "Trigger",
]
