"""etcd behind one small port."""
