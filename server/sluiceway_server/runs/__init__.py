"""Runs: creation, scheduling, the transaction of a run's changes, explanations."""
