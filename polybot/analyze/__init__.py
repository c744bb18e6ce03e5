"""Tables over many runs: backtests, points of sweeps and sessions, filtered, grouped, sorted and written."""
