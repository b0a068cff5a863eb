"""The servicer of `IdentityService`: what verifies the id tokens of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sluiceway.api.project.v1 import identity_service_pb2 as pb
from sluiceway.api.project.v1 import identity_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes
from sluiceway_server.projects.identity_keys import ALGORITHM, TOKEN_LIFETIME, IdentityKeys, PublicKey, replace_key
from sluiceway_server.projects.tree import NodeType, require
from sluiceway_server.runs.identity_claims import CLAIMS, Identity, identity_of, subjects_of

__all__ = ["IdentityServicer", "PublicUrlMissing", "required_issuer"]

_PROJECTS = frozenset({NodeType.PROJECT})


class PublicUrlMissing(FailedPrecondition):
    """The server does not know the URL that id tokens name as their issuer."""

    reason = "PUBLIC_URL_MISSING"


def required_issuer(public_url: str) -> str:
    """Return the issuer of tokens, which is the public URL.

    Raises:
        PublicUrlMissing: there is none.
    """
    if not public_url:
        raise PublicUrlMissing(
            "this server does not know its public URL, which is the issuer of id tokens; start it with"
            " --public-url https://ci.example.org"
        )
    return public_url


class IdentityServicer(pb_grpc.IdentityServiceServicer):
    """Implements `IdentityService`."""

    def __init__(self, database: Database, keys: IdentityKeys, clock: Clock, *, ids: IdSource, public_url: str) -> None:
        """Offer what verifies tokens.

        Args:
            database: where projects are.
            keys: that sign tokens.
            clock: for times.
            ids: of audit records.
            public_url: of the gateway; empty: it is not known, and no tokens are issued.
        """
        self._database = database
        self._keys = keys
        self._changes = Changes(database, clock=clock, ids=ids)
        self._public_url = public_url

    async def GetIdentityProvider(
        self, request: pb.GetIdentityProviderRequest, context: Any
    ) -> pb.GetIdentityProviderResponse:
        issuer = required_issuer(self._public_url)
        response = pb.GetIdentityProviderResponse(issuer=issuer, keys=_shown(await self._keys.published()))
        response.token_lifetime.FromTimedelta(TOKEN_LIFETIME)
        response.claims.extend(CLAIMS)
        return response

    async def RotateIdentityKeys(
        self, request: pb.RotateIdentityKeysRequest, context: Any
    ) -> pb.RotateIdentityKeysResponse:
        required_issuer(self._public_url)
        kid, record = await self._keys.make()

        def rotate(view: View, now: datetime) -> Change[None]:
            details = ["revoke: true"] if request.revoke else []
            actions = replace_key(view, kid, record, now, revoke=request.revoke)
            return Change(None, Subject("identity key", kid, "", details), actions)

        await self._changes.commit("RotateIdentityKeys", rotate)
        return pb.RotateIdentityKeysResponse(keys=_shown(await self._keys.published()))

    async def GetProjectIdentity(
        self, request: pb.GetProjectIdentityRequest, context: Any
    ) -> pb.GetProjectIdentityResponse:
        issuer = required_issuer(self._public_url)

        def read(view: View) -> Identity:
            return identity_of(view, require(view, request.project_id, _PROJECTS))

        identity = await self._database.read(read)
        return pb.GetProjectIdentityResponse(
            issuer=issuer,
            project_id=identity.project_id,
            project_path=identity.project_path,
            owner_id=identity.owner_id,
            owner_type=identity.owner_type,
            subjects=subjects_of(identity),
            issues_to_forks=identity.issues_to_forks,
        )


def _shown(keys: Sequence[PublicKey]) -> list[pb.IdentityKey]:
    shown = []
    for key in keys:
        message = pb.IdentityKey(kid=key.kid, kty="RSA", alg=ALGORITHM, use="sig", n=key.modulus, e=key.exponent)
        message.sign_time.FromDatetime(key.sign_time)
        if key.retire_time is not None:
            message.retire_time.FromDatetime(key.retire_time)
        shown.append(message)
    return shown
