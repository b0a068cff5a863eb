"""Access control of etcd for tests: certificates, and users with passwords."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import grpc

from sluiceway_server.kv._etcd_api import api
from sluiceway_server.kv.etcd import EtcdAccess
from tests.support.etcd import EtcdProcess

__all__ = ["OURS", "Guarded", "make_certificates"]

OURS = EtcdAccess("sluice", "s3cr3t of ours")


def make_certificates(folder: Path) -> None:
    """Make an authority `ca`, and `node` signed by it for 127.0.0.1, for both ends; and files that are of no use."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test ca")
    _openssl(folder, "req", *key, "-keyout", "node.key", "-out", "node.csr", "-subj", "/CN=node")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    sign = ("-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    _openssl(folder, "x509", *sign, "-extfile", "names", "-out", "node.pem")
    _openssl(folder, "ec", "-in", "node.key", "-aes256", "-passout", "pass:secret", "-out", "locked.key")
    (folder / "empty").write_text("\n")
    (folder / "garbage").write_bytes(bytes(range(256)))


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


class Guarded:
    """An etcd with authentication: the user `sluice` may do everything below a prefix."""

    def __init__(self, process: EtcdProcess) -> None:
        self.process = process
        self._root: tuple[tuple[str, str], ...] = ()

    def enable(self, prefix: str = "own/") -> None:
        """Add the users and enable authentication."""
        with self.channel() as channel:
            auth = api.AuthStub(channel)
            auth.UserAdd(api.AuthUserAddRequest(name="root", password="root"))
            auth.UserGrantRole(api.AuthUserGrantRoleRequest(user="root", role="root"))
            auth.UserAdd(api.AuthUserAddRequest(name=OURS.user, password=OURS.password))
            self.grant(prefix)
            auth.AuthEnable(api.AuthEnableRequest())

    def grant(self, prefix: str) -> None:
        """Grant our user everything below a prefix. Every change of permissions invalidates all tokens."""
        with self.channel() as channel:
            auth = api.AuthStub(channel)
            role = f"writer of {prefix}"
            auth.RoleAdd(api.AuthRoleAddRequest(name=role), metadata=self._root)
            below = {"permType": 2, "key": prefix.encode(), "range_end": prefix[:-1].encode() + b"0"}
            grant = api.AuthRoleGrantPermissionRequest(name=role, perm=below)
            auth.RoleGrantPermission(grant, metadata=self._root)
            auth.UserGrantRole(api.AuthUserGrantRoleRequest(user=OURS.user, role=role), metadata=self._root)

    def log_in(self) -> None:
        """Log in as root."""
        with self.channel() as channel:
            answer = api.AuthStub(channel).Authenticate(api.AuthenticateRequest(name="root", password="root"))
        self._root = (("token", answer.token),)

    def channel(self) -> Any:
        """Open a channel without a user."""
        folder, address = self.process.certificates, self.process.endpoint.partition("://")[2]
        if folder is None:
            return grpc.insecure_channel(address)
        ca, key, certificate = ((folder / name).read_bytes() for name in ("ca.pem", "node.key", "node.pem"))
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, certificate))
