"""Composition roots: how processes are put together."""
