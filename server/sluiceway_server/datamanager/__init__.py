"""The database: a log in etcd, folded into files in an object storage, read from SQLite.

What the services see is `model` and `port`. Behind it, in the order in which to read: `entries` and `log` (what is in
etcd), `segments` and `epochs` (what is in the object storage), `readdb` (what is in SQLite), `state` and `committer`
(the write path), `core` (where everything is), `follower`, `flusher`, `subscriptions`, and `database`, which puts them
together.
"""
