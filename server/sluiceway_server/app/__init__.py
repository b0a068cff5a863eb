"""Composition roots: what is wired to what."""
