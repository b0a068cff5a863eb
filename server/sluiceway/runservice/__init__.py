"""Runs, their tasks and the executors that work on them."""
