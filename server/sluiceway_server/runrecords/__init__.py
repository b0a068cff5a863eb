"""Record types of runs and executors, and their codec."""
