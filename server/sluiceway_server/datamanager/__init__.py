"""The database: a replicated log in etcd, compacted into files in an object storage, read from SQLite replicas.

Services use `port` with the types of `model`; `database` opens it. The folders, each above the one before:

    log        the log in etcd and in the object storage
    tables     checkpoints: sorted files and manifests in the object storage, and garbage collection
    replica    the copy of the database in this server's SQLite file, and reads of it
    recovery   what etcd and the object storage have, and a new epoch after etcd was lost
    engine     the write path and the background loops
    admin      verify, export, import

Read `model`, `port`, `log`, `engine` (the write path), `replica`, `tables`, `recovery`. The design is
docs/datamanager.md.
"""
