"""From the text of a configuration to the tasks of a run."""
