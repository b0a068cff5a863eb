"""What etcd and object storage say together, and how a database goes on in a new epoch."""
