"""Users, tokens, projects."""
