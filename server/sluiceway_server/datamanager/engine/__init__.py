"""What runs in a server: the loops that write, follow and look after the database."""
