"""The server: what gateway and server processes run."""
