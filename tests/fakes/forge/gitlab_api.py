"""The API of GitLab (`/api/v4`), as published."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes.forge import git
from tests.fakes.forge.model import Hook, Key, Repo, Status, User

if TYPE_CHECKING:
    from tests.fakes.forge.server import FakeForge

MAX_PAGE = 100
DEFAULT_PAGE = 20
MAINTAINER = 40
REPORTER = 20
EVENTS = ("push_events", "tag_push_events", "merge_requests_events")
STATES = {"pending", "running", "success", "failed", "canceled", "skipped"}
TRANSITIONS = {"pending": "enqueue", "running": "run", "success": "success", "failed": "drop", "canceled": "cancel"}
COLLAPSED_FROM_FILES = 100
MAX_DIFF_FILES = 1000

Handler = Callable[[web.Request, Repo, User], Awaitable[web.StreamResponse]]


class GitLabApi:
    """Handlers of the API."""

    def __init__(self, forge: FakeForge) -> None:
        self.forge = forge

    def routes(self) -> list[web.RouteDef]:
        found = [
            web.get("/api/v4/user", self.user),
            web.get("/api/v4/projects", self.projects),
            web.get("/api/v4/version", self.version),
        ]
        of_project: list[tuple[str, str, Handler, bool]] = [
            ("GET", "", self.project, False),
            ("GET", "/hooks", self.hooks, True),
            ("POST", "/hooks", self.create_hook, True),
            ("DELETE", "/hooks/{number}", self.delete_hook, True),
            ("GET", "/deploy_keys", self.keys, True),
            ("POST", "/deploy_keys", self.create_key, True),
            ("DELETE", "/deploy_keys/{number}", self.delete_key, True),
            ("GET", "/repository/files/{file}", self.file, False),
            ("GET", "/repository/tree", self.tree, False),
            ("GET", "/repository/commits/{sha}", self.commit, False),
            ("GET", "/repository/branches", self.branches, False),
            ("GET", "/repository/tags", self.tags, False),
            ("GET", "/repository/compare", self.compare, False),
            ("GET", "/merge_requests", self.merge_requests, False),
            ("GET", "/merge_requests/{number}", self.merge_request, False),
            ("POST", "/statuses/{sha}", self.create_status, True),
        ]
        for method, path, handler, needs_admin in of_project:
            found.append(web.route(method, f"/api/v4/projects/{{project}}{path}", self._guarded(handler, needs_admin)))
        return found

    def _guarded(self, handler: Handler, needs_admin: bool) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            user = self.forge.caller(request)
            name = request.match_info["project"]
            store = self.forge.store
            repo = store.repository_by_id(int(name)) if name.isdigit() else store.repository(name)
            moved = store.moved(name)
            if repo is None and moved is not None and self.forge.may_read(moved, user) and request.method == "GET":
                target = f"/api/v4/projects/{moved.id}"
                return web.json_response({"message": "Moved"}, status=301, headers={"Location": target})
            if repo is None or not self.forge.may_read(repo, user):
                raise self.error(404, "404 Project Not Found")
            if needs_admin and user.id not in repo.admins:
                raise self.error(403, "403 Forbidden")
            return await handler(request, repo, user)

        return guarded

    def error(self, status: int, message: object) -> web.HTTPException:
        return self.forge.http_error(status, {"message": message})

    def paged(self, request: web.Request, items: Sequence[Any]) -> web.Response:
        return self.forge.paged(request, items, name="per_page", default=DEFAULT_PAGE, most=MAX_PAGE)

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "18.6.0"})

    async def user(self, request: web.Request) -> web.Response:
        user = self.forge.caller(request)
        return web.json_response({"id": user.id, "username": user.name, "name": f"{user.name} (free text)"})

    def project_json(self, repo: Repo, user: User) -> dict[str, Any]:
        level = MAINTAINER if user.id in repo.admins else REPORTER
        return {
            "id": repo.id,
            "path_with_namespace": repo.path,
            "default_branch": repo.default_branch,
            "web_url": f"{self.forge.url}/{repo.path}",
            "http_url_to_repo": f"{self.forge.url}/{repo.path}.git",
            "ssh_url_to_repo": self.forge.ssh_url(repo),
            "visibility": "private" if repo.is_private else "public",
            "permissions": {"project_access": {"access_level": level}, "group_access": None},
        }

    async def projects(self, request: web.Request) -> web.Response:
        user = self.forge.caller(request)
        least = int(request.query.get("min_access_level", "0"))
        mine = [
            repo
            for repo in self.forge.store.repositories
            if user.id in repo.admins or (user.id in repo.readers and least <= REPORTER)
        ]
        return self.paged(request, [self.project_json(repo, user) for repo in mine])

    async def project(self, _: web.Request, repo: Repo, user: User) -> web.Response:
        return web.json_response(self.project_json(repo, user))

    def hook_json(self, hook: Hook) -> dict[str, Any]:
        flags = {name: name in hook.events for name in EVENTS}
        present = {"token_present": bool(hook.secret), "signing_token_present": bool(hook.signing_token)}
        return {"id": hook.id, "url": hook.url, **flags, **present}

    async def hooks(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return self.paged(request, [self.hook_json(hook) for hook in repo.hooks])

    async def create_hook(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        body = await request.json()
        if not body.get("url"):
            raise self.error(400, {"url": ["is missing"]})
        hook = Hook(
            id=next(self.forge.store.ids),
            url=body["url"],
            secret=body.get("token", ""),
            is_active=True,
            events=frozenset(name for name in EVENTS if body.get(name, name == "push_events")),
            signing_token=body.get("signing_token", "") if self.forge.has_signing_tokens else "",
        )
        repo.hooks.append(hook)
        return web.json_response(self.hook_json(hook), status=201)

    async def delete_hook(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return self._delete(repo.hooks, request)

    def _delete(self, items: list[Any], request: web.Request) -> web.Response:
        found = [item for item in items if str(item.id) == request.match_info["number"]]
        if not found:
            raise self.error(404, "404 Not found")
        items.remove(found[0])
        return web.Response(status=204)

    def key_json(self, key: Key) -> dict[str, Any]:
        return {"id": key.id, "title": key.title, "key": key.key, "can_push": not key.read_only}

    async def keys(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return self.paged(request, [self.key_json(key) for key in repo.keys])

    async def create_key(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        body = await request.json()
        if any(key.key.split()[:2] == body["key"].split()[:2] for key in repo.keys):
            raise self.error(400, {"deploy_key.fingerprint": ["has already been taken"]})
        key = Key(next(self.forge.store.ids), body["title"], body["key"], not body.get("can_push", False))
        repo.keys.append(key)
        return web.json_response(self.key_json(key), status=201)

    async def delete_key(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return self._delete(repo.keys, request)

    async def _commit(self, repo: Repo, name: str) -> str:
        commit = await git.commit_of(repo.folder, name)
        if commit is None:
            raise self.error(404, "404 Commit Not Found")
        return commit

    async def commit(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        commit = await self._commit(repo, request.match_info["sha"])
        return web.json_response({"id": commit, "message": await git.message_of(repo.folder, commit)})

    async def file(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        commit = await self._commit(repo, request.query["ref"])
        path = request.match_info["file"]
        entry = await git.entry(repo.folder, commit, path)
        if entry is None or entry.type != "blob":
            raise self.error(404, "404 File Not Found")
        content = await git.content(repo.folder, commit, path)
        return web.json_response(
            {
                "file_path": path,
                "size": len(content),
                "encoding": "base64",
                "content": base64.b64encode(content).decode(),
            }
        )

    async def tree(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        commit = await self._commit(repo, request.query.get("ref", repo.default_branch))
        path = request.query.get("path", "")
        found = await git.entries(repo.folder, commit, path)
        if path and not found:
            raise self.error(404, "404 invalid revision or path Not Found")
        return self.paged(
            request, [{"id": one.id, "path": one.path, "type": one.type, "mode": one.mode} for one in found]
        )

    async def _refs(self, request: web.Request, repo: Repo, prefix: str) -> web.Response:
        found = [
            {"name": name.removeprefix(prefix), "target": target, "commit": {"id": commit}}
            for name, target, commit in await git.ref_commits(repo.folder, prefix)
        ]
        return self.paged(request, found)

    async def branches(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return await self._refs(request, repo, "refs/heads/")

    async def tags(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        return await self._refs(request, repo, "refs/tags/")

    async def compare(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        base = await self._commit(repo, request.query["from"])
        head = await self._commit(repo, request.query["to"])
        if request.query.get("straight") != "true":
            base = await git.merge_base(repo.folder, base, head) or base
        changed = await git.changed(repo.folder, base, head)
        diffs = [
            {
                "old_path": old,
                "new_path": new,
                "diff": "@@ -1 +1 @@\n",
                "collapsed": number >= COLLAPSED_FROM_FILES,
                "too_large": False,
            }
            for number, (_, old, new) in enumerate(changed)
        ]
        return web.json_response({"diffs": diffs[:MAX_DIFF_FILES], "compare_timeout": False})

    async def merge_requests(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        if [request.query.get(name) for name in ("state", "order_by", "sort")] != ["opened", "updated_at", "desc"]:
            raise self.error(400, {"error": "a parameter does not have a valid value"})
        found = [one for one in reversed(repo.pull_requests) if one.is_open]
        return self.paged(
            request, [{"iid": one.number, "state": "opened", "sha": one.head, "title": one.title} for one in found]
        )

    async def merge_request(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        number = request.match_info["number"]
        found = next((one for one in repo.pull_requests if str(one.number) == number), None)
        if found is None:
            raise self.error(404, "404 Not found")
        base = await self._commit(repo, found.base_branch)
        return web.json_response(
            {
                "id": found.id,
                "iid": found.number,
                "project_id": repo.id,
                "state": "opened" if found.is_open else "closed",
                "source_branch": found.head_branch,
                "target_branch": found.base_branch,
                "source_project_id": found.head_repository.id if found.head_repository else None,
                "target_project_id": repo.id,
                "sha": found.head,
                "author": {"id": found.author.id, "username": found.author.name},
                "title": found.title,
                "web_url": f"{self.forge.url}/{repo.path}/-/merge_requests/{found.number}",
                "draft": False,
                "diff_refs": {
                    "base_sha": await git.merge_base(repo.folder, base, found.head),
                    "head_sha": found.head,
                    "start_sha": base,
                },
            }
        )

    async def create_status(self, request: web.Request, repo: Repo, _: User) -> web.Response:
        commit = await self._commit(repo, request.match_info["sha"])
        body = await request.json()
        state = body.get("state")
        if state not in STATES:
            raise self.error(400, {"state": ["does not have a valid value"]})
        context = body.get("name", body.get("context", "default"))
        last = repo.last_status(commit, context)
        if last is not None and last.state == state:
            name = TRANSITIONS.get(state, state)
            raise self.error(400, f"Cannot transition status via :{name} from :{state}")
        made = Status(
            id=next(self.forge.store.ids),
            sha=commit,
            context=context,
            state=state,
            target_url=body.get("target_url", ""),
            description=body.get("description", ""),
            ref=body.get("ref", ""),
        )
        repo.statuses.append(made)
        return web.json_response({"id": made.id, "status": made.state, "name": made.context}, status=201)
