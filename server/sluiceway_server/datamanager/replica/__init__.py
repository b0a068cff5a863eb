"""The replica: each server's copy of the database in SQLite, and everything that reads it.

`rebuild` opens the file or fills it from a manifest, the writer (`engine.write_state`) applies the log to it, `readers`
runs reads over snapshots of it, and `subscriptions` serves the transactions after a position.

Read `schema`, `replica`, `view`, `readers`; then `cold_bodies` (bodies in the object storage), `deleted_subtrees`
(tombstones), `rebuild`, `subscriptions`; `disk_errors` when a disk is full.
"""
