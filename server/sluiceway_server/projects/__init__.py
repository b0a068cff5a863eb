"""Users, organizations, projects, secrets and tokens.

Read `records` (what is stored), `names`, `tree` (how a node is found and placed), then the services. Of secrets:
`envelope` (how they are encrypted), `variables` (what a variable stands for), `project_values` (what runs get).
"""
