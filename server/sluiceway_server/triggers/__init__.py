"""From an event of a git provider to runs, and from runs to commit statuses.

`remote_sources` are the providers. Read `records` for what is stored.
"""
