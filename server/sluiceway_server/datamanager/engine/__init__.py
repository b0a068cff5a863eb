"""A database while a server has it open: commits, catching up, flushing, and background work.

`opening` finds a database that may be opened and builds all parts; `database` (one folder up) runs their loops. To
understand a write, read `committer`, `batch`, `write_state`, `log_tip`; then `flusher`, `follower`, `background`.
`etcd_capacity` and `writer_fairness` each stand alone.
"""
