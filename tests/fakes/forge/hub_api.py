"""The API of Gitea (`/api/v1`) and of GitHub (`/api/v3`), as published."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes.forge import git, payloads
from tests.fakes.forge.model import Hook, Key, Kind, Repo, Status, User

if TYPE_CHECKING:
    from tests.fakes.forge.server import FakeForge

MAX_FILES_GITHUB = 300
MAX_INLINE_GITHUB = 1_000_000
MAX_PAGE_GITEA = 50
MAX_PAGE_GITHUB = 100
DEFAULT_PAGE = 30
STATES = {
    Kind.GITEA: {"pending", "success", "error", "failure", "warning", "skipped"},
    Kind.FORGEJO: {"pending", "success", "error", "failure", "warning"},
    Kind.GITHUB: {"pending", "success", "error", "failure"},
}
UNVERIFIED_MAX_DESCRIPTION_GITHUB = 140
UNVERIFIED_GITEA_MOVED_STATUS = 301

Handler = Callable[[web.Request, Repo, User], Awaitable[web.StreamResponse]]


class HubApi:
    """Handlers of the API."""

    def __init__(self, forge: FakeForge) -> None:
        self.forge = forge
        self.is_github = forge.kind is Kind.GITHUB

    def routes(self) -> list[web.RouteDef]:
        root = "/api/v3" if self.is_github else "/api/v1"
        found = [
            web.get(f"{root}/user", self.user),
            web.get(f"{root}/user/repos", self.repositories),
            web.get(f"{root}/version", self.version),
        ]
        of_repository: list[tuple[str, str, Handler, bool]] = [
            ("GET", "", self.repository, False),
            ("GET", "/hooks", self.hooks, True),
            ("POST", "/hooks", self.create_hook, True),
            ("DELETE", "/hooks/{number}", self.delete_hook, True),
            ("GET", "/keys", self.keys, True),
            ("POST", "/keys", self.create_key, True),
            ("DELETE", "/keys/{number}", self.delete_key, True),
            ("GET", "/contents", self.contents, False),
            ("GET", "/contents/{file:.+}", self.contents, False),
            ("GET", "/commits/{sha}" if self.is_github else "/git/commits/{sha}", self.commit, False),
            ("GET", "/branches", self.branches, False),
            ("GET", "/tags", self.tags, False),
            ("GET", "/compare/{base}...{head}", self.compare, False),
            ("GET", "/pulls", self.pull_requests, False),
            ("GET", "/pulls/{number}", self.pull_request, False),
            ("POST", "/statuses/{sha}", self.create_status, True),
        ]
        for method, path, handler, needs_admin in of_repository:
            guarded = self._guarded(handler, needs_admin)
            found.append(web.route(method, f"{root}/repos/{{owner}}/{{name}}{path}", guarded))
            if self.is_github or not path:
                found.append(web.route(method, f"{root}/repositories/{{repository}}{path}", guarded))
        return found

    def _guarded(self, handler: Handler, needs_admin: bool) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            user = self.forge.caller(request)
            info = request.match_info
            if "repository" in info:
                number = info["repository"]
                repo = self.forge.store.repository_by_id(int(number)) if number.isdigit() else None
            else:
                path = f"{info['owner']}/{info['name']}"
                repo = self.forge.store.repository(path)
                moved = self.forge.store.moved(path)
                if repo is None and moved is not None and self.forge.may_read(moved, user):
                    return self._redirect(request, path, moved)
            if repo is None or not self.forge.may_read(repo, user):
                raise self.error(404, "Not Found")
            if needs_admin and user.id not in repo.admins:
                raise self.error(403, "Must have admin rights to Repository.")
            return await handler(request, repo, user)

        return guarded

    def _redirect(self, request: web.Request, path: str, repo: Repo) -> web.Response:
        if self.is_github:
            target = request.raw_path.replace(f"/repos/{path}", f"/repositories/{repo.id}")
            status = 301 if request.method == "GET" else 307
        else:
            target = request.raw_path.replace(f"/repos/{path}", f"/repos/{repo.path}")
            status = UNVERIFIED_GITEA_MOVED_STATUS if request.method == "GET" else 307
        return web.json_response({"message": "Moved"}, status=status, headers={"Location": target})

    def error(self, status: int, message: str, **more: Any) -> web.HTTPException:
        link = (
            {"documentation_url": "https://docs.github.com/rest"}
            if self.is_github
            else {"url": f"{self.forge.url}/api/swagger"}
        )
        return self.forge.http_error(status, {"message": message, **link, **more})

    def repository_json(self, repo: Repo, user: User | None) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": repo.id,
            "name": repo.path.partition("/")[2],
            "full_name": repo.path,
            "owner": self.user_json(repo.owner),
            "private": repo.is_private,
            "html_url": f"{self.forge.url}/{repo.path}",
            "clone_url": f"{self.forge.url}/{repo.path}.git",
            "ssh_url": self.forge.ssh_url(repo),
            "default_branch": repo.default_branch,
        }
        if user is not None:
            admin = user.id in repo.admins
            found["permissions"] = {"admin": admin, "push": admin, "pull": True}
        return found

    def user_json(self, user: User) -> dict[str, Any]:
        return {"id": user.id, "login": user.name, "email": f"{user.name}@example.org"}

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "1.27.0"})

    async def user(self, request: web.Request) -> web.Response:
        return web.json_response(self.user_json(self.forge.caller(request)))

    async def repositories(self, request: web.Request) -> web.Response:
        user = self.forge.caller(request)
        mine = [repo for repo in self.forge.store.repositories if user.id in repo.admins | repo.readers]
        return self.paged(request, [self.repository_json(repo, user) for repo in mine])

    def paged(self, request: web.Request, items: Sequence[Any]) -> web.Response:
        most = MAX_PAGE_GITHUB if self.is_github else MAX_PAGE_GITEA
        name = "per_page" if self.is_github else "limit"
        return self.forge.paged(request, items, name=name, default=DEFAULT_PAGE, most=most)

    async def repository(self, _: web.Request, repo: Repo, user: User) -> web.Response:
        return web.json_response(self.repository_json(repo, user))

    def hook_json(self, hook: Hook) -> dict[str, Any]:
        config = {"url": hook.url, "content_type": "json"}
        if self.is_github:
            config |= {"insecure_ssl": "0", "secret": "********"}
        return {"id": hook.id, "active": hook.is_active, "events": sorted(hook.events), "config": config}

    async def hooks(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return self.paged(request, [self.hook_json(hook) for hook in repo.hooks])

    async def create_hook(self, request: web.Request, repo: Repo, user: User) -> web.Response:
        body = await request.json()
        config = body.get("config", {})
        if self.is_github:
            valid = body.get("name", "web") == "web" and config.get("url")
        else:
            valid = body.get("type") in ("gitea", "forgejo") and config.get("url") and config.get("content_type")
        if not valid:
            raise self.error(422, "Validation Failed")
        if self.is_github and any(hook.url == config["url"] for hook in repo.hooks):
            raise self.error(422, "Validation Failed", errors=[{"message": "Hook already exists on this repository"}])
        hook = Hook(
            id=next(self.forge.store.ids),
            url=config["url"],
            secret=config.get("secret", ""),
            # Gitea's default is False.
            is_active=body.get("active", self.is_github),
            events=frozenset(body.get("events") or ["push"]),
        )
        repo.hooks.append(hook)
        if self.is_github and hook.is_active:
            self.forge.deliveries.ping(repo, hook, user)
        return web.json_response(self.hook_json(hook), status=201)

    async def delete_hook(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return self._delete(repo.hooks, request)

    def _delete(self, items: list[Any], request: web.Request) -> web.Response:
        number = request.match_info["number"]
        found = [item for item in items if str(item.id) == number]
        if not found:
            raise self.error(404, "Not Found")
        items.remove(found[0])
        return web.Response(status=204)

    def key_json(self, key: Key) -> dict[str, Any]:
        return {"id": key.id, "title": key.title, "key": key.key, "read_only": key.read_only}

    async def keys(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return self.paged(request, [self.key_json(key) for key in repo.keys])

    async def create_key(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        body = await request.json()
        material = body["key"].split()[:2]
        # GitHub takes a key once on all of GitHub, Gitea once for each repository.
        others = self.forge.store.repositories if self.is_github else [repo]
        if any(key.key.split() == material for other in others for key in other.keys):
            raise self.error(422, "Validation Failed", errors=[{"message": "key is already in use"}])
        key = Key(next(self.forge.store.ids), body["title"], " ".join(material), bool(body.get("read_only", False)))
        repo.keys.append(key)
        return web.json_response(self.key_json(key), status=201)

    async def delete_key(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return self._delete(repo.keys, request)

    async def _commit(self, repo: Repo, name: str) -> str:
        commit = await git.commit_of(repo.folder, name)
        if commit is None:
            raise self.error(404, "Not Found")
        return commit

    async def commit(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        commit = await self._commit(repo, request.match_info["sha"])
        return web.json_response({"sha": commit, "commit": {"message": await git.message_of(repo.folder, commit)}})

    async def contents(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        commit = await self._commit(repo, request.query.get("ref", repo.default_branch))
        path = request.match_info.get("file", "")
        entry = await git.entry(repo.folder, commit, path) if path else None
        if path and entry is None:
            raise self.error(404, "Not Found")
        if entry is None or entry.type == "tree":
            return web.json_response(
                [self._entry_json(found) for found in await git.entries(repo.folder, commit, path)]
            )
        content = await git.content(repo.folder, commit, path)
        inline = not self.is_github or len(content) <= MAX_INLINE_GITHUB
        return web.json_response(
            {
                **self._entry_json(entry),
                "encoding": "base64" if inline else "none",
                "content": base64.encodebytes(content).decode() if inline else "",
            }
        )

    @staticmethod
    def _entry_json(entry: git.Entry) -> dict[str, Any]:
        kind = {"tree": "dir", "commit": "submodule"}.get(entry.type, "symlink" if entry.mode == "120000" else "file")
        name = entry.path.rpartition("/")[2]
        found = {"type": kind, "name": name, "path": entry.path, "sha": entry.id, "size": entry.size}
        return {**found, "submodule_git_url": None}

    async def _refs(self, request: web.Request, repo: Repo, prefix: str) -> web.Response:
        key = "id" if prefix == "refs/heads/" and not self.is_github else "sha"
        found = [
            {"name": name.removeprefix(prefix), "commit": {key: commit}}
            for name, _, commit in await git.ref_commits(repo.folder, prefix)
        ]
        return self.paged(request, found)

    async def branches(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return await self._refs(request, repo, "refs/heads/")

    async def tags(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return await self._refs(request, repo, "refs/tags/")

    async def compare(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        base = await self._commit(repo, request.match_info["base"])
        head = await self._commit(repo, request.match_info["head"])
        commits = await git.commits_between(repo.folder, base, head)
        if not self.is_github:
            listed = []
            for commit in commits:
                files = [{"filename": path} for _, path in await git.files_of_commit(repo.folder, commit)]
                listed.append({"sha": commit, "files": files})
            return web.json_response({"total_commits": len(commits), "commits": listed})
        behind = len(await git.commits_between(repo.folder, head, base))
        status = {
            (False, False): "identical",
            (True, False): "ahead",
            (False, True): "behind",
            (True, True): "diverged",
        }
        common = await git.merge_base(repo.folder, base, head) or base
        changed = await git.changed(repo.folder, common, head)
        files = [{"filename": new, **({"previous_filename": old} if old != new else {})} for _, old, new in changed]
        return web.json_response(
            {
                "status": status[bool(commits), bool(behind)],
                "ahead_by": len(commits),
                "behind_by": behind,
                "total_commits": len(commits),
                "commits": [{"sha": commit} for commit in commits[: int(request.query.get("per_page", "30"))]],
                "files": files[:MAX_FILES_GITHUB],
            }
        )

    async def pull_requests(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        wanted = {"sort": "updated", "direction": "desc"} if self.is_github else {"sort": "recentupdate"}
        if any(request.query.get(name) != value for name, value in {"state": "open", **wanted}.items()):
            raise self.error(422, "Validation Failed")
        base = await self._commit(repo, repo.default_branch)
        found = [one for one in reversed(repo.pull_requests) if one.is_open]
        return self.paged(request, [payloads.hub_pull_request(self.forge, repo, one, base) for one in found])

    async def pull_request(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        number = request.match_info["number"]
        found = next((one for one in repo.pull_requests if str(one.number) == number), None)
        if found is None:
            raise self.error(404, "Not Found")
        base = await self._commit(repo, found.base_branch)
        return web.json_response(payloads.hub_pull_request(self.forge, repo, found, base))

    async def create_status(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        commit = await self._commit(repo, request.match_info["sha"])
        body = await request.json()
        description = body.get("description", "")
        too_long = self.is_github and len(description) > UNVERIFIED_MAX_DESCRIPTION_GITHUB
        if body.get("state") not in STATES[self.forge.kind] or too_long:
            raise self.error(422, "Validation Failed")
        status = Status(
            id=next(self.forge.store.ids),
            sha=commit,
            context=body.get("context", "default"),
            state=body["state"],
            target_url=body.get("target_url", ""),
            description=description,
        )
        repo.statuses.append(status)
        return web.json_response({"id": status.id, "state": status.state, "context": status.context}, status=201)
