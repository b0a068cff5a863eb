"""The log: its entries, in etcd and in segments, and which of them are the history."""
