"""The Telegram companion: alerts to a phone, commands from it, in a process of its own beside the trading one."""
