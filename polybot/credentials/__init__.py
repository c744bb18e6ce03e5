"""Secrets of an account on their way in: from files and environment to the signer, and nowhere else."""
