"""The price oracle: one smoothed, late print of spot in USD per second, and its running average.

Theory: spot in USD is the exchange price over (1 + basis), the basis wandering slowly.  It is
sampled every 200 ms; the print stamped s is the mean of `smooth_ms` of samples, the last of them
`spot_lag_ms` before s.  The TWAP stamped T is the mean of `twap_window_s` prints, the last one
stamped T - `twap_lag_s`.  Both are published about 1.3 s after their stamp, some twice.
Settlement uses exactly the published numbers (1e-18 integers).  A dropout silences the published
stream only.  Prints before the epoch come from the spot exchange's past; on a tape that past is
flat at the first price.  Listeners get every publication; sim.rtds writes it on the wire.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from polybot.config_sim import OracleConfig
from polybot.sim.path import NS
from polybot.sim.scheduler import Scheduler
from polybot.sim.seeds import stream
from polybot.sim.spot import SpotMarket

__all__ = ["E18", "Oracle", "OracleTick", "Outlook", "published_e18"]

E18 = 10**18
SAMPLE_MS = 200
SAMPLES_PER_S = 1_000 // SAMPLE_MS
SAMPLE_NS = SAMPLE_MS * 1_000_000
KEEP_S = 1_200  # seconds of prints and averages remembered
DUPLICATE_MS = 250  # a repeated message follows within this


def published_e18(value: float) -> int:
    """A price as it is published and settled on: an integer of 1e-18 USD."""
    return int(value * E18)


class OracleTick(NamedTuple):
    """One published price."""

    kind: str  # "spot" or "twap"
    stamp_s: int
    value_e18: int


class Outlook(NamedTuple):
    """What of a TWAP is already known: `known` seconds of its window, and their sum of prices."""

    known: float
    known_sum: float


class Oracle:
    """Samples, prints, averages and their publication."""

    def __init__(
        self, config: OracleConfig, scheduler: Scheduler, spot: SpotMarket, *, seed: int, epoch_ns: int
    ) -> None:
        self._config = config
        self._scheduler = scheduler
        self._spot = spot
        self._basis_rng = stream(seed, "oracle/basis")
        self._wire_rng = stream(seed, "oracle/wire")
        self._listeners: list[Callable[[OracleTick, int], None]] = []
        self._lag = config.spot_lag_ms // SAMPLE_MS
        self._smooth = max(1, config.smooth_ms // SAMPLE_MS)
        self._basis_pull = math.log(2.0) / config.basis_half_life_s / SAMPLES_PER_S
        self._basis_bps = config.basis_bps + config.basis_sd_bps * self._basis_rng.gauss(0.0, 1.0)
        self._samples: dict[int, float] = {}
        self._prints: dict[int, float] = {}
        self._running: dict[int, float] = {}  # cumulative sum of prints up to a stamp
        self._twaps: dict[int, float] = {}
        self._past_twaps: dict[int, float] = {}  # strikes of windows that ran before the epoch
        self._published: dict[str, list[OracleTick]] = {"spot": [], "twap": []}
        self._last_sent_ns = {"spot": 0, "twap": 0}
        self._silent_from_ns = self._silent_to_ns = 0
        self._next_dropout(epoch_ns)
        past = spot.past_prices()
        self._past_ns = [at_ns for at_ns, _ in past]
        self._past_price = [price for _, price in past]
        self._make_past(epoch_ns)
        self._index = epoch_ns // SAMPLE_NS
        self._scheduler.at((self._index + 1) * SAMPLE_NS, self._on_sample)

    def listen(self, listener: Callable[[OracleTick, int], None]) -> None:
        """Call `listener(tick, now_ns)` for every publication, repeated ones included."""
        self._listeners.append(listener)

    def usd(self, price: float) -> float:
        """A spot exchange price in the oracle's USD, at the true basis of this moment."""
        return price / (1.0 + self._basis_bps * 1e-4)

    def history(self, kind: str) -> list[OracleTick]:
        """Distinct publications of the last `history_s` seconds, oldest first."""
        return self._published[kind]

    def print_at(self, stamp_s: int) -> float | None:
        """The print stamped stamp_s; None when it is not known yet."""
        value = self._prints.get(stamp_s)
        return self._past_print(stamp_s) if value is None and self._is_past(stamp_s) else value

    def twap_at(self, stamp_s: int) -> float | None:
        """The average stamped stamp_s; None when it is not known yet."""
        value = self._twaps.get(stamp_s, self._past_twaps.get(stamp_s))
        last = stamp_s - self._config.twap_lag_s
        window = range(last - self._config.twap_window_s + 1, last + 1)
        if value is None and self._is_past(window.start):
            value = sum(self._past_print(stamp) for stamp in window) / self._config.twap_window_s
            self._past_twaps[stamp_s] = value
        return value

    def outlook(self, stamp_s: int) -> Outlook:
        """How much of the TWAP stamped stamp_s the samples so far decide."""
        last = stamp_s - self._config.twap_lag_s
        first = last - self._config.twap_window_s + 1
        done = min(self._newest, last)
        if self._index < self._first_sample(first):
            return Outlook(0.0, 0.0)
        known, total = 0.0, 0.0
        if done >= first:
            known, total = float(done - first + 1), self._running[done] - self._running[first - 1]
        for stamp in range(max(done + 1, first), last + 1):
            low = self._first_sample(stamp)
            if low > self._index:
                break
            high = min(self._index, low + self._smooth - 1)
            known += (high - low + 1) / self._smooth
            total += sum(self._samples[i] for i in range(low, high + 1)) / self._smooth
        return Outlook(known, total)

    def seconds_to_average(self, stamp_s: int, now_ns: int) -> float:
        """Seconds of spot not yet averaged into the TWAP stamped stamp_s; above the window: not begun."""
        middle = (self._lag + 0.5 * (self._smooth - 1)) / SAMPLES_PER_S
        return stamp_s - self._config.twap_lag_s - middle + 0.5 - now_ns / NS

    def seconds_to_print(self, stamp_s: int, now_ns: int) -> float:
        """Seconds until spot is in the middle of what the print stamped stamp_s averages."""
        return stamp_s - (self._lag + 0.5 * (self._smooth - 1)) / SAMPLES_PER_S - now_ns / NS

    def _first_sample(self, stamp_s: int) -> int:
        return stamp_s * SAMPLES_PER_S - self._lag - self._smooth + 1

    def _is_past(self, stamp_s: int) -> bool:
        return stamp_s <= self._oldest

    def _past_print(self, stamp_s: int) -> float:
        """A print from before the remembered ones, from the spot exchange's past at today's basis."""
        low = self._first_sample(stamp_s)
        return sum(self._past_sample(index) for index in range(low, low + self._smooth)) / self._smooth

    def _past_sample(self, index: int) -> float:
        at = bisect_right(self._past_ns, index * SAMPLE_NS) - 1
        return self.usd(self._past_price[max(0, at)])

    def _make_past(self, epoch_ns: int) -> None:
        """Samples, prints and averages up to the epoch, and what of them has been published."""
        config = self._config
        epoch_index = epoch_ns // SAMPLE_NS
        self._newest = (epoch_index + self._lag) // SAMPLES_PER_S
        span = config.history_s + config.twap_window_s + config.twap_lag_s + 10
        self._oldest = self._newest - span
        running = 0.0
        self._running[self._oldest] = running
        for stamp in range(self._oldest + 1, self._newest + 1):
            self._prints[stamp] = self._past_print(stamp)
            running += self._prints[stamp]
            self._running[stamp] = running
            self._average(stamp)
        for index in range(epoch_index - self._smooth - 2 * SAMPLES_PER_S, epoch_index + 1):
            self._samples[index] = self._past_sample(index)
        shown_s = (epoch_ns - config.publish_delay_ms * 1_000_000) // NS
        for stamp in range(shown_s - config.history_s + 1, shown_s + 1):
            self._remember(OracleTick("spot", stamp, published_e18(self._prints[stamp])))
            self._remember(OracleTick("twap", stamp, published_e18(self._twaps[stamp])))
        for stamp in range(shown_s + 1, self._newest + 1):
            self._schedule(stamp)

    def _average(self, stamp: int) -> None:
        """Compute the TWAP whose last print is this one, when enough prints are known."""
        window = self._config.twap_window_s
        if stamp - window >= self._oldest:
            prints = [self._prints[s] for s in range(stamp - window + 1, stamp + 1)]
            self._twaps[stamp + self._config.twap_lag_s] = sum(prints) / window

    def _on_sample(self) -> None:
        self._index += 1
        sd = self._config.basis_sd_bps
        if sd > 0.0:
            keep = math.exp(-self._basis_pull)
            mean = self._config.basis_bps
            shock = self._basis_rng.gauss(0.0, 1.0)
            self._basis_bps = (
                mean + (self._basis_bps - mean) * keep + sd * math.sqrt(1.0 - keep * keep) * shock
            )
        self._samples[self._index] = self.usd(self._spot.price)
        stamp, rest = divmod(self._index + self._lag, SAMPLES_PER_S)
        if rest == 0:
            self._on_print(stamp)
        self._scheduler.at((self._index + 1) * SAMPLE_NS, self._on_sample)

    def _on_print(self, stamp: int) -> None:
        """The last sample of a print is in: print, average, schedule what becomes public."""
        low = self._first_sample(stamp)
        value = sum(self._samples[i] for i in range(low, low + self._smooth)) / self._smooth
        self._prints[stamp] = value
        self._running[stamp] = self._running[stamp - 1] + value
        self._newest = stamp
        self._average(stamp)
        self._schedule(stamp)
        self._forget(stamp - KEEP_S)

    def _forget(self, stamp: int) -> None:
        for table in (self._prints, self._running, self._twaps):
            table.pop(stamp, None)
        for index in range(self._first_sample(stamp), self._first_sample(stamp + 1)):
            self._samples.pop(index, None)

    def _schedule(self, stamp: int) -> None:
        """Publish the print and the average of this stamp, each with its own delay."""
        config, rng = self._config, self._wire_rng
        for kind, value in (("spot", self._prints.get(stamp)), ("twap", self._twaps.get(stamp))):
            delay_ms = config.publish_delay_ms * math.exp(config.publish_delay_sd_frac * rng.gauss(0.0, 1.0))
            again = rng.random() < config.duplicate_frac
            gap_ns = rng.randrange(1, DUPLICATE_MS) * 1_000_000
            if value is None:
                continue
            tick = OracleTick(kind, stamp, published_e18(value))
            due_ns = max(stamp * NS + int(delay_ms) * 1_000_000, self._last_sent_ns[kind] + 1_000_000)
            self._last_sent_ns[kind] = due_ns
            self._scheduler.at(due_ns, partial(self._publish, tick))
            if again:
                self._scheduler.at(due_ns + gap_ns, partial(self._publish, tick))

    def _publish(self, tick: OracleTick) -> None:
        now_ns = self._scheduler.now_ns
        if now_ns >= self._silent_to_ns:
            self._next_dropout(now_ns)
        if self._silent_from_ns <= now_ns < self._silent_to_ns:
            return
        known = self._published[tick.kind]
        if not known or known[-1].stamp_s < tick.stamp_s:
            self._remember(tick)
        for listener in self._listeners:
            listener(tick, now_ns)

    def _remember(self, tick: OracleTick) -> None:
        known = self._published[tick.kind]
        known.append(tick)
        del known[: -self._config.history_s]

    def _next_dropout(self, now_ns: int) -> None:
        """Draw the next silence; far away when there are none."""
        config, rng = self._config, self._wire_rng
        if config.dropouts_per_h <= 0.0:
            self._silent_from_ns = self._silent_to_ns = 1 << 62
            return
        self._silent_from_ns = now_ns + int(rng.expovariate(config.dropouts_per_h / 3_600.0) * NS)
        self._silent_to_ns = self._silent_from_ns + int(rng.expovariate(1.0 / config.dropout_s) * NS)
