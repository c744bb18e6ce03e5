"""Settings of the Telegram companion: whom it obeys, what it tells and how loudly, how patient it is.

Owns names, units, defaults and ranges of the section `telegram`; conf/telegram/default.yaml repeats the defaults with
a comment each.  The token and the ids are never settings: only the names of their variables and the path of a file.
All times are wall seconds: a phone and its owner live there, whatever venue.speed says.  Called by polybot.config.
"""

from dataclasses import dataclass, field
from typing import Literal

from polybot.config_schema import env_name, matching, ranged, secret_file

__all__ = ["NoiseConfig", "TelegramConfig"]

Noise = Literal["on", "silent", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseConfig:
    """How each kind of alert reaches the phone: on (it sounds), silent (it is there in the morning), off."""

    daemon_gone: Noise = "on"
    daemon_back: Noise = "on"
    halt: Noise = "on"
    resume: Noise = "silent"
    reconcile: Noise = "on"
    rejection: Noise = "on"
    error: Noise = "on"
    start: Noise = "silent"
    stop: Noise = "on"
    refused_market: Noise = "silent"
    market_open: Noise = "off"
    strike: Noise = "off"
    market_end: Noise = "silent"
    settlement: Noise = "off"
    redeemed: Noise = "silent"
    signal: Noise = "off"
    order: Noise = "off"
    fill: Noise = "silent"
    feed_lost: Noise = "silent"
    feed_back: Noise = "silent"
    entries_closed: Noise = "silent"
    entries_open: Noise = "silent"
    notice: Noise = "off"
    alive: Noise = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramConfig:
    """The Telegram companion."""

    enabled: bool = False  # `run` starts it as its child
    check: bool = False  # the command `telegram` tests the set-up and ends
    token_env: str = env_name("TELEGRAM_BOT_TOKEN")  # name of the variable
    token_file: str = secret_file()  # 0600
    chat_env: str = env_name("TELEGRAM_CHAT_ID")
    user_env: str = env_name("TELEGRAM_USER_ID")
    api_url: str = matching(
        "https://api.telegram.org",
        r"https://[^\s@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?",
        "an https:// address, or http:// on this machine",
    )
    private_only: bool = True  # commands from groups are ignored
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    watch_s: float = ranged(0.5, 0.05, 10.0)
    gather_s: float = ranged(1.0, 0.0, 60.0)
    gap_s: float = ranged(1.0, 0.0, 60.0)
    lines_count: int = ranged(10, 1, 40)
    outbox_count: int = ranged(500, 10, 10_000)
    dedupe_s: float = ranged(60.0, 0.0, 3_600.0)
    blip_s: float = ranged(10.0, 0.0, 600.0)
    gone_s: float = ranged(10.0, 1.0, 600.0)
    alive_h: float = ranged(12.0, 0.0, 168.0)
    stale_s: float = ranged(60.0, 5.0, 3_600.0)
    confirm_s: float = ranged(60.0, 5.0, 600.0)
    commands_per_s: float = ranged(0.5, 0.01, 30.0)
    commands_burst: int = ranged(10, 1, 100)
    timeout_s: float = ranged(10.0, 0.1, 120.0)
    long_poll_s: float = ranged(25.0, 0.0, 50.0)
    retry_min_s: float = ranged(1.0, 0.01, 60.0)
    retry_max_s: float = ranged(20.0, 0.01, 3_600.0)
    flush_s: float = ranged(5.0, 0.1, 60.0)
