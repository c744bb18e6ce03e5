"""The even half of the fault sweep: every invariant, in every seed (see fault_sweep)."""

import pytest
from fault_sweep import SEEDS, check_kinds, play

CHOSEN = range(0, SEEDS, 2)


@pytest.mark.parametrize("seed", CHOSEN)
def test_a_window_in_a_storm_of_faults_keeps_every_invariant(seed):
    assert play(seed).problems == ()


def test_every_kind_of_fault_struck_often_enough():
    check_kinds([play(seed) for seed in CHOSEN])
