"""What every process shares: foundations, the configuration language and the rules of runs."""
