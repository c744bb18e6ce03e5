"""The embedded venue: a market model and an exchange that speak the real wire formats on loopback.

The exchange half (matching, accounts, settlement, CLOB REST and websockets, the ledger) and the
world half (prices, oracle, makers, takers, discovery) meet in sim.venue.  Nothing here imports the
gateway, the feeds or the engine: what it checks, it checks with code of its own.
"""
