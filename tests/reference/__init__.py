"""Slow, plain references the fast core is compared with."""
