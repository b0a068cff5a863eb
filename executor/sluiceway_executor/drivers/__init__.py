"""Where pods run: one interface, several drivers."""
