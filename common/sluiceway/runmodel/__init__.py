"""Runs, tasks and the rules that move them: pure."""
