"""The commands of `sluice` that start the processes of a server, and those of its database."""
