"""Every recorded frame of the spot exchange decodes, and means what plain json says."""

import gzip
from pathlib import Path

import orjson

from polybot._fast import event as ev
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.scan import DEC_IGNORED, DEC_OK
from polybot.feeds.fallback import SlowPath

TAPE = "data/nkaz001+hftbacktest/spot_btcusdt_20240808.gz"
TRADES, QUOTES, DEPTHS, REST = 9_757, 28_040, 3_451, 1


def test_all_recorded_spot_frames_decode_as_json_reads_them(shared_dir: Path) -> None:
    decoder = SpotDecoder("BTCUSDT")
    slow = SlowPath(decoder)
    out = ev.EventBuffer()
    expected, ignored = [], 0
    with gzip.open(shared_dir / TAPE) as lines:
        for line in lines:
            local, frame = line.rstrip(b"\n").split(b" ", 1)
            result = slow.feed(frame, int(local), out)
            data = orjson.loads(frame).get("data", {})
            if data.get("e") == "trade":
                expected.append((int(local), data["T"] * 10**6, ev.EV_SPOT_TRADE, data["m"], data["t"]))
                expected[-1] += (float(data["p"]), float(data["q"]), data["t"], data["E"] * 10**6)
            elif "e" not in data and "u" in data:
                expected.append((int(local), 0, ev.EV_SPOT_QUOTE, False, data["u"], float(data["b"])))
                sizes = (round(float(data[key]) * 1e8) for key in "BA")
                expected[-1] += (float(data["a"]), *sizes)
            else:
                ignored += 1
                assert result == DEC_IGNORED
                continue
            assert result == DEC_OK
    got = [(e[0], e[1], e[2], bool(e[5]), e[7], e[8], e[9], e[10], e[11]) for e in out.to_numpy().tolist()]
    assert got == expected
    assert ignored == DEPTHS + REST
    counters = decoder.counters() | slow.counters()
    assert (counters["trades"], counters["quotes"], counters["ignored"]) == (TRADES, QUOTES, DEPTHS + REST)
    assert sum(counters.values()) == 2 * (TRADES + QUOTES + DEPTHS + REST), counters
