"""The database: a log in etcd, folded into files in an object storage, read from SQLite."""
