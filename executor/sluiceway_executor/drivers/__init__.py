"""The drivers, which run pods, and their interface (`port`)."""
