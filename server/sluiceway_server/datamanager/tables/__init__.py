"""From the log to files, and what nothing needs any more: checkpoint and clean."""
