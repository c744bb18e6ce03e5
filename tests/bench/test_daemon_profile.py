"""The daemon's profile: stacks of both profilers become the same named costs, and shares add up to the whole."""

import pytest

from bench.daemon_profile import Profile, _text, collapse_perf, collapse_spy, cost_of

PERF = """python 26590
\tffffffff81e2bc3b sock_recvmsg ([kernel.kallsyms])
\tffffffff81e2edd0 __x64_sys_recvfrom ([kernel.kallsyms])
\t          10a974 __libc_recv (/usr/lib/x86_64-linux-gnu/libc.so.6)
\t          15c178 uv__io_poll (/somewhere/uvloop/loop.cpython-312-x86_64-linux-gnu.so)

python 26590
\t           144d9 __pyx_f_7polybot_5_fast_6engine_6Engine_ask (/x/polybot/_fast/engine.cpython-312-x86_64-linux-gnu.so)
\t            c210 __pyx_f_7polybot_5_fast_4path_7HotPath_step (/x/polybot/_fast/path.cpython-312-x86_64-linux-gnu.so)

python 26590
\t           144d9 __pyx_f_7polybot_5_fast_6engine_6Engine_ask (/x/polybot/_fast/engine.cpython-312-x86_64-linux-gnu.so)
\t            c210 __pyx_f_7polybot_5_fast_4path_7HotPath_step (/x/polybot/_fast/path.cpython-312-x86_64-linux-gnu.so)

python 26592
\t           1f4d9 _Py_dg_dtoa (/usr/lib/libpython3.12.so.1.0)
\t          7f0c210 py::number_text:/x/polybot/telemetry/records.py (/tmp/perf-26590.map)
"""
SPY = """thread (1): MainThread;_run (polybot/cli.py:338);recv (libc.so.6) 3
thread (1): MainThread;feed (polybot/runner.py:90);Engine_process (polybot/_fast/engine.cpython-312-x86.so) 7
"""


def test_perfs_stacks_are_counted_under_their_innermost_known_frame():
    stacks = collapse_perf(PERF)
    costs = dict(Profile("perf", stacks, 10.0).costs())
    assert costs == {
        "engine: state, pricing, strategies, risk": 0.5,
        "kernel: receiving": 0.25,
        "Python: telemetry": 0.25,
    }


def test_py_spys_stacks_have_their_innermost_frame_last_and_come_to_the_same_names():
    stacks = collapse_spy(SPY)
    assert {cost_of(stack): count for stack, count in stacks.items()} == {
        "kernel: receiving": 3,
        "engine: state, pricing, strategies, risk": 7,
    }


@pytest.mark.parametrize(
    ("frame", "cost"),
    [
        ("f (/x/polybot/_fast/decode_spot.cpython-312.so)", "decoding frames"),
        ("f (/x/polybot/_fast/vol.cpython-312.so)", "engine: state, pricing, strategies, risk"),
        ("py::InputsRecorder.step:/x/polybot/replay/recorder.py (/tmp/perf-1.map)", "Python: inputs log"),
        ("ZSTD_compressBlock_doubleFast (/x/zstandard/backend_c.cpython-312.so)", "compression of the inputs log"),
        ("f (/usr/lib/libfar.so.1)", "other: libfar.so.1"),
    ],
)
def test_each_part_of_the_daemon_has_its_name(frame, cost):
    assert cost_of((frame,)) == cost


def test_the_page_names_the_three_largest_costs_and_no_path_of_the_machine():
    text = _text(Profile("perf", collapse_perf(PERF), 10.0), 8)
    words = " ".join(text.split())
    first = "**engine: state, pricing, strategies, risk** (50%); **kernel: receiving** (25%)"
    assert f"The three largest costs: {first}; **Python: telemetry** (25%)." in words
    assert "not the kernel's: **engine: state, pricing, strategies, risk** (50%); **Python: telemetry** (25%)." in words
    assert "| 50.0% | 5.00 | engine: state, pricing, strategies, risk |" in text
    assert "/x/" not in text
    assert "number_text" in text


def test_without_a_profiler_the_page_says_so_and_still_has_the_cost_of_an_event():
    text = _text(Profile("none", collapse_perf(""), 12.5), 8)
    assert "12.5 us of CPU per event" in " ".join(text.split())
    assert "No profile" in text
