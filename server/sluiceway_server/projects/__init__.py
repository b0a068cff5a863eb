"""Users, organizations, projects and tokens.

Read `records` (what is stored), `names`, `tree` (how a node is found and placed), then the services.
"""
