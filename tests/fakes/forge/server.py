"""The fake: its HTTP server, with the API, its faults and git over HTTP, beside the SSH server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.fakes.forge import git, payloads
from tests.fakes.forge.deliveries import MAX_REFS_GITLAB, MAX_TAGS_GITHUB, Deliveries
from tests.fakes.forge.gitlab_api import EVENTS, GitLabApi
from tests.fakes.forge.hub_api import HubApi
from tests.fakes.forge.model import Call, Fault, Hook, Kind, PullRequest, Repo, Store, User
from tests.fakes.forge.oauth2 import OAuth2
from tests.fakes.forge.ssh import SshServer

_HTML = "<!DOCTYPE html><html><body>Sign in, or try again later</body></html>"
_PRIVATE = "http://169.254.169.254/latest/meta-data/"


@asynccontextmanager
async def fake_forge(kind: Kind, folder: Path, *, port: int = 0) -> AsyncIterator[FakeForge]:
    """Serve a fake on 127.0.0.1; repositories are below the folder."""
    forge = FakeForge(kind, folder)
    application = web.Application(middlewares=[forge.record], client_max_size=64 << 20)
    application.add_routes(forge.api.routes())
    application.add_routes(forge.oauth2.routes())
    application.router.add_route("*", "/api/{rest:.*}", forge.unknown)
    application.router.add_route("*", "/{repository:.+?}.git/{rest:.*}", forge.git_over_http)
    runner = web.AppRunner(application, shutdown_timeout=0.5)
    await runner.setup()
    sending = asyncio.create_task(forge.deliveries.run())
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        forge.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with forge.ssh.serve():
            yield forge
    finally:
        forge.release()
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        await runner.cleanup()


class FakeForge:
    """A provider: what it stores, what it was asked, and what is wrong with it.

    Attributes:
        kind: which provider.
        url: of its pages; the API is at `api_url`.
        store: users and repositories.
        calls: of the API, in order.
        faults: of the next calls of the API, one each.
        deliveries: of webhooks.
        ssh: git over SSH, with deploy keys.
        has_signing_tokens: GitLab signs deliveries.
        oauth2: applications, and the tokens that people granted them.
    """

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.url = ""
        self.store = Store()
        self.calls: list[Call] = []
        self.faults: deque[Fault] = deque()
        self.deliveries = Deliveries(self)
        self.ssh = SshServer(self.store)
        self.has_signing_tokens = True
        self.hub = HubApi(self)
        self.oauth2 = OAuth2(self)
        self.api: HubApi | GitLabApi = GitLabApi(self) if kind is Kind.GITLAB else self.hub
        self._released = asyncio.Event()
        self._locks: dict[int, asyncio.Lock] = {}

    @property
    def api_url(self) -> str:
        """Return the URL of the API, as a remote source has it."""
        version = {Kind.GITHUB: "v3", Kind.GITLAB: "v4"}.get(self.kind, "v1")
        return f"{self.url}/api/{version}"

    def ssh_url(self, repo: Repo) -> str:
        """Return the URL from which a repository is cloned over SSH."""
        return f"ssh://git@127.0.0.1:{self.ssh.port}/{repo.path}.git"

    def add_user(self, name: str) -> User:
        """Create a user with a token."""
        number = next(self.store.ids)
        user = User(number, name, f"token-{name}-{number}")
        self.store.users.append(user)
        return user

    async def add_repository(
        self, owner: User, path: str, *, is_private: bool = True, content: Path | None = None
    ) -> Repo:
        """Create a repository that its owner administrates: empty, or a copy of a bare repository."""
        number = next(self.store.ids)
        repo = Repo(number, path, owner, self.folder / f"{number}.git", is_private, admins={owner.id})
        if content is None:
            await git.create(repo.folder, repo.default_branch)
        else:
            shutil.copytree(content, repo.folder)
        self.store.repositories.append(repo)
        return repo

    def add_webhook(self, repo: Repo, url: str, secret: str) -> Hook:
        """Create a webhook for all events, as a person does on the provider's pages."""
        events = frozenset({"push", "pull_request", *EVENTS})
        hook = Hook(next(self.store.ids), url, secret, True, events)
        repo.hooks.append(hook)
        return hook

    def rename(self, repo: Repo, path: str) -> None:
        """Rename a repository. The old path redirects to the new one."""
        repo.former_paths.append(repo.path)
        repo.path = path

    async def commit(
        self, repo: Repo, user: User, files: dict[str, bytes | None], *, branch: str = "main", message: str = "Change"
    ) -> str:
        """Commit files to a branch, with the events of a push; return the commit."""
        async with self._pushing(repo, user):
            return await git.commit_files(repo.folder, branch, files, message)

    async def update_refs(self, repo: Repo, user: User, refs: dict[str, str | None]) -> None:
        """Create, move or delete (None) refs, with the events of one push."""
        async with self._pushing(repo, user):
            for name, target in refs.items():
                arguments = ["-d", name] if target is None else [name, target]
                await git.git(repo.folder, "update-ref", *arguments)

    async def tag(self, repo: Repo, user: User, name: str, commit: str, *, message: str = "") -> None:
        """Create a tag, an annotated one if it has a message."""
        async with self._pushing(repo, user):
            await git.git(repo.folder, "tag", *(["-a", "-m", message] if message else []), name, commit)

    async def open_pull_request(
        self, repo: Repo, author: User, *, head_branch: str, title: str = "A change", fork: Repo | None = None
    ) -> PullRequest:
        """Open a pull request to the default branch, from a branch of the repository or of a fork."""
        source = fork or repo
        head = (await git.refs(source.folder))[f"refs/heads/{head_branch}"]
        number = len(repo.pull_requests) + 1
        request = PullRequest(
            next(self.store.ids), number, title, author, source, head_branch, repo.default_branch, head
        )
        repo.pull_requests.append(request)
        await self._set_head(repo, request, head)
        await self.pull_request_event(repo, request, author, "opened", old_head=head)
        return request

    async def pull_request_event(
        self, repo: Repo, request: PullRequest, user: User, action: str, *, old_head: str = ""
    ) -> None:
        """Send an event of a pull request; `action`: see `payloads.ACTIONS`."""
        base = (await git.refs(repo.folder)).get(f"refs/heads/{request.base_branch}", git.ZERO)
        event = payloads.pull_request(self, repo, request, user, action, old_head=old_head, base=base)
        self.deliveries.enqueue(repo, event)

    def release(self) -> None:
        """Continue the calls that hang."""
        self._released.set()

    async def released(self) -> None:
        """Wait until calls that hang continue."""
        await self._released.wait()

    # The server.

    @web.middleware
    async def record(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Record calls of the API, and let them meet a fault."""
        if not request.path.startswith("/api/"):
            response: web.StreamResponse = await handler(request)
            return response
        body = await request.read()
        status = 0
        try:
            if self.faults:
                answer = await self._faulty(request, self.faults.popleft())
            else:
                answer = await handler(request)
            status = answer.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            query, headers = dict(request.query), dict(request.headers)
            self.calls.append(Call(request.method, request.path, query, headers, body, status))
        return answer

    async def _faulty(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        match fault:
            case Fault.HANG:
                await self._released.wait()
                return web.Response(status=503)
            case Fault.SERVER_ERROR_HTML:
                return web.Response(status=502, text=_HTML, content_type="text/html")
            case Fault.WRONG_CONTENT_TYPE:
                return web.Response(text=_HTML, content_type="text/html")
            case Fault.REDIRECT_PRIVATE:
                return web.Response(status=302, headers={"Location": _PRIVATE})
            case Fault.RATE_LIMIT_BARE:
                return web.Response(status=429, text="Retry later", content_type="text/html")
            case Fault.RATE_LIMIT:
                return self._rate_limit()
            case Fault.HUGE | Fault.CUT:
                return await self._large(request, cut=fault is Fault.CUT)

    def _rate_limit(self) -> web.Response:
        match self.kind:
            case Kind.GITHUB:
                headers = {
                    "X-RateLimit-Limit": "5000",
                    "X-RateLimit-Remaining": "0",
                    "X-RateLimit-Reset": "99999999999",
                }
                return web.json_response({"message": "API rate limit exceeded"}, status=403, headers=headers)
            case Kind.GITLAB:
                headers = {"RateLimit-Remaining": "0", "Retry-After": "30"}
                return web.Response(status=429, text="Retry later", headers=headers)
            case _:
                return web.Response(status=429, headers={"Retry-After": "30"})

    @staticmethod
    async def _large(request: web.Request, *, cut: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b'["')
        for _ in range(1 if cut else 1600):
            await response.write(b"a" * 65536)
        if cut and request.transport is not None:
            request.transport.abort()
        return response

    async def unknown(self, _: web.Request) -> web.StreamResponse:
        """Respond to what the API does not have."""
        raise self.http_error(404, {"message": "404 Not Found"})

    def caller(self, request: web.Request) -> User:
        """Return the user whose token a call has, or raise 401."""
        header = request.headers.get("Authorization", "")
        scheme, _, token = header.partition(" ")
        user = None
        if scheme.lower() in ("bearer", "token"):
            user = self.store.user_of(token) or self.oauth2.user_of(token)
            if user is not None and user.token != token and not self.oauth2.may_call(token, request.path):
                raise self.http_error(403, {"message": "the token lacks the scope"})
        if self.kind is Kind.GITHUB and not request.headers.get("User-Agent"):
            raise self.http_error(403, {"message": "Request forbidden by administrative rules."})
        if user is None:
            raise self.http_error(
                401, {"message": "Bad credentials" if self.kind is Kind.GITHUB else "401 Unauthorized"}
            )
        return user

    @staticmethod
    def may_read(repo: Repo, user: User) -> bool:
        """Return whether a user sees a repository."""
        return not repo.is_private or user.id in repo.admins | repo.readers

    @staticmethod
    def http_error(status: int, body: dict[str, Any]) -> web.HTTPException:
        """Return an error with a JSON body."""
        class_ = {400: web.HTTPBadRequest, 401: web.HTTPUnauthorized, 403: web.HTTPForbidden, 404: web.HTTPNotFound}
        return class_.get(status, web.HTTPUnprocessableEntity)(text=json.dumps(body), content_type="application/json")

    def paged(self, request: web.Request, items: Sequence[Any], *, name: str, default: int, most: int) -> web.Response:
        """Return a page of a list, with the header `Link`."""
        size = min(int(request.query.get(name, default)), most)
        page = int(request.query.get("page", "1"))
        headers = {}
        if page * size < len(items):
            following = request.rel_url.update_query(page=page + 1)
            headers["Link"] = f'<{self.url}{following}>; rel="next"'
        if self.kind is Kind.GITLAB:
            headers["X-Next-Page"] = str(page + 1) if page * size < len(items) else ""
        response = web.json_response(items[(page - 1) * size : page * size], headers=headers)
        if self.kind in (Kind.GITHUB, Kind.GITLAB):
            etag = hashlib.sha256(f"{request.path_qs} {response.text} {headers}".encode()).hexdigest()
            response.headers["ETag"] = f'W/"{etag}"'
            if request.headers.get("If-None-Match") == response.headers["ETag"]:
                return web.Response(status=304, headers={"ETag": response.headers["ETag"]})
        return response

    # Git.

    async def git_over_http(self, request: web.Request) -> web.Response:
        """Serve clone, fetch and push by `git http-backend`; the password is a token."""
        repo = self.store.repository(request.match_info["repository"])
        user = self._git_user(request)
        rest = request.match_info["rest"]
        is_push = "git-receive-pack" in (rest, request.query.get("service"))
        allowed = repo is not None and (
            (user is not None and (user.id in repo.admins if is_push else self.may_read(repo, user)))
            or (user is None and not is_push and not repo.is_private)
        )
        if repo is None or not allowed:
            if user is None:
                return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
            return web.Response(status=404)
        if rest == "git-receive-pack" and user is not None:
            async with self._pushing(repo, user):
                return await self._backend(request, repo, rest)
        return await self._backend(request, repo, rest)

    def _git_user(self, request: web.Request) -> User | None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        return self.store.user_of(base64.b64decode(value).decode().partition(":")[2])

    async def _backend(self, request: web.Request, repo: Repo, rest: str) -> web.Response:
        body = await request.read()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(repo.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "PATH_INFO": f"/{repo.folder.name}/{rest}",
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_USER": "pusher",
        }
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        out, _ = await process.communicate(body)
        head, _, content = out.partition(b"\r\n\r\n")
        headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n") if b": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=content)

    @asynccontextmanager
    async def _pushing(self, repo: Repo, user: User) -> AsyncIterator[None]:
        """Send the events of what a block changes in the refs of a repository."""
        async with self._locks.setdefault(repo.id, asyncio.Lock()):
            before = await git.refs(repo.folder)
            yield
            await self._events(repo, user, before, await git.refs(repo.folder))

    async def _events(self, repo: Repo, user: User, before: dict[str, str], after: dict[str, str]) -> None:
        moved = [name for name in sorted(before | after) if before.get(name) != after.get(name)]
        tags = [name for name in moved if name.startswith("refs/tags/")]
        branches = [name for name in moved if name.startswith("refs/heads/")]
        if self.kind is Kind.GITHUB and len(tags) > MAX_TAGS_GITHUB:
            tags = []
        if self.kind is Kind.GITLAB:
            tags = tags if len(tags) <= MAX_REFS_GITLAB else []
            branches = branches if len(branches) <= MAX_REFS_GITLAB else []
        for name in branches + tags if repo.hooks else []:
            old, new = before.get(name, git.ZERO), after.get(name, git.ZERO)
            self.deliveries.enqueue(repo, await payloads.push(self, repo, user, name, old, new))
        for name in branches:
            if name in after:
                await self._synchronize(repo, user, name.removeprefix("refs/heads/"), after[name])

    async def _synchronize(self, source: Repo, user: User, branch: str, head: str) -> None:
        """Update the pull requests whose head is a branch that moved."""
        for repo in self.store.repositories:
            for request in repo.pull_requests:
                if request.is_open and request.head_repository is source and request.head_branch == branch:
                    old, request.head = request.head, head
                    await self._set_head(repo, request, head)
                    await self.pull_request_event(repo, request, user, "synchronized", old_head=old)

    async def _set_head(self, repo: Repo, request: PullRequest, head: str) -> None:
        """Set the ref of a pull request in the base repository."""
        space = "merge-requests" if self.kind is Kind.GITLAB else "pull"
        source = request.head_repository
        if source is not None and source is not repo:
            await git.git(repo.folder, "fetch", "--quiet", str(source.folder), request.head_branch)
        await git.git(repo.folder, "update-ref", f"refs/{space}/{request.number}/head", head)
