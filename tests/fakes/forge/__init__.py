"""A fake of Gitea (Forgejo), GitHub and GitLab, in front of real git repositories.

    model        what it stores: users, repositories, webhooks, keys, statuses; faults to switch on; records of calls
    git          bare repositories, read by git itself
    hub_api      the API of Gitea and GitHub
    gitlab_api   the API of GitLab
    oauth2       the page where a person authorizes an application, and its tokens
    payloads     bodies of events
    deliveries   webhooks: headers, signatures, sending
    server       the HTTP server: API, git over HTTP, faults

It is written from the providers' documentation and payloads, and shares no code with the product. What is not verified
against a live provider is a constant with `UNVERIFIED` in its name.
"""

from tests.fakes.forge.model import Fault, Kind
from tests.fakes.forge.server import FakeForge, fake_forge

__all__ = ["FakeForge", "Fault", "Kind", "fake_forge"]
