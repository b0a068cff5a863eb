"""Logins with the account at a git provider, and the links of accounts that are authorized there (OAuth 2).

Read `flows` first: what an authorization is, from its beginning to its completion. Then `identities`, which says whose
account it is, and `service`.
"""
