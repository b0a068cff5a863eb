"""Object storages behind one small port."""
