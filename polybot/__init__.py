"""polybot: a low-latency trading daemon for Polymarket crypto Up/Down markets."""

__version__ = "0.1.0"
