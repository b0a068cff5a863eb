"""The commands `sluice secret` and `sluice variable`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway_server.projects.envelope import KEY_BYTES, Envelope, MasterKeys
from sluiceway_server.projects.secret_records import SECRET_VERSION, version_id
from sluiceway_server.projects.secret_values import open_values
from tests.support.installation import SLUICE
from tests.support.project_services import ServedProjects, served_projects

PARENT = "org/acme/public-group/public-project"
ENVELOPE = Envelope(MasterKeys([bytes(KEY_BYTES)]))
PEM = "-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n"


@pytest.fixture
async def served() -> AsyncIterator[ServedProjects]:
    async with served_projects(envelope=ENVELOPE) as running:
        yield running


async def sluice(served: ServedProjects, *arguments: str, text: str = "", code: int = 0) -> str:
    """Run a command as a member; return what it prints, on standard error if it fails."""
    environment = {**os.environ, "SLUICE_SERVER": served.address, "SLUICE_TOKEN": served.tokens["member"]}
    done = await asyncio.to_thread(
        subprocess.run,
        [*SLUICE, *arguments],
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


async def values_of(served: ServedProjects, path: str) -> dict[str, bytes]:
    secret = await served.clients["member"].secrets.get(path)
    record = await served.database.get(SECRET_VERSION, version_id(secret.id, secret.version))
    return await open_values(ENVELOPE, secret.id, secret.version, record)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("value", "value"),
        ("value\n", "value"),
        ("value\r\n", "value"),
        (" value \n", " value "),
        (PEM, PEM),
        ("value\n\n", "value\n\n"),
        ("two\nlines", "two\nlines"),
    ],
    ids=repr,
)
async def test_value_is_read_from_standard_input(served: ServedProjects, given: str, stored: str) -> None:
    said = await sluice(served, "secret", "set", f"{PARENT}/npm", "token", text=given)
    assert said == f"set token of secret {PARENT}/npm, version 1\n"
    assert await values_of(served, f"{PARENT}/npm") == {"token": stored.encode()}


async def test_value_is_read_from_a_file_and_added(served: ServedProjects, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(PEM)
    await sluice(served, "secret", "set", f"{PARENT}/npm", "token", text="value")
    said = await sluice(served, "secret", "set", f"{PARENT}/npm", "key", "--file", str(file))
    assert said.endswith("version 2\n")
    assert await values_of(served, f"{PARENT}/npm") == {"token": b"value", "key": PEM.encode()}
    (listed,) = json.loads(await sluice(served, "secret", "list", PARENT, "-o", "json"))
    assert (listed["keys"], listed["version"], "values" in listed and listed["values"]) == (["key", "token"], "2", {})
    assert "keys:    key, token" in await sluice(served, "secret", "get", f"{PARENT}/npm")
    assert await sluice(served, "secret", "delete", f"{PARENT}/npm", "key") == (
        f"deleted key of secret {PARENT}/npm, version 3\n"
    )
    assert await sluice(served, "secret", "delete", f"{PARENT}/npm") == f"deleted secret {PARENT}/npm\n"
    assert await sluice(served, "secret", "list", "-o", "name") == ""


@pytest.mark.parametrize(
    ("arguments", "text", "code", "why"),
    [
        (("secret", "set", f"{PARENT}/npm", "token", "value"), "", 2, "unexpected extra argument"),
        (("secret", "set", f"{PARENT}/npm", "token"), "abc\n", 1, "shorter than 4 bytes"),
        (("secret", "set", f"{PARENT}/npm", "token", "--file", "/nowhere/at-all"), "", 1, "cannot be read"),
        (("secret", "set", "npm", "token"), "value", 1, "such as org/acme/npm"),
        (("secret", "set", "org/unknown/npm", "token"), "value", 1, "org/unknown"),
        (("secret", "get", f"{PARENT}/npm"), "", 1, "there is no secret"),
        (("variable", "delete", f"{PARENT}/npm"), "", 1, "there is no variable"),
        (("variable", "set", f"{PARENT}/x", "npm", "token", "--branch", "/(/"), "", 1, "not a regular expression"),
    ],
    ids=["value as an argument", "short", "no file", "no parent", "unknown parent", "get", "delete", "rule"],
)
async def test_wrong_command_says_why(
    served: ServedProjects, arguments: tuple[str, ...], text: str, code: int, why: str
) -> None:
    assert why in await sluice(served, *arguments, text=text, code=code)


async def test_variable_is_set_appended_to_and_deleted(served: ServedProjects) -> None:
    path = f"{PARENT}/NPM_TOKEN"
    said = await sluice(served, "variable", "set", path, "npm", "token", "--branch", "main", "--branch", "/^v/")
    assert said == f"set variable {path}: npm token (branch main, branch /^v/)\n"
    said = await sluice(served, "variable", "set", path, "npm", "other", "--append")
    assert said == f"set variable {path}: npm token (branch main, branch /^v/); npm other\n"
    assert "value 2: npm other" in await sluice(served, "variable", "get", path)
    assert await sluice(served, "variable", "set", path, "npm", "token") == f"set variable {path}: npm token\n"
    assert "NPM_TOKEN" in await sluice(served, "variable", "list")
    assert await sluice(served, "variable", "delete", path) == f"deleted variable {path}\n"
    assert await sluice(served, "variable", "list", "-o", "json") == "[]\n"
