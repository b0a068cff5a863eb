"""Id tokens on real parts: a step writes its token, and another library verifies it with what the gateway publishes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError, ExpiredTokenError, InvalidClaimError, InvalidKeyIdError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry

from tests.support.installation import Installation, config, installation, make_repository

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PROJECT = "org/acme/api"
AUDIENCE = "sts.amazonaws.com"
WRITES = """
printf %s "$AWS_WEB_IDENTITY_TOKEN" > variable
cp "$AWS_WEB_IDENTITY_TOKEN_FILE" file
echo "printed $AWS_WEB_IDENTITY_TOKEN"
cat "$AWS_WEB_IDENTITY_TOKEN_FILE"; echo
echo "signature ${AWS_WEB_IDENTITY_TOKEN##*.}"
env
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("id_tokens")) as running:
        running.sluice("org", "create", "acme")
        running.sluice("project", "create", PROJECT)
        task = {
            "name": "deploy",
            "id_tokens": {"AWS_WEB_IDENTITY_TOKEN": {"aud": AUDIENCE}, "VAULT_TOKEN": {"aud": ["vault", "b"]}},
            "steps": [
                {"type": "run", "name": "writes", "command": WRITES},
                {"type": "save_artifacts", "name": "tokens", "paths": ["variable", "file"]},
            ],
        }
        make_repository(running.repositories / "deploy", {".sluice/config.json": config(task, name="deploy")})
        yield running


def get(here: Installation, path: str) -> httpx.Response:
    """Get a page without a token, as a cloud does."""
    return httpx.get(f"http://{here.state['http']}{path}", trust_env=False, timeout=30)


def published(here: Installation) -> KeySet:
    document = get(here, "/.well-known/openid-configuration").json()
    assert document["issuer"] == f"http://{here.state['http']}"
    keys = httpx.get(document["jwks_uri"], trust_env=False, timeout=30)
    assert (keys.status_code, keys.headers["content-type"]) == (200, "application/json")
    return KeySet.import_key_set(keys.json())


def tokens_of_a_run(here: Installation, folder: Any) -> tuple[str, str, dict[str, Any]]:
    """Run the task; return what the variable and the file had, and the run."""
    run_id = here.create(here.repositories / "deploy", "--project", PROJECT)
    run = here.wait_for(run_id)
    assert run["result"] == "RUN_RESULT_SUCCESS", here.log(run_id, "deploy", 0)
    target = folder / run_id
    here.sluice("run", "artifacts", run_id, "tokens", "--save", f"{target}.zip")
    with zipfile.ZipFile(f"{target}.zip") as archive:
        return archive.read("variable").decode(), archive.read("file").decode(), run


def verified(token: str, keys: KeySet, audience: str = AUDIENCE, now: int | None = None) -> dict[str, Any]:
    """Verify a token as who trusts the installation does; return its claims."""
    found = jwt.decode(token, keys, algorithms=["RS256"])
    registry = JWTClaimsRegistry(now, aud={"essential": True, "value": audience}, exp={"essential": True})
    registry.validate(found.claims)
    return dict(found.claims)


def test_token_is_verified_with_the_published_keys(here: Installation, tmp_path: Any) -> None:
    variable, file, run = tokens_of_a_run(here, tmp_path)
    claims = verified(variable, published(here))
    project = json.loads(here.sluice("project", "get", PROJECT, "-o", "json").stdout)
    task = here.tasks(run["id"])["deploy"]
    expected = {
        "iss": f"http://{here.state['http']}",
        "sub": f"project:{project['id']}:api",
        "project_path": PROJECT,
        "owner_type": "organization",
        "run_id": run["id"],
        "run_number": int(run["number"]),
        "task_id": task["id"],
        "task_name": "deploy",
        "attempt": 1,
        "executor_id": "executor-1",
        "fork": False,
        "event": "api",
    }
    assert {name: claims[name] for name in expected} == expected
    assert claims["exp"] - claims["iat"] == 600
    assert verified(file, published(here))["sub"] == claims["sub"]
    described = get(here, "/.well-known/openid-configuration").json()
    assert set(claims) <= set(described["claims_supported"])
    assert described["id_token_signing_alg_values_supported"] == ["RS256"]


def test_token_is_masked_in_the_log(here: Installation, tmp_path: Any) -> None:
    variable, file, run = tokens_of_a_run(here, tmp_path)
    log = here.log(run["id"], "deploy", 0)
    assert log.startswith(b"printed ***\n***\nsignature ***\n")
    assert b"AWS_WEB_IDENTITY_TOKEN=***\n" in log
    for token in (variable, file):
        assert token.encode() not in log
        assert token.rpartition(".")[2].encode() not in log


def test_token_for_others_or_after_its_time_is_refused(here: Installation, tmp_path: Any) -> None:
    variable, _, _ = tokens_of_a_run(here, tmp_path)
    keys = published(here)
    claims = verified(variable, keys)
    with pytest.raises(InvalidClaimError):
        verified(variable, keys, "vault")
    verified(variable, keys, now=claims["exp"] - 1)
    with pytest.raises(ExpiredTokenError):
        verified(variable, keys, now=claims["exp"] + 1)
    head, body, signature = variable.split(".")
    with pytest.raises(BadSignatureError):
        verified(f"{head}.{body}.{signature[::-1]}", keys)


def test_rotated_keys_verify_old_tokens_until_revoked(here: Installation, tmp_path: Any) -> None:
    old, _, _ = tokens_of_a_run(here, tmp_path)
    here.sluice("identity", "rotate-keys")
    new, _, _ = tokens_of_a_run(here, tmp_path)
    keys = published(here)
    assert verified(old, keys)["jti"] != verified(new, keys)["jti"]
    assert jwt.decode(old, keys).header["kid"] != jwt.decode(new, keys).header["kid"]
    here.sluice("identity", "rotate-keys", "--revoke")
    for token in (old, new):
        with pytest.raises(InvalidKeyIdError):
            verified(token, published(here))
    latest, _, _ = tokens_of_a_run(here, tmp_path)
    verified(latest, published(here))


def test_issuer_and_subjects_are_shown(here: Installation) -> None:
    provider = here.sluice("identity", "get").stdout
    assert provider.startswith(f"issuer http://{here.state['http']}\n")
    assert max(map(len, provider.splitlines())) <= 100
    project = json.loads(here.sluice("project", "get", PROJECT, "-o", "json").stdout)["id"]
    shown = here.sluice("identity", "get", PROJECT).stdout
    assert f"  project:{project}:branch:BRANCH\n" in shown
    assert "fork" not in shown.partition("subjects:")[2]
    here.sluice("project", "update", PROJECT, "--issue-id-tokens-to-forks")
    assert f"  project:{project}:fork\n" in here.sluice("identity", "get", PROJECT).stdout
    here.sluice("project", "update", PROJECT, "--no-id-tokens-to-forks")
