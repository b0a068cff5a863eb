"""Logs of steps: receiving, buffering, storing and reading."""
