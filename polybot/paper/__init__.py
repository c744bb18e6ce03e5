"""Paper trading: the real feeds and the real engine, with orders that are filled here and never leave.

Owns the gateway that simulates (gateway) and its own books (ledger); the fills themselves come from
polybot._fast.execution.  Must not send anything but the location check.  Called by polybot.daemon and the harness.
"""

__all__: list[str] = []
