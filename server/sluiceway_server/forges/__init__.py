"""Git providers (forges): Gitea and Forgejo, GitHub, GitLab, behind one small port.

    port         what is asked of a provider, with `repository`, `events` and `errors`
    kinds        the client for a type of remote source: `gitea`, `github`, `gitlab`
    hub          the common part of the clients of Gitea and GitHub, whose APIs are alike; `api` is common to all
    *_shapes     objects in responses; `*_events`: bodies of webhooks; `shapes`: the types of their values
    deliveries   what is the same in all deliveries of webhooks; `signatures`: their verification
    http         the HTTP client, with `addresses` (what may be called) and `responses` (what an answer means)

Read them in this order. No records and no gRPC here: who calls gives the URL of the API and a token.
"""
