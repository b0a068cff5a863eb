"""The log: entries in etcd, flushed as segments to the object storage, and the history that they make.

`etcd_log` appends to the log in etcd, `segments` is the log in the object storage, `epochs` says which entries are the
history, and `walk` reads the history across both stores.

Read `entries`, `etcd_log`, `segments`; then `epochs`, `walk`.
"""
