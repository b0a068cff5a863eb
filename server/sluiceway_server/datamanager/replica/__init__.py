"""The read database: how it is filled, read, and followed."""
