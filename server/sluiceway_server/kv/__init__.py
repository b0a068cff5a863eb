"""etcd behind one small port: transactions, watches, leases, revisions.

`port` is what the rest of the server knows; `etcd` fulfils it; `embedded` starts an etcd of our own.
"""
