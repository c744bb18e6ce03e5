"""Moves: one sample of mid and fair, and one look back, as the timer and a strategy ask for them."""

from polybot._fast.moves import MoveTracker

CALLS = 1_000
BEAT_NS = 100_000_000


def test_sample_and_look_back(budget):
    moves = MoveTracker()
    moves.configure(lookback_s=5.0, half_life_s=120.0, min_samples=300)
    now_ns = 0

    def run():
        nonlocal now_ns
        for k in range(CALLS):
            now_ns += BEAT_NS
            moves.add(0.50 + (k % 7) * 0.001, 0.51, now_ns)
            moves.move_beyond_model(0.52, 0.51, now_ns)
        assert moves.deviation > 0

    budget(run, name="moves: one sample and one look back", median_ns=1_000, inner=CALLS)
