"""What operators do with a database: look, verify, export and import."""
