"""Runs the steps of assignments and reports what is."""
