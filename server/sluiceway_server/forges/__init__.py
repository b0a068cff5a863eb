"""Git providers (forges): Gitea and Forgejo, GitHub, GitLab, behind one small port.

Read `port` first. It knows no records and no gRPC: who calls it gives the URL of the API and a token.
"""
