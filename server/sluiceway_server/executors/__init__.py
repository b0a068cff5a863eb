"""Executors: their streams, sessions, groups, and the failure detector."""
