"""The list of all checks: what each needs, its limit, and the fix for what it raises.

Owns the order of the table and of nothing else; docs/DOCTOR.md has a row for each.  Called by doctor.command and
doctor.gate.
"""

from polybot.doctor.feeds import (
    check_market_feed,
    check_oracle_feed,
    check_polybolt_feed,
    check_spot_feed,
    check_user_feed,
)
from polybot.doctor.machine import (
    check_cores,
    check_dashboard,
    check_disk,
    check_instance,
    check_journal,
    check_kill_file,
    check_settings,
    check_state,
    check_telegram,
)
from polybot.doctor.rounds import NETWORK_FIX
from polybot.doctor.venue import (
    check_allowances,
    check_api_key,
    check_balance,
    check_clock,
    check_confirmation,
    check_given_account,
    check_location,
    check_market,
    check_mode,
    check_venue,
    check_venue_version,
    check_wallet_holds,
)
from polybot.doctor.verdict import Check

__all__ = ["CHECKS", "checks_of_orders"]

_ACCOUNT = ("venue", "account", "api key")
_SETTINGS = "mend the setting it names; python -m polybot --cfg job prints all of them"
_DISK = "mend or change the disk of run.state_dir and telemetry.out_dir"

CHECKS = (
    Check(name="settings", run=check_settings, fix=_SETTINGS),
    Check(name="state folder", run=check_state, fix=_DISK),
    Check(name="disk", run=check_disk, fix=_DISK),
    Check(name="kill file", run=check_kill_file, fix="rm the file KILL in run.state_dir"),
    Check(name="account", run=check_given_account, fix="docs/OPERATIONS.md, Keys"),
    Check(name="confirmation", run=check_confirmation, fix=_SETTINGS),
    Check(
        name="venue",
        run=check_venue,
        fix="venue=sim starts one, venue.attach=ADDRESS joins the one that `python -m polybot sim` serves",
        limit="venue_s",
    ),
    Check(name="journal", run=check_journal, fix=_DISK, needs=("account", "venue", "state folder")),
    Check(name="instance", run=check_instance, fix=_DISK, needs=("account", "venue", "state folder")),
    Check(
        name="clock",
        run=check_clock,
        fix=NETWORK_FIX,
        needs=("venue",),
        limit="feed_s",  # it waits for the spot feed's stamps
        more=("listen_s", "check_s"),
    ),
    Check(
        name="version",
        run=check_venue_version,
        fix="do not trade: orders of another version are refused; look for a newer polybot and what it says of it",
        needs=("venue",),
    ),
    Check(
        name="location",
        run=check_location,
        fix="trade only from where the venue allows it (venue.geoblock_url must be reached and say so), or mode=paper; "
        "there is no override and no proxy setting",
        needs=("venue",),
    ),
    Check(name="api key", run=check_api_key, fix=NETWORK_FIX, needs=("venue", "account")),
    Check(
        name="account mode",
        run=check_mode,
        fix="only the venue can open the account again: its site says why; mode=paper meanwhile",
        needs=_ACCOUNT,
    ),
    Check(name="wallet", run=check_wallet_holds, fix=NETWORK_FIX, needs=_ACCOUNT),
    Check(name="balance", run=check_balance, fix=NETWORK_FIX, needs=(*_ACCOUNT, "wallet")),
    Check(name="allowances", run=check_allowances, fix=NETWORK_FIX, needs=(*_ACCOUNT, "wallet")),
    Check(name="market", run=check_market, fix=NETWORK_FIX, needs=("venue",)),
    Check(
        name="spot feed", run=check_spot_feed, fix=NETWORK_FIX, needs=("venue",), limit="feed_s", more=("listen_s",)
    ),
    Check(name="oracle feed", run=check_oracle_feed, fix=NETWORK_FIX, needs=("venue",), limit="feed_s"),
    Check(
        name="polybolt feed",
        run=check_polybolt_feed,
        fix=NETWORK_FIX,
        needs=_ACCOUNT,
        limit="feed_s",
    ),
    Check(
        name="market feed",
        run=check_market_feed,
        fix=NETWORK_FIX,
        needs=("venue", "market"),
        limit="feed_s",
    ),
    Check(
        name="user feed",
        run=check_user_feed,
        fix=NETWORK_FIX,
        needs=_ACCOUNT,
        limit="feed_s",
        more=("stay_s",),
    ),
    Check(name="cores", run=check_cores, fix="loop.cores=[] loop.busy_spin=false", is_for_orders=False),
    Check(name="telegram", run=check_telegram, fix="docs/TELEGRAM.md", is_for_orders=False),
    Check(name="dashboard", run=check_dashboard, fix="dashboard.enabled=false", is_for_orders=False),
)


def checks_of_orders() -> tuple[Check, ...]:
    """Those that stand before real orders."""
    return tuple(check for check in CHECKS if check.is_for_orders)
