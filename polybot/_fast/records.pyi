"""polybot._fast.records has no Python names: the engine cimports it."""
