"""The whole decision path in plain Python: what the compiled core is measured against and must agree with.

Bytes of the three feeds go in, the fate of every signal comes out (`engine.ReferenceEngine`).  It owns no opinion of
its own: it says what docs/ARCHITECTURE.md, STRATEGIES.md and RISK.md say, the obvious way: orjson, dicts, lists,
math.erfc.  It is not slowed down on purpose: running sums, cached best prices and early returns are used as anybody
would.  Must not import the compiled core; `sides` alone does, to run both.  Called by bench_p04 and tests/bench.
"""
