"""The strategies a configuration can name: the built-in ones and the base for a user's own.

A strategy's yaml names its class by `_target_`; the parameters beside it are its keyword arguments.
"""

from polybot._fast.certainty_capture import CertaintyCapture
from polybot._fast.latency_arb import LatencyArb
from polybot._fast.strategy import Signal, Strategy, Trigger

__all__ = ["CertaintyCapture", "LatencyArb", "Signal", "Strategy", "Trigger"]
