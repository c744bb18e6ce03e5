"""From Commands to signed orders on the wire, and from the venue's answers to order events."""
