"""The `wallet` command: what the account holds, and transactions that only a human asks for."""
