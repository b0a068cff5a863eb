"""Pushes that a provider sends no event of: a real installation finds them in the list of refs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.forge import Kind
from tests.support.installation import Installation, installation, until
from tests.support.running_forge import running_forge

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

RUN = {"name": "build", "tasks": [{"name": "test", "runtime": {"containers": [{"image": "host"}]}, "steps": []}]}
FILES = {".sluice/config.json": json.dumps({"runs": [RUN]}).encode()}
OPTIONS = ("--executors", "0", "--allow-private-addresses", "127.0.0.0/8", "--catch-up-interval", "1s")


def tags_with_runs(here: Installation, project_id: str) -> set[str]:
    with here.http() as client:
        runs: list[dict[str, Any]] = client.get(
            "/api/v1/runs", params={"groupPrefix": f"/project/{project_id}/tag", "pageSize": 100}
        ).json()["runs"]
    return {run["group"].rpartition("/")[2] for run in runs}


def test_tags_without_events_have_runs(tmp_path: Path) -> None:
    with running_forge(Kind.GITHUB, tmp_path / "forge") as forge, installation(tmp_path / "here", *OPTIONS) as here:
        repo = forge.repository("acme/app", FILES)
        here.sluice("remote-source", "create", "forge", "--type", "github", "--api-url", forge.fake.api_url)
        token = tmp_path / "token"
        token.write_text(f"{forge.user.token}\n")
        here.sluice("linked-account", "create", "forge", "--access-token-file", str(token))
        options = ("--remote-source", "forge", "--repository", repo.path)
        project_id = here.sluice("project", "create", "user/admin/app", *options, "-o", "name").stdout.strip()
        # A response that was not modified: the refs were listed before, and are known.
        until(lambda: any(call.status == 304 for call in forge.fake.calls), "the refs are listed again")
        assert tags_with_runs(here, project_id) == set()

        commit = forge.head(repo)
        names = {f"v{number}" for number in range(5)}
        forge.do(
            lambda: forge.fake.update_refs(repo, forge.user, {f"refs/tags/{name}": commit for name in sorted(names)})
        )
        assert not any(b"refs/tags" in each.body for each in forge.fake.deliveries.sent)
        until(lambda: tags_with_runs(here, project_id) == names, "each tag has its run")
        said = here.sluice("project", "why", "user/admin/app", "v3").stdout
        assert said.startswith("tag caught_up of refs/tags/v3 at ")
        assert "the provider sent no event; found in the list of its refs" in said
